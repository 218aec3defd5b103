"""Which float nodes an int8 operator may compute, from which inputs, and within which bounds."""

from __future__ import annotations

import math

from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.requantization import activation_range, scale_of, zero_point_of

KINDS = {
    "CONV_2D": ("convolution", "depthwise", "dense"),
    "DEPTHWISE_CONV_2D": ("depthwise", "convolution", "batch_norm"),
    "FULLY_CONNECTED": ("dense", "convolution"),
    "ADD": ("add",),
    "CONCATENATION": ("concatenate",),
    "MEAN": ("mean", "average_pool"),
    "AVERAGE_POOL_2D": ("average_pool", "mean"),
    "MAX_POOL_2D": ("max_pool",),
    "REDUCE_MAX": ("max_pool",),
    "PAD": ("pad",),
    "PADV2": ("pad",),
    "RELU": ("relu", "relu6"),
    "RELU6": ("relu6",),
    "LEAKY_RELU": ("leaky_relu",),
    "HARD_SWISH": ("hard_swish",),
    "LOGISTIC": ("sigmoid",),
    "TANH": ("tanh",),
    "SOFTMAX": ("softmax",),
}
"""The kinds of float nodes that an operator may compute, the usual one first."""

MOVING_OPERATORS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE")
"""Operators that move values and change none of them."""

ACTIVATION_OPERATORS = ("RELU", "RELU6", "LEAKY_RELU", "HARD_SWISH", "LOGISTIC", "TANH")
"""Activations that TFLite also has as operators of their own."""


def activation_inputs(graph: Graph, op: Operator) -> list[int]:
    """Lists the inputs of an operator that are activations, not constants.

    Args:
        graph: The int8 model.
        op: An operator of the model.

    Returns:
        The indices of the tensors, in the operator's order.

    Example:
        >>> activation_inputs(graph, graph.operators[3])
        [3, 9]
    """
    return [index for index in op.inputs if not graph.tensors[index].is_constant]


def activation_bounds(kind: str) -> tuple[float, float]:
    """Returns the range that an activation can produce.

    Args:
        kind: The kind of the float node.

    Returns:
        The lowest and the highest real value; infinite where there is no bound.

    Example:
        >>> activation_bounds("relu6")
        (0.0, 6.0)
    """
    bounds = {
        "relu": (0.0, math.inf),
        "relu6": (0.0, 6.0),
        "softmax": (0.0, 1.0),
        "hard_swish": (-0.375, math.inf),
        "sigmoid": (0.0, 1.0),
        "tanh": (-1.0, 1.0),
    }
    return bounds.get(kind, (-math.inf, math.inf))


def stays_within(op: Operator, output: Tensor, low: float, high: float) -> bool:
    """Says whether an operator's clamp and its output's int8 range keep the output within bounds.

    Args:
        op: The operator.
        output: The int8 tensor that it writes.
        low: The lowest real value allowed.
        high: The highest real value allowed.

    Returns:
        True if no output is more than half a quantization step beyond the bounds.

    Example:
        >>> op = graph.operators[0]
        >>> stays_within(op, graph.tensors[op.outputs[0]], 0.0, 6.0)
        True
    """
    scale, zero_point = scale_of(output), zero_point_of(output)
    lowest, highest = ((q - zero_point) * scale for q in activation_range(op, output))
    return lowest >= low - 0.51 * scale and highest <= high + 0.51 * scale
