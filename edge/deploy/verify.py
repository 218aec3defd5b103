"""Proves that TFLite Micro computes what LiteRT's reference kernels compute, byte for byte."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from edge.converter.model_source import message_name, read_model
from edge.errors import EdgeError
from edge.runtimes.interpreters import InterpreterError, run_litert, run_tflm
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.graph import Graph
from edge.tflite.quantize import to_int8

MOST_INPUT_BYTES = 1 << 30
"""Inputs lie in memory and in a file, here and in each interpreter."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """The outcome of running both runtimes on the same inputs.

    Attributes:
        input_count: The number of inputs.
        equal_count: The number of inputs on which all output bytes agree.
        max_difference: The largest difference of two output bytes, in steps of the output's scale.
        outputs: LiteRT's outputs, int8, (count, output elements).
        host_arena_bytes: The size of TFLite Micro's arena in its 64-bit build on this machine.
    """

    input_count: int
    equal_count: int
    max_difference: int
    outputs: np.ndarray
    host_arena_bytes: int

    @property
    def is_equal(self) -> bool:
        """Whether all bytes of all outputs agree."""
        return self.equal_count == self.input_count

    def sentence(self) -> str:
        """The outcome in one line.

        Returns:
            A sentence for a report.

        Example:
            >>> Verification(9, 9, 0, np.zeros((9, 1), "int8"), 0).sentence()
            'LiteRT reference == TFLM on 9 of 9 inputs'
        """
        line = f"LiteRT reference == TFLM on {self.equal_count} of {self.input_count} inputs"
        return line if self.is_equal else f"{line}; largest difference {self.max_difference} LSB"


def verify(
    model: Any,
    inputs: np.ndarray | None = None,
    *,
    representative_dataset: Any = None,
    count: int = 100,
    seed: int = 0,
) -> Verification:
    """Runs an int8 model on LiteRT's reference kernels and on TFLite Micro.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        inputs: int8 array, (count, *input shape without the batch); random bytes if None.
        representative_dataset: Typical inputs for a Keras model that is not quantization-aware, in
            any form that `edge.convert` takes.
        count: The number of random inputs.
        seed: The seed of the random inputs.

    Returns:
        The `Verification`.

    Raises:
        EdgeError: If the model cannot be read or converted or is not int8, if an interpreter
            refuses it, or if TFLite Micro is not installed.

    Example:
        >>> verify("model.tflite").sentence()
        'LiteRT reference == TFLM on 100 of 100 inputs'
    """
    graph = read_model(model, representative_dataset)
    require_tflm_operators(graph, message_name(model))
    if inputs is None:
        inputs = random_inputs(graph, count, seed)
    expected = run_litert(graph, inputs)
    actual, arena_bytes = run_tflm(graph, inputs)
    difference = np.abs(expected.astype(np.int32) - actual.astype(np.int32))
    return Verification(
        input_count=len(inputs),
        equal_count=int((difference.max(axis=1) == 0).sum()),
        max_difference=int(difference.max()),
        outputs=expected,
        host_arena_bytes=arena_bytes,
    )


def verify_plan(before: Graph, after: Graph, *, count: int = 20, seed: int = 0) -> int:
    """Proves on real TFLite Micro that a memory plan changes no byte of the output.

    Args:
        before: The model as it was.
        after: The same model with a memory plan.
        count: The number of random inputs.
        seed: The seed of the random inputs.

    Returns:
        The number of inputs on which the bytes agree, which is all of them.

    Raises:
        InterpreterError: If an output differs.
        MissingToolError: If TFLite Micro is not installed.

    Example:
        >>> from edge.memory.offline_plan import planned_model
        >>> verify_plan(graph, planned_model(graph).graph)
        20
    """
    inputs = random_inputs(before, count, seed)
    expected, _ = run_tflm(before, inputs)
    actual, _ = run_tflm(after, inputs)
    if not np.array_equal(expected, actual):
        wrong = int((expected != actual).any(axis=1).sum())
        raise InterpreterError(
            f"With this memory plan TFLite Micro computes other bytes on {wrong} of {count} inputs."
        )
    return count


def random_inputs(graph: Graph, count: int, seed: int) -> np.ndarray:
    """Draws random bytes for a model to read.

    Args:
        graph: The model.
        count: The number of inputs.
        seed: The seed; the same seed gives the same bytes.

    Returns:
        int8 array, (count, *input shape without the batch).

    Raises:
        EdgeError: If they are too many for this machine's memory.

    Example:
        >>> random_inputs(graph, 20, seed=0).shape
        (20, 8, 8, 3)
    """
    shape = (count, *graph.input.shape[1:])
    if math.prod(shape) > MOST_INPUT_BYTES:
        raise EdgeError(
            f"{count:,} inputs of {math.prod(shape[1:]):,} bytes are too many; at most "
            f"{MOST_INPUT_BYTES // math.prod(shape[1:]):,}."
        )
    generator = np.random.default_rng(seed)
    inputs = np.empty(shape, np.int8)
    for one in inputs:
        # One at a time: NumPy draws eight bytes for each.
        one[...] = generator.integers(-128, 128, one.shape)
    return inputs


def quantize_inputs(graph: Graph, inputs: np.ndarray) -> np.ndarray:
    """Turns a model's float inputs into its int8 inputs.

    Args:
        graph: The model.
        inputs: Float array, (count, *input shape without the batch).

    Returns:
        int8 array of the same shape: `round(inputs / scale) + zero_point`, clipped.

    Example:
        >>> quantize_inputs(graph, np.full((1, 8, 8, 3), 0.5))[0, 0, 0]
        array([64, 64, 64], dtype=int8)

    Source: the TFLite 8-bit quantization specification.
    """
    return to_int8(inputs, graph.input)
