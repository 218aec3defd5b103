"""One entry per operator: how its options are read, its output's shape, its window, its weights."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from edge.errors import ModelError
from edge.tflite.options import (
    add_options,
    convolution_options,
    dense_options,
    depthwise_options,
    mean_options,
    pool_options,
    softmax_options,
)
from edge.tflite.shapes import (
    averaged_axes,
    averaged_shape,
    broadcast_shape,
    convolved_shape,
    dense_shape,
    depthwise_shape,
    kept_shape,
    leading_padding,
    padded_shape,
    pooled_shape,
    reshaped_shape,
)
from edge.tflite.tensors import Operator, Tensor


class HasTensors(Protocol):
    """What a rule needs of a `Graph`, which itself counts its operations by these rules."""

    @property
    def tensors(self) -> Sequence[Tensor]:
        """All tensors, by index."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class OperatorRule:
    """What the package knows of one operator of TFLite.

    Attributes:
        shape: The shape of the output, from the operator, its inputs and the shape that the file
            states; checking and scaling use the same.
        options: Reads the operator's options from the flatbuffer; None if it has none that matter.
        kernel: Which input holds the weights; None if it has no weights.
        channel_axis: The axis of the kernel along which the output's channels lie.
        is_windowed: Whether a window slides over an image, with stride and padding.
        is_channelwise: Whether a channel of the output depends on the same channel of the inputs
            alone, where both have as many.
    """

    shape: Callable[[Operator, Sequence[Tensor], tuple[int, ...]], tuple[int, ...]]
    options: Callable[[Any], dict[str, Any]] | None = None
    kernel: int | None = None
    channel_axis: int = 0
    is_windowed: bool = False
    is_channelwise: bool = False


_POOL = OperatorRule(
    shape=pooled_shape, options=pool_options, is_windowed=True, is_channelwise=True
)
_ELEMENTWISE = OperatorRule(shape=kept_shape, is_channelwise=True)

OPERATORS = {
    "CONV_2D": OperatorRule(
        shape=convolved_shape, options=convolution_options, kernel=1, is_windowed=True
    ),
    "DEPTHWISE_CONV_2D": OperatorRule(
        shape=depthwise_shape,
        options=depthwise_options,
        kernel=1,
        channel_axis=3,
        is_windowed=True,
        is_channelwise=True,
    ),
    "FULLY_CONNECTED": OperatorRule(shape=dense_shape, options=dense_options, kernel=1),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": OperatorRule(shape=averaged_shape, options=mean_options, is_channelwise=True),
    "ADD": OperatorRule(shape=broadcast_shape, options=add_options, is_channelwise=True),
    "PAD": OperatorRule(shape=padded_shape, is_channelwise=True),
    "RESHAPE": OperatorRule(shape=reshaped_shape),
    "SOFTMAX": OperatorRule(shape=kept_shape, options=softmax_options),
    "QUANTIZE": _ELEMENTWISE,
    "RELU": _ELEMENTWISE,
    "RELU6": _ELEMENTWISE,
    "LOGISTIC": _ELEMENTWISE,
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
    return averaged_axes([graph.tensors[index] for index in op.inputs])


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
