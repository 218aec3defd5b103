"""A kernel bound to a layer, and how numbers become the words that it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edge.engine.network import Layer
from edge.tflite.graph import Graph
from edge.tflite.requantization import bias_of, channel_multipliers, zero_point_of

ROW, WHOLE = "&in, row, out", "&in, out"
"""Arguments of kernels that make one row of several, and of those that make all there is."""


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel bound to a layer.

    Attributes:
        name: The name of the C function without its `engine_`.
        source: The C file that it is in.
        arguments: The arguments that it takes after the layer.
        weights: The words that it reads, int64 array of one dimension; 32 bits of each count.
        scratch_bytes: The memory that it needs while it runs.
    """

    name: str
    source: str
    arguments: str
    weights: np.ndarray
    scratch_bytes: int = 0


def scratch_kernel(name: str, source: str, weights: np.ndarray, scratch_bytes: int) -> Kernel:
    """A kernel that makes one row of several and needs memory while it runs.

    Args:
        name: The name of the C function without its `engine_`.
        source: The C file that it is in.
        weights: The words that it reads, int64 array of one dimension.
        scratch_bytes: The memory that it needs while it runs.

    Returns:
        The `Kernel`.

    Example:
        >>> scratch_kernel("conv", "conv.c", words([1]), 8).arguments
        '&in, row, out, scratch'
    """
    return Kernel(
        name=name,
        source=source,
        arguments="&in, row, out, scratch",
        weights=weights,
        scratch_bytes=scratch_bytes,
    )


def channel_words(graph: Graph, layer: Layer, taps: np.ndarray) -> np.ndarray:
    """Three words a channel: bias, multiplier, shift to the right.

    The input's zero point is taken out in the bias: it weighs the sum of the weights.

    Args:
        graph: The model.
        layer: A layer with weights.
        taps: Its weights, int64 array of shape `(channels, taps)`.

    Returns:
        int64 array of shape `(channels, 3)`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> from edge.tflite.operators import kernel_of
        >>> layer = network_of(graph).layers[0]
        >>> kernel = kernel_of(graph, layer.op).values().astype(np.int64)
        >>> channel_words(graph, layer, kernel.reshape(len(kernel), -1)).shape
        (4, 3)
    """
    op = layer.op
    sums = taps.reshape(len(taps), -1).sum(axis=1)
    bias = bias_of(graph, op) - zero_point_of(graph.tensors[op.inputs[0]]) * sums
    multiplier, shift = channel_multipliers(graph, op)
    return np.stack([bias, multiplier, -shift], axis=1)


def shifts_right(headers: np.ndarray, taps: np.ndarray) -> bool:
    """Whether the short requantization is exact: shifts of 1 to 23, sums below 2 ** 29.

    A multiplier is at least a half, 2 ** 30: the kernels take it doubled, less 2 ** 32.

    Args:
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.
        taps: The weights, int64 array of shape `(channels, taps)`.

    Returns:
        Whether it is for all channels.

    Example:
        >>> shifts_right(np.array([[0, 2**30, 1], [9, 2**30, 0]]), np.ones((2, 4), int))
        False
    """
    multiplier, right = headers[:, 1], headers[:, 2]
    largest = np.abs(headers[:, 0]) + 128 * np.abs(taps).sum(axis=1)
    is_short = (right >= 1) & (right <= 23) & (multiplier >= 2**30) & (largest < 2**29)
    return bool(is_short.all())


def padded(table: np.ndarray, row_multiple: int, column_multiple: int) -> np.ndarray:
    """Fills a table up with zeros, behind its rows and columns.

    Args:
        table: Array of two dimensions.
        row_multiple: What the number of rows becomes a multiple of.
        column_multiple: What the number of columns becomes a multiple of.

    Returns:
        The array.

    Example:
        >>> padded(np.ones((3, 5)), 2, 4).shape
        (4, 8)
    """
    rows, columns = table.shape
    return np.pad(table, ((0, -rows % row_multiple), (0, -columns % column_multiple)))


def as_words(table: np.ndarray) -> np.ndarray:
    """Rows of int8 values as rows of little-endian words, filled up with zeros.

    Args:
        table: Array of shape `(rows, values)`, each value of -128 to 127.

    Returns:
        int64 array of shape `(rows, words)`.

    Example:
        >>> as_words(np.array([[1, 2, 0, 0, -1]])).tolist()
        [[513, 255]]
    """
    return padded(table, 1, 4).astype(np.int8, order="C").view("<i4").astype(np.int64)


def words(numbers: Sequence[int] | np.ndarray) -> np.ndarray:
    """Numbers as the words that a kernel reads.

    Args:
        numbers: The numbers; of each, 32 bits count.

    Returns:
        int64 array of one dimension.

    Example:
        >>> words([3, -1]).tolist()
        [3, -1]
    """
    return np.asarray(numbers, np.int64).reshape(-1)
