"""One entry per operator: how its options are read, its output's shape, its window, its weights.

A rule for the shape takes the operator, its inputs, and the shape that the file states for the
output: RESHAPE and FULLY_CONNECTED keep the stated rank. Where the tensors contradict the operator
it raises a `ValueError`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.tflite.options import options_reader
from edge.tflite.tensors import Operator, Tensor
from edge.tflite.windows import LARGEST_STEP, leading_padding, slid_sides

Shape = tuple[int, ...]


class HasTensors(Protocol):
    """What a rule needs of a `Graph`, which itself counts its operations by these rules."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All tensors, by index."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorRule:
    """What the package knows of one operator of TFLite.

    Attributes:
        arity: The fewest and the most inputs.
        shape: The shape of the output, from the operator, its inputs and the shape that the file
            states; checking and scaling use the same.
        options: Reads the options of the flatbuffer's operator; None if it has none that matter.
        kernel: Which input holds the weights; None if it has no weights.
        channel_axis: The axis of the kernel along which the output's channels lie.
        settings: Which input holds whole numbers that the output's shape follows from; None if
            none does.
        is_windowed: Whether a window slides over an image, with stride and padding.
        is_channelwise: Whether a channel of the output depends on the same channel of the inputs
            alone, where both have as many.
    """

    arity: tuple[int, int]
    shape: Callable[[Operator, Sequence[Tensor], Shape], Shape]
    options: Callable[[Any], dict[str, Any]] | None = None
    kernel: int | None = None
    channel_axis: int = 0
    settings: int | None = None
    is_windowed: bool = False
    is_channelwise: bool = False


def _kept_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the shape of the input."""
    return inputs[0].shape


def _broadcast_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the shape to which both inputs are broadcast."""
    return np.broadcast_shapes(inputs[0].shape, inputs[1].shape)


def _reshaped_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the stated shape; at another size, if it is flat, as many elements."""
    count = inputs[0].element_count
    if math.prod(stated) == count:
        return stated
    if math.prod(stated[:-1]) != 1:
        raise ValueError(f"makes {stated} of {inputs[0].shape}")
    return (*stated[:-1], count)


def _pooled_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with the channels of the input."""
    batch, *_, channels = source = _image(inputs[0].shape)
    return (batch, *slid_sides(source, op.options["filter"], op), channels)


def _padded_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is larger by what the second input says for each side of each axis."""
    source = inputs[0].shape
    pads = inputs[1].values()
    if pads.size != 2 * len(source):
        raise ValueError(f"has {pads.size} paddings for an input of {source}")
    pads = pads.reshape(-1, 2)
    if pads.min() < 0 or pads.max() > LARGEST_STEP:
        raise ValueError(f"pads by {int(pads.min())} to {int(pads.max())}")
    return tuple(int(size + sum(pad)) for size, pad in zip(source, pads, strict=True))


def _averaged_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output lacks the axes that the second input names, or has one element along each."""
    source, axes = inputs[0].shape, _averaged_axes(inputs)
    if op.options.get("keep_dims"):
        return tuple(1 if n in axes else size for n, size in enumerate(source))
    return tuple(size for n, size in enumerate(source) if n not in axes)


