"""Makes of a convolution in groups one over all channels, which computes the same bytes."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import kernel_of
from edge.tflite.tensors import int4_bytes

LARGEST_BYTES = 1 << 23
"""Beyond so many bytes of new weights the rest stays in groups: a small file may ask for any."""


def without_groups(graph: Graph) -> Graph:
    """Makes a graph whose convolutions see all channels of their input.

    A convolution in groups sees a part of the channels for each part of its outputs. Zeros stand
    for the weights of the others: they add nothing to a sum, at the border neither. The weights
    take the flash of a whole convolution; of zeros in blocks the kernels with DSP keep none.

    Args:
        graph: An int8 model; its operators fit their tensors.

    Returns:
        The `Graph`, the same object if no convolution is in groups; `content`, and so the SHA-256,
        stays that of the file it is from.

    Example:
        >>> without_groups(graph) is graph
        True
    """
    tensors = list(graph.tensors)
    operators = tuple(_over_all_channels(graph, op, tensors) for op in graph.operators)
    if operators == graph.operators:
        return graph
    return dataclasses.replace(graph, tensors=tuple(tensors), operators=operators)


def _over_all_channels(graph: Graph, op: Operator, tensors: list[Tensor]) -> Operator:
    """The operator with a kernel of its own at the end of `tensors`, if it was in groups."""
    if op.opcode != "CONV_2D":
        return op
    kernel, channels = kernel_of(graph, op), graph.tensors[op.inputs[0]].shape[3]
    shape = (*kernel.shape[:3], channels)
    is_known = kernel.is_constant and kernel.dtype in ("int8", "int4")
    made_bytes = sum(tensor.element_count for tensor in tensors[len(graph.tensors) :])
    if kernel.shape == shape or not is_known or made_bytes + math.prod(shape) > LARGEST_BYTES:
        return op
    groups = channels // kernel.shape[3]
    by_group = kernel.values().reshape(groups, -1, *kernel.shape[1:])
    values = np.zeros((*by_group.shape[:4], groups, kernel.shape[3]), np.int8)
    for group in range(groups):
        values[group, :, :, :, group] = by_group[group]
    data = int4_bytes(values) if kernel.dtype == "int4" else values.reshape(-1).view(np.uint8)
    tensors.append(dataclasses.replace(kernel, index=len(tensors), shape=shape, data=data))
    return dataclasses.replace(op, inputs=(op.inputs[0], tensors[-1].index, *op.inputs[2:]))
