"""Compresses weights with TFLite Micro's own lookup tables."""

from __future__ import annotations

import importlib.util
import warnings

import numpy as np

from edge.errors import MissingToolError, ModelError
from edge.tflite.graph import Graph, Tensor
from edge.tflite.operators import channel_axis, has_int4_kernel, has_kernel, kernel_of

LARGEST_INDEX_BITS = 7
"""The widest index that TFLite Micro's lookup tables support."""


def index_bits(tensor: Tensor) -> int:
    """Counts the bits that are needed to index the different weights of a channel.

    Args:
        tensor: A constant int8 tensor with the output channels as its first axis.

    Returns:
        The number of bits for the channel with the most different weights, at least 1.

    Example:
        >>> data = np.array([0, 0, 9, 1, 2, 3], np.int8)
        >>> index_bits(Tensor(0, "kernel", (2, 3), "int8", None, data))
        2
    """
    rows = _rows(tensor)
    most = max(len(np.unique(row)) for row in rows)
    return max(int(most - 1).bit_length(), 1)


def _rows(tensor: Tensor) -> np.ndarray:
    assert tensor.data is not None
    return np.frombuffer(tensor.data.tobytes(), np.int8).reshape(tensor.shape[0], -1)


def _compressed_bytes(tensor: Tensor) -> float:
    rows, bits = _rows(tensor), index_bits(tensor)
    return rows.size * bits / 8 + len(rows) * 2**bits


def compress_weights(graph: Graph) -> bytes:
    """Replaces kernels with few different weights by lookup tables that TFLite Micro decodes.

    Of the three methods in TFLite Micro's tools only the lookup table is implemented; Huffman
    coding and pruning raise an error. TFLite Micro decodes each whole kernel into the tensor arena
    before it runs, so the saved flash costs RAM; measure both.

    Args:
        graph: An int8 model whose weights were pruned or clustered.

    Returns:
        The bytes of a `.tflite` with DECODE operators.

    Raises:
        ModelError: If no kernel would become smaller.
        MissingToolError: If the package tflite_micro is not installed.

    Example:
        >>> from edge.tflite.reader import read_graph
        >>> kernel = graph.tensors[graph.operators[0].inputs[1]].data.tobytes()
        >>> pruned = read_graph(graph.content.replace(kernel, bytes(len(kernel))))
        >>> b"DECODE" in compress_weights(pruned)
        True

    Source: TFLite Micro, `tensorflow/lite/micro/compression`.
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingToolError(
            "TFLite Micro is not installed: pip install 'keras-mobilenet[tflm]' (x86-64 Linux)."
        )
    from tflite_micro.tensorflow.lite.micro.compression import spec
    from tflite_micro.tensorflow.lite.micro.compression.compress import compress

    kernels = [
        kernel_of(graph, op)
        for op in graph.operators
        # TFLite Micro has no lookup tables of int4 values.
        if has_kernel(op) and channel_axis(op) == 0 and not has_int4_kernel(graph, op)
    ]
    chosen = [
        spec.Tensor(
            subgraph=0,
            tensor=kernel.index,
            compression=[
                spec.LookUpTableCompression(
                    index_bitwidth=index_bits(kernel), mode=spec.PerChannel(axis=0)
                )
            ],
        )
        for kernel in kernels
        if index_bits(kernel) <= LARGEST_INDEX_BITS and _compressed_bytes(kernel) < kernel.bytes
    ]
    if not chosen:
        raise ModelError(
            "No kernel has so few different weights that a lookup table would make it smaller; "
            "prune or cluster the model first."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bytes(compress(graph.content, chosen))