def _averaged_axes(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    rank = len(inputs[0].shape)
    axes = {int(axis) for axis in inputs[1].values().reshape(-1)}
    if not all(-rank <= axis < rank for axis in axes):
        raise ValueError(f"averages {inputs[0].shape} over axes {sorted(axes)[:9]}")
    return tuple(sorted({axis % rank for axis in axes}))


def _convolved_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with a channel per filter of the kernel."""
    source, kernel = _image(inputs[0].shape), _image(inputs[1].shape)
    if source[3] % kernel[3] or kernel[0] % (source[3] // kernel[3]):
        raise ValueError(f"takes {source} with a kernel of {kernel}")
    _require_biases(op, inputs, kernel[0])
    return (source[0], *slid_sides(source, kernel[1:3], op), kernel[0])


def _depthwise_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with one or more channels for each channel of the input."""
    source, kernel = _image(inputs[0].shape), _image(inputs[1].shape)
    multiplier = op.options.get("multiplier", 0) or kernel[3] // source[3]
    if kernel[3] != source[3] * multiplier or kernel[0] != 1:
        raise ValueError(f"takes {source} with a kernel of {kernel}, multiplier {multiplier}")
    _require_biases(op, inputs, kernel[3])
    return (source[0], *slid_sides(source, kernel[1:3], op), kernel[3])


def _dense_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has a row per group of elements that the kernel takes at once."""
    source, weights = inputs[0], inputs[1].shape
    made, taken = weights if len(weights) == 2 else (0, 0)
    if made < 1 or taken < 1 or source.element_count % taken or not source.shape:
        raise ValueError(f"takes {source.shape} with weights of {weights}")
    _require_biases(op, inputs, made)
    if math.prod(stated[:-1]) == source.element_count // taken:
        return (*stated[:-1], made)
    if source.shape[-1] != taken:
        raise ValueError(f"makes {stated} of {source.shape}")
    return (*source.shape[:-1], made)


def _require_biases(op: Operator, inputs: Sequence[Tensor], channels: int) -> None:
    if len(inputs) > 2 and inputs[2].element_count != channels:
        count = inputs[2].element_count
        raise ValueError(f"has {count} biases for {channels} channels")


def _image(shape: Shape) -> tuple[int, int, int, int]:
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"takes {shape}, which is no image")
    return shape[0], shape[1], shape[2], shape[3]


_POOL = OperatorRule(
    arity=(1, 1),
    shape=_pooled_shape,
    options=options_reader(schema.Pool2DOptions, "filter", "stride", "padding", "activation"),
    is_windowed=True,
    is_channelwise=True,
)
_ELEMENTWISE = OperatorRule(arity=(1, 1), shape=_kept_shape, is_channelwise=True)

OPERATORS = {
    "CONV_2D": OperatorRule(
        arity=(2, 3),
        shape=_convolved_shape,
        options=options_reader(schema.Conv2DOptions, "stride", "dilation", "padding", "activation"),
        kernel=1,
        is_windowed=True,
    ),
    "DEPTHWISE_CONV_2D": OperatorRule(
        arity=(2, 3),
        shape=_depthwise_shape,
        options=options_reader(
            schema.DepthwiseConv2DOptions,
            *("stride", "dilation", "padding", "activation", "multiplier"),
        ),
        kernel=1,
        channel_axis=3,
        is_windowed=True,
        is_channelwise=True,
    ),
    "FULLY_CONNECTED": OperatorRule(
        arity=(2, 3),
        shape=_dense_shape,
        options=options_reader(schema.FullyConnectedOptions, "activation", "weights_format"),
        kernel=1,
    ),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": OperatorRule(
        arity=(2, 2),
        shape=_averaged_shape,
        options=options_reader(schema.ReducerOptions, "keep_dims"),
        settings=1,
        is_channelwise=True,
    ),
    "ADD": OperatorRule(
        arity=(2, 2),
        shape=_broadcast_shape,
        options=options_reader(schema.AddOptions, "activation"),
        is_channelwise=True,
    ),
    "PAD": OperatorRule(arity=(2, 2), shape=_padded_shape, settings=1, is_channelwise=True),
    "RESHAPE": OperatorRule(arity=(1, 2), shape=_reshaped_shape),
    "SOFTMAX": OperatorRule(
        arity=(1, 1), shape=_kept_shape, options=options_reader(schema.SoftmaxOptions, "beta")
    ),
    "QUANTIZE": _ELEMENTWISE,
    "RELU": _ELEMENTWISE,
    "RELU6": _ELEMENTWISE,
    "LOGISTIC": _ELEMENTWISE,
    "TANH": _ELEMENTWISE,
    "LEAKY_RELU": OperatorRule(
        arity=(1, 1),
        shape=_kept_shape,
        options=options_reader(schema.LeakyReluOptions, "alpha"),
        is_channelwise=True,
    ),
    "HARD_SWISH": _ELEMENTWISE,
}
"""By TFLite's name. Of an operator without an entry nothing is checked or computed."""


def has_kernel(op: Operator) -> bool:
    """Whether an operator multiplies by weights.

    Args:
        op: The operator.

    Returns:
        True for convolutions and FULLY_CONNECTED.

    Example:
        >>> [has_kernel(op) for op in graph.operators[2:4]]
        [True, False]
    """
    rule = OPERATORS.get(op.opcode)
    return rule is not None and rule.kernel is not None


def has_int4_kernel(graph: HasTensors, op: Operator) -> bool:
    """Whether an operator multiplies by weights of four bits.

    Args:
        graph: The model.
        op: One of its operators.

    Returns:
        True for convolutions and FULLY_CONNECTED of such weights.

    Example:
        >>> has_int4_kernel(graph, graph.operators[0])
        False
    """
    return has_kernel(op) and kernel_of(graph, op).dtype == "int4"


def kernel_of(graph: HasTensors, op: Operator) -> Tensor:
    """The tensor that holds an operator's weights.

    Args:
        graph: The model.
        op: One of its operators that has weights.

    Returns:
        The tensor, in TFLite's order: (outputs, height, width, inputs) of CONV_2D, (1, height,
        width, outputs) of DEPTHWISE_CONV_2D, (outputs, inputs) of FULLY_CONNECTED.

    Raises:
        ModelError: If the operator has no weights.

    Example:
        >>> kernel_of(graph, graph.operators[0]).shape
        (4, 3, 3, 3)
    """
    rule = OPERATORS.get(op.opcode)
    if rule is None or rule.kernel is None:
        raise ModelError(f"{op.opcode} (operator {op.index}) has no weights.")
    return graph.tensors[op.inputs[rule.kernel]]


def channel_axis(op: Operator) -> int:
    """The axis of an operator's kernel along which its output's channels lie.

    Args:
        op: An operator with weights.

    Returns:
        3 for DEPTHWISE_CONV_2D, 0 for the others.

    Example:
        >>> [channel_axis(op) for op in graph.operators[:2]]
        [0, 3]
    """
    return OPERATORS[op.opcode].channel_axis


def window_of(graph: HasTensors, op: Operator) -> tuple[int, int]:
    """Height and width of the window that an operator slides over its image.

    Args:
        graph: The model.
        op: One of its operators.

    Returns:
        The window, in taps; (1, 1) for an operator that has none.

    Example:
        >>> window_of(graph, graph.operators[0])
        (3, 3)
    """
    rule = OPERATORS.get(op.opcode)
    if rule is None or not rule.is_windowed:
        return 1, 1
    height, width = op.options["filter"] if rule.kernel is None else kernel_of(graph, op).shape[1:3]
    return int(height), int(width)


def padding_of(graph: HasTensors, op: Operator) -> tuple[int, int]:
    """Rows and columns that a windowed operator adds before its image.

    Args:
        graph: The model.
        op: One of its operators that slides a window.

    Returns:
        Rows above and columns to the left, in pixels.

    Example:
        >>> padding_of(graph, graph.operators[1])
        (1, 1)
    """
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    return leading_padding(source.shape, output.shape, window_of(graph, op), op)


def mean_axes(graph: HasTensors, op: Operator) -> tuple[int, ...]:
    """The axes that MEAN averages over.

    Args:
        graph: The model.
        op: A MEAN of it.

    Returns:
        Axes from 0, each once, in order.

    Raises:
        ValueError: If the input has no such axis.

    Example:
        >>> mean_axes(graph, graph.operators[4])
        (1, 2)
    """
    return _averaged_axes([graph.tensors[index] for index in op.inputs])


def macs(graph: HasTensors, op: Operator) -> int:
    """Multiply-accumulates of one operator.

    Args:
        graph: The model.
        op: One of its operators.

    Returns:
        The number; 0 for operators that do not multiply by weights.

    Example:
        >>> macs(graph, graph.operators[0])  # 4x4 pixels, 4 channels of 3x3x3 taps
        1728
    """
    if not has_kernel(op):
        return 0
    # Every element of the output takes one slice of the kernel.
    taps = list(kernel_of(graph, op).shape)
    del taps[channel_axis(op)]
    return graph.tensors[op.outputs[0]].element_count * math.prod(taps)
