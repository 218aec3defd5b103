"""Weights of four bits in the order of the kernels, two a byte.

Of two channels a and b, a byte is 16 a + b + 8: as a signed byte it adds 16 a's products and those
of what its lower half is, b + 8. Neither needs its sign extended; 8 times the sum of the input is
taken off.
"""

from __future__ import annotations

import numpy as np

from edge.engine.kernel import WHOLE, Kernel, as_words, padded, scratch_kernel
from edge.engine.network import Layer, Network
from edge.engine.packing_dsp import conv_scales, dense_scales, in_run_order, run_pixels, tiles
from edge.engine.packing_mve import MVE_CHANNELS, MVE_LANES, four_channels, window_bytes
from edge.engine.packing_portable import patch_bytes

LARGEST_SUM = 2**27
"""Sixteen times a sum is of 32 bits."""


def has_int4_sums(headers: np.ndarray, taps: np.ndarray) -> bool:
    """Whether sixteen times each sum is of 32 bits, so that the kernels of four bits are exact.

    Args:
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.
        taps: The weights, int64 array of shape `(channels, taps)`.

    Returns:
        Whether it is for all channels.

    Example:
        >>> has_int4_sums(np.array([[2**27, 2**30, 1]]), np.ones((1, 4), int))
        False
    """
    largest = np.abs(headers[:, 0]) + 128 * np.abs(taps).sum(axis=1)
    return bool((largest < LARGEST_SUM).all())


def pair_bytes(taps: np.ndarray) -> np.ndarray:
    """Two channels a byte: 16 of the first one's weight, and the second one's raised by 8.

    Args:
        taps: The weights, int64 array of shape `(channels, taps)`, each of -8 to 7.

    Returns:
        int64 array of shape `(pairs, taps)`; the last of an odd number of channels has zeros.

    Example:
        >>> pair_bytes(np.array([[1, -8], [2, 7], [3, 3]])).tolist()
        [[26, -113], [56, 56]]
    """
    pairs = padded(taps, 2, 1).reshape(-1, 2, taps.shape[1])
    return np.asarray(16 * pairs[:, 0] + pairs[:, 1] + 8)


def conv_int4_dsp(
    network: Network, layer: Layer, kernel: np.ndarray, headers: np.ndarray
) -> Kernel:
    """Two channels at a time: what their sums start at, taps in turns of eight, scales.

    A word has four taps of both channels: the first and the third, then the others.

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
        >>> rows = np.ones((2, 1, 1, 8), int), np.array([[3, 2**30, 1]] * 2)
        >>> [hex(word) for word in conv_int4_dsp(network, network.layers[0], *rows).weights[:4]]
        ['0x33', '0x3', '0x19191919', '0x19191919']
    """
    runs = in_run_order(kernel.reshape(len(kernel), kernel.shape[1], -1))
    # Taps that fill up the last turn of the loop are not among those whose sum is taken off.
    filled = padded(pair_bytes(runs.reshape(len(runs), -1)), 1, 8)
    body = as_words(filled.reshape(len(filled), -1, 2, 2).swapaxes(2, 3).reshape(len(filled), -1))
    scales = padded(conv_scales(kernel, headers), 2, 1).reshape(-1, 4)
    tile, pixels = tiles(network.rows[layer.output].width)
    run = run_pixels(layer, pixels) * kernel.shape[3]
    scratch = 4 * kernel.shape[1] + pixels * (filled.shape[1] * 2 + 4) + run
    packed = np.concatenate([_starts(headers), body, scales], axis=1).reshape(-1)
    return scratch_kernel(f"conv_{tile}_int4_dsp", "conv_int4_dsp.c", packed, scratch)


