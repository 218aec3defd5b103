"""The same network, narrower or at a lower resolution: what it would take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from edge.errors import EdgeError
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import slid_sides

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
BYTES_PER_SCALE = 12
"""A per-channel scale (float32) and zero point (int64) in the file."""


class NoScaleRuleError(EdgeError):
    """An operator whose output shape at another size this module does not know."""


@dataclasses.dataclass(frozen=True)
class ScaledModel:
    """A network at another width and resolution, without its weights.

    Attributes:
        graph: Shapes and operators; constants are zeros, `content` is empty.
        model_bytes: Size of its .tflite: constants and quantization parameters counted anew, all
            else as in the original file.
    """

    graph: Graph
    model_bytes: int


def scaled_model(graph: Graph, alpha: float, side: int) -> ScaledModel:
    """Scales a network as MobileNet's two multipliers do.

    Args:
        graph: The original.
        alpha: Factor of every layer's channels but those of the input and of the last layer.
        side: The larger of the new input's height and width, in pixels.

    Returns:
        The `ScaledModel`.

    Raises:
        NoScaleRuleError: If the network has an operator without a rule, or an image vanishes.

    Example:
        >>> scaled_model(graph, alpha=0.5, side=64).graph.input.shape
        (1, 64, 64, 3)

    Source: MobileNets, arXiv 1704.04861, sections 3.3 and 3.4.
    """
    tensors = list(graph.tensors)
    batch, height, width, channels = _image_shape(graph.input.shape)
    rho = side / max(height, width)
    source = (batch, round(height * rho), round(width * rho), channels)
    tensors[graph.inputs[0]] = dataclasses.replace(graph.input, shape=source)
    last = max((op.index for op in graph.operators if op.opcode in WEIGHTED), default=-1)
    for op in graph.operators:
        shapes = _scaled_shapes(tensors, graph, op, alpha, op.index == last)
        for index, shape in shapes.items():
            tensors[index] = _reshaped(tensors[index], shape)
    model_bytes = (
        graph.model_bytes + _file_bytes(graph, tensors) - _file_bytes(graph, graph.tensors)
    )
    scaled = Graph(tuple(tensors), graph.operators, graph.inputs, graph.outputs, b"")
    return ScaledModel(scaled, model_bytes)


def _scaled_shapes(
    tensors: list[Tensor], graph: Graph, op: Operator, alpha: float, is_last: bool
) -> dict[int, tuple[int, ...]]:
    """New shapes of an operator's constants and outputs, from those of its inputs."""
    source = tensors[op.inputs[0]].shape
    old_output = graph.tensors[op.outputs[0]].shape
    output = op.outputs[0]
    if op.opcode in ("SOFTMAX", "QUANTIZE", "RELU", "RELU6", "LOGISTIC", "HARD_SWISH"):
        return {output: source}
    if op.opcode == "ADD":
        return {output: np.broadcast_shapes(source, tensors[op.inputs[1]].shape)}
    if op.opcode == "RESHAPE":
        if len(old_output) not in (2, 4) or math.prod(old_output[:-1]) != 1:
            raise NoScaleRuleError(f"RESHAPE to {old_output} has no rule for another size.")
        return {output: (*old_output[:-1], math.prod(source))}
    if op.opcode == "MEAN":
        axes = {int(axis) % len(source) for axis in tensors[op.inputs[1]].values().reshape(-1)}
        if op.options.get("keep_dims"):
            return {output: tuple(1 if n in axes else size for n, size in enumerate(source))}
        return {output: tuple(size for n, size in enumerate(source) if n not in axes)}
    if op.opcode == "PAD":
        pads = tensors[op.inputs[1]].values()
        return {output: tuple(int(s + sum(p)) for s, p in zip(source, pads, strict=True))}
    if op.opcode in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        old_source = graph.tensors[op.inputs[0]].shape
        if op.options["filter"] == old_source[1:3]:
            return {output: (source[0], 1, 1, source[3])}
        return {output: (source[0], *_slid(source, op.options["filter"], op), source[3])}
    if op.opcode not in WEIGHTED:
        raise NoScaleRuleError(f"{op.opcode} has no rule for another size.")
    kernel = graph.tensors[op.inputs[1]].shape
    if op.opcode == "DEPTHWISE_CONV_2D":
        made = source[3] * (kernel[3] // graph.tensors[op.inputs[0]].shape[3])
        new_kernel: tuple[int, ...] = (1, *kernel[1:3], made)
    else:
        made = kernel[0] if is_last else max(1, int(kernel[0] * alpha))
        new_kernel = (made, *kernel[1:-1], source[-1])
    shapes = {op.inputs[1]: new_kernel}
    if op.opcode == "FULLY_CONNECTED":
        shapes[output] = (*source[:-1], made)
    else:
        shapes[output] = (source[0], *_slid(source, kernel[1:3], op), made)
    if len(op.inputs) > 2:
        shapes[op.inputs[2]] = (made,)
    return shapes


def _slid(source: tuple[int, ...], window: tuple[int, ...], op: Operator) -> tuple[int, int]:
    try:
        return slid_sides(source, window, op)
    except ValueError as error:
        raise NoScaleRuleError(f"At operator {op.index} {error}.") from error


def _reshaped(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    new = dataclasses.replace(tensor, shape=shape)
    if tensor.is_constant:
        new = dataclasses.replace(new, data=np.zeros(new.bytes, np.uint8))
    return new


def _file_bytes(original: Graph, tensors: Sequence[Tensor]) -> int:
    """What the tensors take of the file, as far as it depends on the size of the network."""
    # The converter stores equal constants once, such as the zero biases of an untrained network.
    owners = {t.data.tobytes(): t.index for t in reversed(original.tensors) if t.data is not None}
    stored = set(owners.values())
    total = 0
    for tensor in tensors:
        total += tensor.bytes if tensor.index in stored else 0
        quantization = tensor.quantization
        if tensor.is_constant and quantization is not None and quantization.per_channel:
            total += BYTES_PER_SCALE * tensor.shape[quantization.axis]
    return total


def _image_shape(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    if len(shape) != 4:
        raise NoScaleRuleError(f"The input of shape {shape} is no image.")
    return shape[0], shape[1], shape[2], shape[3]
