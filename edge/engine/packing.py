"""Which kernel makes a layer's rows on a core, and its weights in the order that it reads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from edge.catalog.boards import Board
from edge.engine.network import Layer, Network
from edge.tflite.fixed_point import exp_table
from edge.tflite.graph import Graph
from edge.tflite.operators import kernel_of
from edge.tflite.requantization import (
    add_multipliers,
    bias_of,
    channel_multipliers,
    mean_multiplier,
    quantize_multiplier,
    scale_of,
    zero_point_of,
)

INSTRUCTION_SETS = ("portable", "dsp", "mve")
TILE_PIXELS = 4
STRIP_PAIRS = 17
PAIR_BYTES = 48
MVE_PIXELS = 3
MVE_CHANNELS = 4
MVE_LANES = 16
BLOCK_WORDS = 4
DENSE_OUTPUTS = 4
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


def instruction_set(board: Board) -> str:
    """The best kernels that a board's core can run.

    Args:
        board: The board.

    Returns:
        `"mve"`, `"dsp"` or `"portable"`.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> instruction_set(find_board("nucleo-f446re"))
        'dsp'
    """
    if board.mve:
        return "mve"
    return "dsp" if board.dsp else "portable"


def kernel_for(network: Network, layer: Layer, instructions: str) -> Kernel:
    """The kernel of a layer.

    Args:
        network: The network.
        layer: A layer of the network.
        instructions: The instruction set, `"portable"`, `"dsp"` or `"mve"`.

    Returns:
        The `Kernel`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> network = network_of(graph)
        >>> kernel_for(network, network.layers[0], "dsp").name
        'conv_dsp'
    """
    return KERNELS[layer.op.opcode](network, layer, instructions)


def _add(network: Network, layer: Layer, instructions: str) -> Kernel:
    graph = network.graph
    first, second, last = add_multipliers(graph, layer.op)
    points = [zero_point_of(graph.tensors[index]) for index in layer.inputs]
    shifts = first[1], second[1], last[1]
    if instructions == "mve" and max(shifts[:2]) <= 0 and min(shifts) > -31 and last[1] < 0:
        numbers = [points[0], *first, points[1], *second, *last]
        return Kernel("add_mve", "add_mve.c", "&in, &other, row, out", _words(numbers))
    numbers = [points[0], *_right(first), points[1], *_right(second), *_right(last)]
    return Kernel("add", "elementwise.c", "&in, &other, row, out", _words(numbers))


def _average_pool(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("average_pool", "pool.c", ROW, _words([]))


def _fully_connected(network: Network, layer: Layer, instructions: str) -> Kernel:
    kernel = kernel_of(network.graph, layer.op).values().astype(np.int64)
    headers = _channel_words(network.graph, layer, kernel)
    body = _as_words(kernel)
    right = headers[:, 2]
    if instructions == "portable" or not ((right >= 2) & (right <= 31)).all():
        blocks = np.concatenate([headers, body], axis=1)
        return Kernel("fully_connected", "conv.c", WHOLE, blocks.reshape(-1))
    if instructions == "mve":
        packed = _in_fours(kernel.reshape(len(kernel), -1), headers)
        return Kernel("fully_connected_mve", "fully_connected_mve.c", WHOLE, packed)
    # Of four outputs a word each, in turn; what is left over follows output by output.
    fours = len(body) // DENSE_OUTPUTS * DENSE_OUTPUTS
    parts = []
    for start in range(0, fours, DENSE_OUTPUTS):
        block = slice(start, start + DENSE_OUTPUTS)
        parts += [headers[block].T.reshape(-1), body[block].T.reshape(-1)]
    rest = np.concatenate([headers[fours:], body[fours:]], axis=1)
    packed = np.concatenate([*parts, rest.reshape(-1)])
    return Kernel("fully_connected_dsp", "fully_connected_dsp.c", WHOLE, packed)


def _max_pool(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("max_pool", "pool.c", ROW, _words([]))


def _mean(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("mean", "pool.c", WHOLE, _words(_right(mean_multiplier(network.graph, layer.op))))


def _pad(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("pad", "elementwise.c", ROW, _words([]))


def _quantize(network: Network, layer: Layer, instructions: str) -> Kernel:
    multiplier = quantize_multiplier(network.graph, layer.op)
    return Kernel("quantize", "elementwise.c", ROW, _words(_right(multiplier)))


def _softmax(network: Network, layer: Layer, instructions: str) -> Kernel:
    source = network.graph.tensors[layer.op.inputs[0]]
    table = exp_table(scale_of(source), layer.op.options.get("beta", 1.0))
    return Kernel("softmax", "softmax.c", ROW, _words(table))


def _conv(network: Network, layer: Layer, instructions: str) -> Kernel:
    kernel = kernel_of(network.graph, layer.op).values().astype(np.int64)
    return _conv_of(network, layer, kernel, instructions)


def _conv_of(network: Network, layer: Layer, kernel: np.ndarray, instructions: str) -> Kernel:
    taps = kernel.reshape(len(kernel), -1)
    headers = _channel_words(network.graph, layer, taps)
    if instructions == "portable" or not _shifts_right(headers, taps):
        blocks = np.concatenate([headers, _as_words(taps)], axis=1)
        # A pointer to each row of the window, of eight bytes on a computer, and copies of the
        # windows of two pixels; one of a single pixel is read where it is.
        patch = 0 if kernel.shape[1:3] == (1, 1) else taps.shape[1]
        scratch = 8 * kernel.shape[1] + 2 * patch
        return _scratch_kernel("conv", "conv.c", blocks.reshape(-1), scratch)
    if instructions == "mve":
        return _conv_mve(kernel, headers)
    run_bytes = kernel.shape[2] * kernel.shape[3]
    runs = _in_run_order(kernel.reshape(len(kernel), kernel.shape[1], -1))
    # The loop takes eight taps a turn, and two channels at a time.
    padded = _padded(runs.reshape(len(runs), -1), 2, 8)
    pairs = padded.reshape(-1, 2, padded.shape[1] // 2, 2).transpose(0, 2, 3, 1)
    body = _as_words(pairs.reshape(len(pairs), -1))
    biases = _padded(headers[:, :1], 2, 1).reshape(-1, 2)
    scales = _padded(_dsp_scales(headers), 2, 1).reshape(-1, 4)
    scratch = 4 * kernel.shape[1] + TILE_PIXELS * (padded.shape[1] * 2 + run_bytes)
    dense = np.concatenate([biases, body, scales], axis=1).reshape(-1)
    sparse = _without_zero_blocks(biases, body, scales)
    # The sparse loop takes three instructions more for each block: only fewer words pay.
    if len(sparse) < len(dense):
        return _scratch_kernel("conv_sparse_dsp", "conv_sparse_dsp.c", sparse, scratch)
    return _scratch_kernel("conv_dsp", "conv_dsp.c", dense, scratch)


def _depthwise(network: Network, layer: Layer, instructions: str) -> Kernel:
    graph, op = network.graph, layer.op
    kernel = kernel_of(graph, op).values().astype(np.int64)[0]
    channels = network.rows[layer.inputs[0]].channels
    if channels == 1:
        # Every output reads the one channel, as in a convolution.
        return _conv_of(network, layer, kernel.transpose(2, 0, 1)[..., None], instructions)
    flat = kernel.reshape(-1, kernel.shape[2]).T
    headers = _channel_words(graph, layer, flat)
    is_plain = channels == kernel.shape[2] and _shifts_right(headers, flat)
    # The kernel reads past the last channel: in the state's memory, not in the caller's row.
    is_read_apart = layer.inputs[0] != network.input
    if instructions == "mve" and is_plain and is_read_apart and kernel.min(initial=0) > -128:
        return _depthwise_mve(kernel, headers)
    is_3x3 = kernel.shape[:2] == (3, 3) and layer.dilation == (1, 1) and layer.stride[1] <= 2
    if instructions == "portable" or not (is_plain and is_3x3 and channels % 4 == 0):
        words = np.concatenate([headers.reshape(-1), _as_words(flat.T.reshape(1, -1))[0]])
        # Pointers to the window's rows and to its taps, and a pixel of the zero point.
        scratch = 8 * len(kernel) + 8 * flat.shape[1] + channels
        return _scratch_kernel("depthwise", "depthwise.c", words, scratch)
    return _depthwise_dsp(network, layer, kernel, headers)


def _depthwise_dsp(
    network: Network, layer: Layer, kernel: np.ndarray, headers: np.ndarray
) -> Kernel:
    """Channel by channel: bias, three words of weights and the shift, multiplier.

    SXTB16 unpacks bytes 0 and 2, then 1 and 3: rows 0 and 1 of each column, then row 2's pairs.
    """
    taps = kernel.transpose(2, 0, 1)
    shifts = headers[:, 2] - 1
    order = [taps[:, 0, 0], taps[:, 0, 1], taps[:, 1, 0], taps[:, 1, 1]]
    order += [taps[:, 0, 2], taps[:, 2, 0], taps[:, 1, 2], taps[:, 2, 1]]
    order += [taps[:, 2, 1], shifts, taps[:, 2, 2], np.zeros_like(shifts)]
    body = _as_words(np.stack(order, axis=1))
    scales = _dsp_scales(headers)[:, :1]
    words = np.concatenate([headers[:, :1], body, scales], axis=1)
    width = network.rows[layer.output].width
    steps = width if layer.stride[1] == 2 else (width + 1) // 2
    scratch = len(taps) + min(steps + 1, STRIP_PAIRS) * PAIR_BYTES
    return _scratch_kernel("depthwise_dsp", "depthwise_dsp.c", words.reshape(-1), scratch)


def _scratch_kernel(name: str, source: str, weights: np.ndarray, scratch_bytes: int) -> Kernel:
    return Kernel(
        name=name,
        source=source,
        arguments="&in, row, out, scratch",
        weights=weights,
        scratch_bytes=scratch_bytes,
    )


def _depthwise_mve(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Sixteen channels at a time: their headers in the order of the products, then their taps."""
    taps = kernel.reshape(-1, kernel.shape[2])
    channels = taps.shape[1]
    if MVE_LANES % channels == 0:
        # Several pixels side by side fill the lanes.
        taps = np.tile(taps, (1, MVE_LANES // channels))
        headers = np.tile(headers, (MVE_LANES // channels, 1))
    lanes = _padded(headers, MVE_LANES, 3).reshape(-1, MVE_LANES, 3)
    order = [start + 4 * n for start in (0, 2, 1, 3) for n in range(4)]
    heads = lanes[:, order].transpose(0, 2, 1)
    heads[:, 2] *= -1
    body = _padded(taps, 1, MVE_LANES).reshape(len(taps), -1, MVE_LANES).swapaxes(0, 1)
    blocks = np.concatenate(
        [heads.reshape(len(heads), -1), _as_words(body.reshape(len(body), -1))], axis=1
    )
    scratch = 4 * (len(kernel) + len(taps)) + channels + MVE_LANES
    return _scratch_kernel("depthwise_mve", "depthwise_mve.c", blocks.reshape(-1), scratch)


def _conv_mve(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    headers[:, 2] *= -1
    taps = kernel.reshape(len(kernel), -1)
    # Sixteen bytes are written at once, beyond the last tap.
    scratch = 4 * kernel.shape[1] + MVE_PIXELS * taps.shape[1] + MVE_LANES
    return _scratch_kernel("conv_mve", "conv_mve.c", _in_fours(taps, headers), scratch)


def _in_fours(taps: np.ndarray, headers: np.ndarray) -> np.ndarray:
    """Headers of four channels each, then the taps of all channels.

    If their number is no multiple of four, the kernel makes the last four once more.
    """
    missing = max(MVE_CHANNELS - len(taps), 0)
    taps, headers = (np.pad(table, ((0, missing), (0, 0))) for table in (taps, headers))
    starts = [*range(0, len(taps) - MVE_CHANNELS + 1, MVE_CHANNELS)]
    if len(taps) % MVE_CHANNELS:
        starts.append(len(taps) - MVE_CHANNELS)
    heads = [headers[start : start + MVE_CHANNELS].T.reshape(-1) for start in starts]
    return np.concatenate([*heads, _as_words(taps.reshape(1, -1))[0]])


def _without_zero_blocks(biases: np.ndarray, body: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Of two channels by eight taps each: how many are left, then the number and words of each."""
    parts = []
    for bias, words, scale in zip(biases, body, scales, strict=True):
        blocks = words.reshape(-1, BLOCK_WORDS)
        left = np.flatnonzero(blocks.any(axis=1))
        numbered = np.concatenate([left[:, None], blocks[left]], axis=1)
        parts += [[len(left)], bias, numbered.reshape(-1), scale]
    return np.concatenate(parts)


def _dsp_scales(headers: np.ndarray) -> np.ndarray:
    """Two words a channel, as SMMLAR and SMMLSR take the multiplier and the shift to the right."""
    return np.stack([2 * headers[:, 1] - 2**32, -(2 ** (32 - headers[:, 2]))], axis=1)


def _in_run_order(runs: np.ndarray) -> np.ndarray:
    """Rows of a window as SXTB16 unpacks their bytes: 0 and 2 of four, then 1 and 3.

    What is left over goes two by two, the last one beside a zero.
    """
    fours = runs.shape[2] // 4 * 4
    head = runs[:, :, :fours].reshape(*runs.shape[:2], -1, 2, 2).swapaxes(3, 4)
    rest = runs[:, :, fours:]
    rest = np.pad(rest, ((0, 0), (0, 0), (0, rest.shape[2] % 2)))
    return np.concatenate([head.reshape(*runs.shape[:2], -1), rest], axis=2)


def _channel_words(graph: Graph, layer: Layer, taps: np.ndarray) -> np.ndarray:
    """Three words a channel: bias, multiplier, shift to the right.

    The input's zero point is taken out in the bias: it weighs the sum of the weights.
    """
    op = layer.op
    sums = taps.reshape(len(taps), -1).sum(axis=1)
    bias = bias_of(graph, op) - zero_point_of(graph.tensors[op.inputs[0]]) * sums
    multiplier, shift = channel_multipliers(graph, op)
    return np.stack([bias, multiplier, -shift], axis=1)


def _shifts_right(headers: np.ndarray, taps: np.ndarray) -> bool:
    """Whether the short requantization is exact: shifts of 1 to 23, sums below 2 ** 29.

    A multiplier is at least a half, 2 ** 30: the kernels take it doubled, less 2 ** 32.
    """
    multiplier, right = headers[:, 1], headers[:, 2]
    largest = np.abs(headers[:, 0]) + 128 * np.abs(taps).sum(axis=1)
    is_short = (right >= 1) & (right <= 23) & (multiplier >= 2**30) & (largest < 2**29)
    return bool(is_short.all())


def _right(pair: tuple[int, int]) -> list[int]:
    return [pair[0], -pair[1]]


def _padded(table: np.ndarray, row_multiple: int, column_multiple: int) -> np.ndarray:
    rows, columns = table.shape
    return np.pad(table, ((0, -rows % row_multiple), (0, -columns % column_multiple)))


def _as_words(table: np.ndarray) -> np.ndarray:
    """Rows of int8 values as rows of little-endian words, filled up with zeros."""
    return _padded(table, 1, 4).astype(np.int8, order="C").view("<i4").astype(np.int64)


def _words(numbers: list[int] | np.ndarray) -> np.ndarray:
    return np.asarray(numbers, np.int64).reshape(-1)


PackLayer = Callable[[Network, Layer, str], Kernel]

KERNELS: dict[str, PackLayer] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _average_pool,
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _max_pool,
    "MEAN": _mean,
    "PAD": _pad,
    "QUANTIZE": _quantize,
    "SOFTMAX": _softmax,
}
"""By operator: what picks its kernel for an instruction set, and packs its weights."""