def conv_int4_mve(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Of four channels the headers, then sixteen taps of two, of the other two, and so on.

    A byte's lower half is the second channel's weight as it is.

    Args:
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> len(conv_int4_mve(np.ones((4, 1, 1, 8), int), np.array([[0, 2**30, 1]] * 4)).weights)
        20
    """
    taps = kernel.reshape(len(kernel), -1)
    parts = []
    for block in four_channels(len(taps)):
        chosen = padded(taps[block], MVE_CHANNELS, MVE_LANES)
        # Nothing is raised: the upper bit of a lower half is its sign.
        pairs = pair_bytes(chosen) ^ 8
        vectors = as_words(pairs).reshape(2, -1, MVE_LANES // 4).swapaxes(0, 1)
        heads = padded(headers[block] * (1, 1, -1), MVE_CHANNELS, 1)
        parts += [heads.T.reshape(-1), vectors.reshape(-1)]
    scratch = window_bytes(kernel)
    return scratch_kernel("conv_int4_mve", "conv_int4_mve.c", np.concatenate(parts), scratch)


def conv_int4_portable(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Two channels at a time: their headers, their weights.

    Args:
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> made = conv_int4_portable(np.ones((3, 1, 1, 5), int), np.array([[7, 2**30, 1]] * 3))
        >>> len(made.weights)
        16
    """
    packed = _in_pairs(kernel.reshape(len(kernel), -1), headers)
    return scratch_kernel("conv_int4", "conv_int4.c", packed, patch_bytes(kernel))


def conv_int4(
    network: Network, layer: Layer, kernel: np.ndarray, headers: np.ndarray, instructions: str
) -> Kernel:
    """The kernel of a convolution with weights of four bits.

    Args:
        network: The network.
        layer: The layer.
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.
        instructions: The instruction set.

    Returns:
        The `Kernel`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> network = network_of(graph)
        >>> rows = np.ones((2, 1, 1, 8), int), np.array([[3, 2**30, 1]] * 2)
        >>> conv_int4(network, network.layers[0], *rows, "portable").name
        'conv_int4'
    """
    if instructions == "portable":
        return conv_int4_portable(kernel, headers)
    if instructions == "mve":
        return conv_int4_mve(kernel, headers)
    return conv_int4_dsp(network, layer, kernel, headers)


def fully_connected_int4(kernel: np.ndarray, headers: np.ndarray, instructions: str) -> Kernel:
    """The kernel of FULLY_CONNECTED with weights of four bits.

    Args:
        kernel: The weights, int64 array of shape `(outputs, taps)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(outputs, 3)`.
        instructions: The instruction set.

    Returns:
        The `Kernel`.

    Example:
        >>> fully_connected_int4(np.ones((4, 8), int), np.array([[0, 2**30, 9]] * 4), "mve").name
        'fully_connected_int4_mve'
    """
    if instructions == "portable":
        packed = _in_pairs(kernel, headers)
        return Kernel("fully_connected_int4", "conv_int4.c", WHOLE, packed)
    if instructions == "mve":
        heads = padded(headers, MVE_CHANNELS, 1).reshape(-1, MVE_CHANNELS, 3).swapaxes(1, 2)
        pairs = pair_bytes(padded(kernel, MVE_CHANNELS, 1)).reshape(len(heads), -1)
        packed = np.concatenate([heads.reshape(len(heads), -1), as_words(pairs)], axis=1)
        name = "fully_connected_int4_mve"
        return Kernel(name, "fully_connected_mve.c", WHOLE, packed.reshape(-1))
    scales = padded(dense_scales(headers), 2, 1).reshape(-1, 4)
    packed = np.concatenate([_starts(headers), as_words(pair_bytes(kernel)), scales], axis=1)
    name = "fully_connected_int4_dsp"
    return Kernel(name, "fully_connected_dsp.c", WHOLE, packed.reshape(-1))


def _in_pairs(taps: np.ndarray, headers: np.ndarray) -> np.ndarray:
    """Of two channels their headers, then their taps."""
    heads = padded(headers, 2, 1).reshape(-1, 6)
    return np.concatenate([heads, as_words(pair_bytes(taps))], axis=1).reshape(-1)


def _starts(headers: np.ndarray) -> np.ndarray:
    """What the sums of two channels start at, so that their biases are in them."""
    first, second = padded(headers[:, :1], 2, 1).reshape(-1, 2).T
    return np.stack([16 * first + second, second], axis=1)
