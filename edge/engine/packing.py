"""Which kernel makes a layer's rows on a core, and its weights in the order that it reads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.catalog.boards import Board
from edge.engine.kernel import (
    ROW,
    WHOLE,
    Kernel,
    as_words,
    channel_words,
    scratch_kernel,
    shifts_right,
    words,
)
from edge.engine.network import Layer, Network
from edge.engine.packing_dsp import (
    add_dsp,
    conv_dsp,
    depthwise_any_dsp,
    depthwise_dsp,
    fully_connected_dsp,
)
from edge.engine.packing_int4 import conv_int4, fully_connected_int4, has_int4_sums
from edge.engine.packing_mve import conv_mve, depthwise_3x3_mve, depthwise_mve, in_fours
from edge.engine.packing_portable import conv_portable
from edge.tflite.fixed_point import exp_table
from edge.tflite.operators import has_int4_kernel, kernel_of
from edge.tflite.requantization import (
    add_multipliers,
    mean_multiplier,
    quantize_multiplier,
    scale_of,
    zero_point_of,
)
from edge.tflite.tables import TABLES, table_of

INSTRUCTION_SETS = ("portable", "dsp", "mve")
MVE_PIXELS_MADE = 8
MVE_CHANNELS_MADE = 2**16 - 4


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
        'conv_4_dsp'
    """
    return KERNELS[layer.op.opcode](network, layer, instructions)


def _add(network: Network, layer: Layer, instructions: str) -> Kernel:
    graph = network.graph
    first, second, last = add_multipliers(graph, layer.op)
    points = [zero_point_of(graph.tensors[index]) for index in layer.inputs]
    shifts = first[1], second[1], last[1]
    if instructions == "mve" and max(shifts[:2]) <= 0 and min(shifts) > -31 and last[1] < 0:
        numbers = [points[0], *first, points[1], *second, *last]
        return Kernel("add_mve", "add_mve.c", "&in, &other, row, out", words(numbers))
    right = [(points[0], *_right(first)), (points[1], *_right(second))]
    numbers = [*right[0], *right[1], *_right(last)]
    portable = Kernel("add", "elementwise.c", "&in, &other, row, out", words(numbers))
    return add_dsp(right, _right(last), portable) if instructions == "dsp" else portable


