"""Reads the kernels of an int8 model and of a float model in one layout, and compares them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.tflite.graph import Graph, Operator
from edge.tflite.operators import channel_axis, has_kernel, kernel_of

if TYPE_CHECKING:
    from keras_mobilenet.quantization.decompose import Node


def int8_kernel(graph: Graph, op: Operator) -> np.ndarray | None:
    """Returns the weights of an operator as real numbers.

    Args:
        graph: The int8 model.
        op: The operator whose kernel is read.

    Returns:
        A float64 array of shape (output channels, weights per output channel), or None where the
        operator has no constant int8 or int4 kernel.

    Example:
        >>> int8_kernel(graph, graph.operators[0]).shape
        (4, 27)
    """
    if not has_kernel(op):
        return None
    tensor = kernel_of(graph, op)
    is_known = tensor.is_constant and tensor.dtype in ("int8", "int4")
    if not is_known or tensor.quantization is None:
        return None
    axis = channel_axis(op)
    flat = np.moveaxis(tensor.values(), axis, 0).reshape(tensor.shape[axis], -1)
    scales, zero_points = tensor.quantization.scales, tensor.quantization.zero_points
    return (flat - np.reshape(zero_points, (-1, 1)).astype(np.float64)) * np.reshape(
        scales, (-1, 1)
    )


def folded_kernel(nodes: tuple[Node, ...]) -> np.ndarray | None:
    """Returns the kernel of float nodes with the batch normalization after it folded in.

    Args:
        nodes: The float nodes that one operator computes, in call order.

    Returns:
        A float array of shape (output channels, weights per output channel), or None where no node
        has a kernel.

    Example:
        >>> from keras_mobilenet.quantization.decompose import float_nodes
        >>> folded_kernel(float_nodes(model).nodes[:1]).shape
        (4, 27)
    """
    kernel = None
    for node in nodes:
        if node.weights is None:
            continue
        if node.kind != "batch_norm":
            kernel = node.weights
        else:
            # Alone it is a depthwise convolution of one pixel.
            kernel = node.weights.reshape(-1, 1) * (1.0 if kernel is None else kernel)
    return kernel


def kernel_similarity(graph: Graph, op: Operator, nodes: tuple[Node, ...]) -> float | None:
    """Compares the int8 kernel of an operator with the float kernel of nodes.

    Args:
        graph: The int8 model.
        op: An operator of it.
        nodes: The float nodes that the operator may compute, in call order.

    Returns:
        The cosine of the two kernels, -1 to 1; 1 where neither side has a kernel, None if only one
        side has one or their shapes differ.

    Example:
        >>> from keras_mobilenet.quantization.decompose import float_nodes
        >>> round(kernel_similarity(graph, graph.operators[0], float_nodes(model).nodes[:1]), 2)
        1.0
    """
    theirs, ours = int8_kernel(graph, op), folded_kernel(nodes)
    if theirs is None or ours is None:
        return 1.0 if theirs is None and ours is None else None
    if theirs.shape != ours.shape:
        return None
    products, norms = (
        (theirs * ours).sum(axis=1),
        [np.sqrt((kernel**2).sum(axis=1)) for kernel in (theirs, ours)],
    )
    if not norms[0].any() or not norms[1].any():
        return 1.0 if norms[0].any() == norms[1].any() else 0.0
    whole = products.sum() / (np.linalg.norm(norms[0]) * np.linalg.norm(norms[1]))
    # One channel with large weights must not speak for all others, nor against them.
    is_alive = (norms[0] > 0) & (norms[1] > 0)
    each = products[is_alive] / (norms[0] * norms[1])[is_alive]
    return float(max(whole, np.median(each)) if len(each) else whole)
