"""The same network, narrower or at a lower resolution: what it would take."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from edge.errors import EdgeError
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import OPERATORS, channel_axis, has_kernel, kernel_of, window_of

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
    batch, height, width, channels = _image_shape(graph.input.shape)
    rho = side / max(height, width)
    source = (batch, round(height * rho), round(width * rho), channels)
    last = max((op.index for op in graph.operators if has_kernel(op)), default=-1)

    def made(op: Operator) -> int:
        old = kernel_of(graph, op).shape[0]
        # The classes stay.
        return old if op.index == last else max(1, int(old * alpha))

    return _resized(graph, source, made)


def with_channels(graph: Graph, channels: Sequence[int]) -> ScaledModel:
    """Gives each layer of a network a number of channels of its own.

    Args:
        graph: The original.
        channels: The output channels of each operator with a kernel, in their order; a depthwise
            convolution has as many as its input asks for, whatever stands here.

    Returns:
        The `ScaledModel`.

    Raises:
        NoScaleRuleError: If the network has an operator without a rule.
        ValueError: If there are not as many numbers as operators with a kernel.

    Example:
        >>> narrow = with_channels(graph, [2, 2, 2, 2])
        >>> [narrow.graph.tensors[op.outputs[0]].shape[-1] for op in narrow.graph.operators]
        [2, 2, 2, 2, 2, 2, 2]
    """
    kernels = [op.index for op in graph.operators if has_kernel(op)]
    if len(kernels) != len(channels):
        raise ValueError(
            f"{len(channels)} numbers of channels for {len(kernels)} operators with a kernel."
        )
    by_op = dict(zip(kernels, channels, strict=True))
    return _resized(graph, graph.input.shape, lambda op: int(by_op[op.index]))


def _resized(graph: Graph, source: tuple[int, ...], made: Callable[[Operator], int]) -> ScaledModel:
    tensors = list(graph.tensors)
    tensors[graph.inputs[0]] = dataclasses.replace(graph.input, shape=source)
    operators = []
    for op in graph.operators:
        if op.opcode not in OPERATORS:
            raise NoScaleRuleError(f"{op.opcode} has no rule for another size.")
        scaled_op = _with_scaled_window(op, graph, tensors)
        operators.append(scaled_op)
        if has_kernel(op):
            _scale_weights(op, graph, tensors, made(op))
        tensors[op.outputs[0]] = _reshaped(
            tensors[op.outputs[0]], _output_shape(scaled_op, graph, tensors)
        )
    model_bytes = (
        graph.model_bytes + _file_bytes(graph, tensors) - _file_bytes(graph, graph.tensors)
    )
    scaled = Graph(
        tensors=tuple(tensors),
        operators=tuple(operators),
        inputs=graph.inputs,
        outputs=graph.outputs,
        content=b"",
    )
    return ScaledModel(scaled, model_bytes)


def _output_shape(op: Operator, graph: Graph, tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """The shape that an operator gives its output, from what its inputs have become."""
    inputs = [tensors[index] for index in op.inputs]
    stated = graph.tensors[op.outputs[0]].shape
    try:
        return OPERATORS[op.opcode].shape(op, inputs, stated)
    except ValueError as error:
        raise NoScaleRuleError(f"At operator {op.index} {error}.") from error


def _with_scaled_window(op: Operator, graph: Graph, tensors: Sequence[Tensor]) -> Operator:
    """A pool over the whole image stays one; every other window keeps its size."""
    if "filter" not in op.options:
        return op
    source, output = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    if window_of(graph, op) != source[1:3] or output[1:3] != (1, 1):
        return op
    sides = tensors[op.inputs[0]].shape[1:3]
    return dataclasses.replace(op, options={**op.options, "filter": sides, "stride": sides})


def _scale_weights(op: Operator, graph: Graph, tensors: list[Tensor], made: int) -> None:
    """Gives an operator's weights and biases the shapes that its new input asks for."""
    kernel, old = kernel_of(graph, op), graph.tensors[op.inputs[0]].shape
    source, axis = tensors[op.inputs[0]].shape, channel_axis(op)
    if axis == len(kernel.shape) - 1:
        # A depthwise kernel has as many channels as its input asks for.
        made = source[-1] * kernel.shape[-1] // old[-1]
        shape = (*kernel.shape[:-1], made)
    else:
        shape = (made, *kernel.shape[1:-1], _taken(kernel.shape[-1], old, source))
    tensors[kernel.index] = _reshaped(tensors[kernel.index], shape)
    for index in op.inputs[2:]:
        tensors[index] = _reshaped(tensors[index], (made,))


def _taken(taken: int, old: Sequence[int], source: Sequence[int]) -> int:
    """How many elements of its new input a kernel takes at once: a pixel's or an image's."""
    if taken != old[-1] and taken == math.prod(old[1:]):
        return math.prod(source[1:])
    return taken * source[-1] // old[-1]


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