def _average_pool(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("average_pool", "pool.c", ROW, words([]))


def _fully_connected(network: Network, layer: Layer, instructions: str) -> Kernel:
    kernel = kernel_of(network.graph, layer.op).values().astype(np.int64)
    headers = channel_words(network.graph, layer, kernel)
    right = headers[:, 2]
    if not ((right >= 2) & (right <= 31)).all():
        instructions = "portable"
    if has_int4_kernel(network.graph, layer.op) and has_int4_sums(headers, kernel):
        return fully_connected_int4(kernel, headers, instructions)
    if instructions == "portable":
        blocks = np.concatenate([headers, as_words(kernel)], axis=1)
        return Kernel("fully_connected", "conv.c", WHOLE, blocks.reshape(-1))
    if instructions == "mve":
        packed = in_fours(kernel.reshape(len(kernel), -1), headers)
        return Kernel("fully_connected_mve", "fully_connected_mve.c", WHOLE, packed)
    return fully_connected_dsp(kernel.reshape(len(kernel), -1), headers)


def _max_pool(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("max_pool", "pool.c", ROW, words([]))


def _mean(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel(
        "mean", "pool.c", WHOLE, words([*_right(mean_multiplier(network.graph, layer.op))])
    )


def _pad(network: Network, layer: Layer, instructions: str) -> Kernel:
    return Kernel("pad", "elementwise.c", ROW, words([]))


def _quantize(network: Network, layer: Layer, instructions: str) -> Kernel:
    multiplier = quantize_multiplier(network.graph, layer.op)
    return Kernel("quantize", "elementwise.c", ROW, words(_right(multiplier)))


def _softmax(network: Network, layer: Layer, instructions: str) -> Kernel:
    source = network.graph.tensors[layer.op.inputs[0]]
    table = exp_table(scale_of(source), layer.op.options.get("beta", 1.0))
    return Kernel("softmax", "softmax.c", ROW, words(table))


def _tabulated(network: Network, layer: Layer, instructions: str) -> Kernel:
    # What becomes of 0 to 127 first: a byte without its sign is the place.
    table = np.roll(table_of(network.graph, layer.op), 128)
    return Kernel("table", "table.c", ROW, as_words(table[None].astype(np.int64))[0])


def _conv(network: Network, layer: Layer, instructions: str) -> Kernel:
    kernel = kernel_of(network.graph, layer.op).values().astype(np.int64)
    return _conv_of(network, layer, kernel, instructions)


def _conv_of(network: Network, layer: Layer, kernel: np.ndarray, instructions: str) -> Kernel:
    taps = kernel.reshape(len(kernel), -1)
    headers = channel_words(network.graph, layer, taps)
    # Offsets from pixel to pixel are of sixteen bits.
    is_many = instructions == "mve" and len(kernel) > MVE_CHANNELS_MADE
    if is_many or not shifts_right(headers, taps):
        instructions = "portable"
    if instructions == "portable":
        made = conv_portable(kernel, headers)
    elif instructions == "mve":
        made = conv_mve(kernel, headers)
    else:
        made = conv_dsp(network, layer, kernel, headers)
    if not has_int4_kernel(network.graph, layer.op) or not has_int4_sums(headers, taps):
        return made
    packed = conv_int4(network, layer, kernel, headers, instructions)
    # Of weights that are mostly zero in blocks, bytes are fewer than halves of all.
    return packed if len(packed.weights) <= len(made.weights) else made


def _depthwise(network: Network, layer: Layer, instructions: str) -> Kernel:
    graph, op = network.graph, layer.op
    kernel = kernel_of(graph, op).values().astype(np.int64)[0]
    channels = network.rows[layer.inputs[0]].channels
    if channels == 1:
        # Every output reads the one channel, as in a convolution.
        return _conv_of(network, layer, kernel.transpose(2, 0, 1)[..., None], instructions)
    flat = kernel.reshape(-1, kernel.shape[2]).T
    headers = channel_words(graph, layer, flat)
    is_plain = channels == kernel.shape[2] and shifts_right(headers, flat)
    is_3x3 = kernel.shape[:2] == (3, 3) and layer.dilation == (1, 1) and layer.stride[1] <= 2
    # The kernel reads past the last channel: in the state's memory, not in the caller's row.
    is_read_apart = layer.inputs[0] != network.input
    if instructions == "mve" and is_plain and is_read_apart and kernel.min(initial=0) > -128:
        # Offsets from pixel to pixel are of sixteen bits.
        if is_3x3 and channels * MVE_PIXELS_MADE < 2**16:
            return depthwise_3x3_mve(kernel, headers, layer.stride[1])
        return depthwise_mve(kernel, headers)
    # Beyond the last of four channels it reads what is behind them, as above.
    is_any = is_plain and (is_read_apart or channels % 4 == 0)
    if instructions == "dsp" and is_any and not is_3x3:
        return depthwise_any_dsp(kernel, headers)
    if instructions != "dsp" or not (is_plain and is_3x3):
        packed = np.concatenate([headers.reshape(-1), as_words(flat.T.reshape(1, -1))[0]])
        # Pointers to the window's rows and to its taps, and a pixel of the zero point.
        scratch = 8 * len(kernel) + 8 * flat.shape[1] + channels
        return scratch_kernel("depthwise", "depthwise.c", packed, scratch)
    return depthwise_dsp(network, layer, kernel, headers)


def _right(pair: tuple[int, int]) -> tuple[int, int]:
    return pair[0], -pair[1]


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
    **dict.fromkeys(TABLES, _tabulated),
}
"""By operator: what picks its kernel for an instruction set, and packs its weights."""
