"""What a file with float32 or uint8 ends takes and makes, where its body takes and makes int8."""

from __future__ import annotations

import numpy as np

from edge.tflite.graph import Int8Graph
from edge.tflite.quantize import to_int8, to_real

FLIPPED_BITS = 128
"""The top bit: by so much is the zero point of a uint8 above that of its int8."""


def file_inputs(graph: Int8Graph, inputs: np.ndarray) -> np.ndarray:
    """Turns inputs of an int8 body into inputs of the file that it came in.

    Args:
        graph: The model.
        inputs: An int8 array of any shape.

    Returns:
        An array of the same shape: int8 as it is, uint8 with the top bit flipped, or float32 drawn
        anywhere in the step that each int8 stands for, and beyond the range at its two ends.

    Example:
        >>> from edge.converter.model_source import read_model
        >>> file_inputs(read_model(graph), np.zeros((1, 2), "int8"))
        array([[0, 0]], dtype=int8)
    """
    dtype, _ = graph.file_dtypes
    if dtype == "uint8":
        return flipped(inputs)
    if dtype != "float32":
        return inputs
    # Not up to 0.5: float32 puts what lies at the very edge of a step on either side of it.
    generator = np.random.default_rng(0)
    steps = inputs + generator.uniform(-0.49, 0.49, inputs.shape)
    beyond = generator.exponential(64, inputs.shape)
    steps = steps + np.where(inputs == 127, beyond, np.where(inputs == -128, -beyond, 0))
    return ((steps - graph.input_zero_point) * graph.input_scale).astype(np.float32)


def int8_outputs(graph: Int8Graph, outputs: np.ndarray) -> np.ndarray:
    """Turns outputs of a file into those of its int8 body.

    Args:
        graph: The model.
        outputs: What the file made, an array of its output's type and of any shape.

    Returns:
        An int8 array of the same shape.

    Raises:
        ValueError: If a float32 is none that the output's scale and zero point make.

    Example:
        >>> from edge.converter.model_source import read_model
        >>> int8_outputs(read_model(graph), np.zeros((1, 2), "int8"))
        array([[0, 0]], dtype=int8)
    """
    _, dtype = graph.file_dtypes
    if dtype == "uint8":
        return flipped(outputs)
    if dtype != "float32":
        return outputs
    whole = to_int8(outputs, graph.output)
    if not np.array_equal(to_real(whole, graph.output), outputs):
        raise ValueError("an output is not scale * (q - zero_point) for any int8 q")
    return whole


def flipped(values: np.ndarray) -> np.ndarray:
    """Turns int8 into uint8 or back: the same real numbers, with zero points 128 apart.

    Args:
        values: An int8 or uint8 array.

    Returns:
        The array of the other type, the top bit of each byte flipped.

    Example:
        >>> flipped(np.array([-128, 0, 127], "int8"))
        array([  0, 128, 255], dtype=uint8)
    """
    other = np.uint8 if values.dtype == np.int8 else np.int8
    return (values.view(np.uint8) ^ np.uint8(FLIPPED_BITS)).view(other)
