"""Weights in the order of the kernels for the DSP extension."""

from __future__ import annotations

import numpy as np

from edge.engine.kernel import WHOLE, Kernel, as_words, padded, scratch_kernel
from edge.engine.network import Layer, Network

STRIP_PIXELS = 64
BLOCK_WORDS = 4
DENSE_OUTPUTS = 4
FOUR_CHANNELS = 4


def conv_dsp(network: Network, layer: Layer, kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Two channels at a time: biases, taps in turns of eight, scales.

    Blocks of two channels by eight taps that are all zero are left out where that makes less.

    Args:
        network: The network.
        layer: The layer.
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> network = network_of(graph)
        >>> rows = np.ones((2, 1, 1, 8), int), np.array([[0, 2**30, 1]] * 2)
        >>> conv_dsp(network, network.layers[0], *rows).name
        'conv_4_dsp'
    """
    runs = in_run_order(kernel.reshape(len(kernel), kernel.shape[1], -1))
    # The loop takes eight taps a turn, and two channels at a time.
    filled = padded(runs.reshape(len(runs), -1), 2, 8)
    pairs = filled.reshape(-1, 2, filled.shape[1] // 2, 2).transpose(0, 2, 3, 1)
    body = as_words(pairs.reshape(len(pairs), -1))
    biases = padded(headers[:, :1], 2, 1).reshape(-1, 2)
    scales = padded(conv_scales(kernel, headers), 2, 1).reshape(-1, 4)
    tile, pixels = tiles(network.rows[layer.output].width)
    run = run_pixels(layer, pixels) * kernel.shape[3]
    scratch = 4 * kernel.shape[1] + pixels * filled.shape[1] * 2 + run
    dense = np.concatenate([biases, body, scales], axis=1).reshape(-1)
    sparse = _without_zero_blocks(biases, body, scales)
    # The sparse loop takes some instructions more for each block: only fewer words pay.
    if len(sparse) < len(dense):
        return scratch_kernel(f"conv_{tile}_sparse_dsp", "conv_sparse_dsp.c", sparse, scratch)
    return scratch_kernel(f"conv_{tile}_dsp", "conv_dsp.c", dense, scratch)


def tiles(width: int) -> tuple[int, int]:
    """What the kernel for a row of some width is named after, and the pixels of its widest tile.

    Tiles of three cost hardly more for each pixel than those of four, others do.

    Args:
        width: The pixels of a row.

    Returns:
        The number in the kernel's name, and the pixels.

    Example:
        >>> tiles(7)
        (3, 4)
    """
    if width % 4 == 0:
        return 4, 4
    if width == 1:
        return 1, 1
    return (2, 3) if width in (2, 5) else (3, 4)


def run_pixels(layer: Layer, pixels: int) -> int:
    """The pixels of the input that a tile's pixels see of a row, gaps left out.

    Args:
        layer: The layer.
        pixels: The pixels of a tile.

    Returns:
        The number.

    Example:
        >>> from edge.engine.layers import network_of
        >>> run_pixels(network_of(graph).layers[0], 4)  # windows of three, two apart
        9
    """
    width, stride = layer.window[1], layer.stride[1]
    has_gaps = layer.dilation[1] > 1 or stride > width
    return pixels * width if has_gaps else (pixels - 1) * stride + width


def fully_connected_dsp(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Of four outputs what their sums start at, weights and scales; then output by output.

    Two outputs a and b share a halfword of weights, 256 a + b + 128, and start at a's bias and at
    256 times that and b's. Four taps are two words of a and b, then two of the others: taps 0 and
    2, then 1 and 3, as SXTB16 unpacks the input.

    Args:
        kernel: The weights, int64 array of shape `(outputs, taps)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(outputs, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> packed = fully_connected_dsp(np.ones((4, 4), int), np.array([[1, 2**30, 9]] * 4))
        >>> [hex(word) for word in packed.weights[:6]]
        ['0x1', '0x101', '0x1', '0x101', '0x1810181', '0x1810181']
    """
    fours = len(kernel) // DENSE_OUTPUTS * DENSE_OUTPUTS
    scales = dense_scales(headers)
    # Fours of outputs, their pairs, a and b, fours of taps, halves, taps of a half.
    quads = -(-kernel.shape[1] // 4)
    filled = padded(kernel[:fours], 1, 4).reshape(-1, 2, 2, quads, 2, 2)
    high, low = filled[:, :, 0], filled[:, :, 1]
    halves = (256 * high + low + 128).transpose(0, 2, 4, 1, 3)
    body = halves.astype("<i2", order="C").view("<i4").astype(np.int64)
    first, second = headers[:fours, 0].reshape(-1, 2).T
    starts = np.stack([first, 256 * first + second], axis=1).reshape(-1, DENSE_OUTPUTS)
    starts = starts.astype(np.int32).astype(np.int64)
    blocks = [starts, body.reshape(-1, 4 * quads), scales[:fours].reshape(-1, 8)]
    rest = [headers[fours:, :1], as_words(kernel[fours:]), scales[fours:]]
    packed = [np.concatenate(part, axis=1).reshape(-1) for part in (blocks, rest)]
    return Kernel("fully_connected_dsp", "fully_connected_dsp.c", WHOLE, np.concatenate(packed))


def dense_scales(headers: np.ndarray) -> np.ndarray:
    """Two words an output, multiplier and shift, as the kernels of FULLY_CONNECTED take them.

    Args:
        headers: Bias, multiplier and shift to the right, int64 array of shape `(outputs, 3)`.

    Returns:
        int64 array of shape `(outputs, 2)`.

    Example:
        >>> dense_scales(np.array([[0, 2**30, 9]])).tolist()
        [[1073741824, -16777216]]
    """
    return np.stack([headers[:, 1], -(2 ** (33 - headers[:, 2]))], axis=1)


def depthwise_dsp(
    network: Network, layer: Layer, kernel: np.ndarray, headers: np.ndarray
) -> Kernel:
    """Channel by channel: bias, three words of weights and the shift, multiplier.

    SXTB16 unpacks bytes 0 and 2, then 1 and 3: rows 0 and 1 of each column, then row 2's pairs.

    Args:
        network: The network.
        layer: The layer.
        kernel: The weights, int64 array of shape `(3, 3, channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> network = network_of(graph)
        >>> rows = np.ones((3, 3, 4), int), np.array([[0, 2**30, 1]] * 4)
        >>> len(depthwise_dsp(network, network.layers[1], *rows).weights)
        20
    """
    taps = kernel.transpose(2, 0, 1)
    shifts = headers[:, 2] - 1
    order = [taps[:, 0, 0], taps[:, 0, 1], taps[:, 1, 0], taps[:, 1, 1]]
    order += [taps[:, 0, 2], taps[:, 2, 0], taps[:, 1, 2], taps[:, 2, 1]]
    order += [taps[:, 2, 1], shifts, taps[:, 2, 2], np.zeros_like(shifts)]
    body = as_words(np.stack(order, axis=1))
    scales = _dsp_scales(headers)[:, :1]
    packed = np.concatenate([headers[:, :1], body, scales], axis=1)
    scratch = 4 * min(network.rows[layer.output].width, STRIP_PIXELS)
    return scratch_kernel("depthwise_dsp", "depthwise_dsp.c", packed.reshape(-1), scratch)


def depthwise_any_dsp(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Four channels at a time: biases, two taps in turn, scales.

    A word has a tap of two channels, then the other tap of both; a second word is of the other two.

    Args:
        kernel: The weights, int64 array of shape `(height, width, channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> packed = depthwise_any_dsp(np.ones((1, 2, 4), int), np.array([[0, 2**30, 1]] * 4))
        >>> [hex(word) for word in packed.weights[4:6]]
        ['0x1010101', '0x1010101']
    """
    taps = padded(kernel.reshape(-1, kernel.shape[2]), 2, FOUR_CHANNELS)
    fours = taps.shape[1] // FOUR_CHANNELS
    # Pairs of taps, the taps of a pair, fours of channels, the halves of a four, its channels.
    pairs = taps.reshape(-1, 2, fours, 2, 2).transpose(2, 0, 3, 1, 4)
    body = as_words(pairs.reshape(fours, -1))
    biases = padded(headers[:, :1], FOUR_CHANNELS, 1).reshape(fours, -1)
    scales = padded(_dsp_scales(headers), FOUR_CHANNELS, 1).reshape(fours, -1)
    packed = np.concatenate([biases, body, scales], axis=1).reshape(-1)
    # Pointers to the window's rows and to its taps, and a pixel of the zero point.
    scratch = 4 * len(kernel) + 4 * len(taps) + FOUR_CHANNELS * fours
    return scratch_kernel("depthwise_any_dsp", "depthwise_any_dsp.c", packed, scratch)


def add_dsp(inputs: list[tuple[int, int, int]], last: tuple[int, int], default: Kernel) -> Kernel:
    """Which input is of the larger scale, and how the other one and the sum are scaled.

    The input of the larger scale is halved, which is exact; the portable kernel is for sums that
    are not shifted to the right, and for scales too far from each other.

    Args:
        inputs: Zero point, multiplier and shift to the right of both.
        last: Multiplier and shift to the right of the sum.
        default: The portable kernel.

    Returns:
        The `Kernel`.

    Example:
        >>> inputs = [(3, 2**30, 2), (4, 2**30, 0)]
        >>> portable = Kernel("add", "elementwise.c", WHOLE, np.zeros(0, int))
        >>> add_dsp(inputs, (2**30, 19), portable).weights.tolist()[:2]
        [1, -2147483648]
    """
    half = (2**30, 0)
    is_second_wide = inputs[0][1:] != half
    scaled, wide = inputs if is_second_wide else inputs[::-1]
    shifts = max(scaled[2], 1), last[1]
    if wide[1:] != half or min(shifts) < 1 or max(shifts) > 31 or not (scaled[1] and last[1]):
        return default
    # A half is the product with all of it, shifted: the shift is at least by one.
    multiplier = 0 if scaled[1:] == half else 2 * scaled[1] - 2**32
    numbers = [int(is_second_wide), 2 * last[0] - 2**32, -(2 ** (32 - last[1]))]
    numbers += [scaled[0] << 20, multiplier, -(2 ** (32 - shifts[0])), -wide[0] << 19]
    return Kernel("add_dsp", "add_dsp.c", default.arguments, np.array(numbers, np.int64))


def _without_zero_blocks(biases: np.ndarray, body: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Of two channels by eight taps each: how far the last one is behind the biases, in bytes, then
    the biases, and the number and words of each that is left."""
    parts = []
    for bias, packed, scale in zip(biases, body, scales, strict=True):
        blocks = packed.reshape(-1, BLOCK_WORDS)
        left = np.flatnonzero(blocks.any(axis=1))
        numbered = np.concatenate([left[:, None], blocks[left]], axis=1)
        parts += [[20 * len(left) - 16], bias, numbered.reshape(-1), scale]
    return np.concatenate(parts)


def _dsp_scales(headers: np.ndarray) -> np.ndarray:
    """Two words a channel, as SMMLAR and SMMLSR take the multiplier and the shift to the right."""
    return np.stack([2 * headers[:, 1] - 2**32, -(2 ** (32 - headers[:, 2]))], axis=1)


def conv_scales(kernel: np.ndarray, headers: np.ndarray) -> np.ndarray:
    """`_dsp_scales` with shifts that round ties away from zero, for two channels or for neither.

    One more than a power of two moves a product away from zero by less than a step of what is
    shifted, if that is below the power: a tie is decided, all else stays. What is 256 times the
    divisor or more saturates, wherever the zero point is.

    Args:
        kernel: The weights, int64 array whose first axis are the channels.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        int64 array of shape `(channels, 2)`.

    Example:
        >>> conv_scales(np.ones((2, 9), int), np.array([[0, 2**30, 9]] * 2)).tolist()[0]
        [-2147483648, -8388609]
    """
    bias, multiplier, right = headers.T
    largest = np.abs(bias) + 128 * np.abs(kernel.reshape(len(kernel), -1)).sum(axis=1)
    shifted = np.minimum(largest * multiplier / 2**31 + 1, 256.0 * 2.0**right)
    # 2 ** 31 + 1 is no word.
    fits = (shifted <= 2.0 ** (32 - right)) & (right > 1)
    pairs = np.append(fits, fits[len(fits) // 2 * 2 :])
    decides = np.repeat(pairs.reshape(-1, 2).all(axis=1), 2)[: len(fits)]
    scales = _dsp_scales(headers)
    scales[:, 1] -= decides
    return scales


def in_run_order(runs: np.ndarray) -> np.ndarray:
    """Rows of a window as SXTB16 unpacks their bytes: 0 and 2 of four, then 1 and 3.

    What is left over goes two by two, the last one beside a zero.

    Args:
        runs: The weights, an integer array of shape `(channels, height, width x input channels)`.

    Returns:
        The array, each row of an even length.

    Example:
        >>> in_run_order(np.arange(1, 6).reshape(1, 1, 5)).tolist()
        [[[1, 3, 2, 4, 5, 0]]]
    """
    fours = runs.shape[2] // 4 * 4
    head = runs[:, :, :fours].reshape(*runs.shape[:2], -1, 2, 2).swapaxes(3, 4)
    rest = runs[:, :, fours:]
    rest = np.pad(rest, ((0, 0), (0, 0), (0, rest.shape[2] % 2)))
    return np.concatenate([head.reshape(*runs.shape[:2], -1), rest], axis=2)
