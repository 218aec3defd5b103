"""Weights in the order of the kernels for Helium."""

from __future__ import annotations

import numpy as np

from edge.engine.kernel import Kernel, as_words, padded, scratch_kernel

MVE_CHANNELS = 4
MVE_LANES = 16
MVE_KEPT = 0.7
"""The share of vectors up to which it pays to step over those that are all zero."""
MVE_PIXELS = ((32, 16), (128, 8), (512, 4), (2**32, 2))
"""The windows that `conv_mve` gathers at once, by the most taps that each may have."""


def depthwise_3x3_mve(kernel: np.ndarray, headers: np.ndarray, stride: int) -> Kernel:
    """Of each channel a zero and a word for each column, a zero, then biases and multipliers.

    Args:
        kernel: The weights, int64 array of shape `(height, width, channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.
        stride: The columns from window to window, 1 or 2.

    Returns:
        The `Kernel`.

    Example:
        >>> headers = np.array([[0, 2**30, 1]] * 4)
        >>> len(depthwise_3x3_mve(np.ones((3, 3, 4), int), headers, 1).weights)
        25
    """
    # (row, column, channel) -> rows of a column side by side, the fourth without a weight.
    columns = np.pad(kernel.transpose(2, 1, 0), ((0, 0), (1, 0), (0, 1)))
    columns[:, 1, 3] = -headers[:, 2]
    taps = as_words(columns.reshape(len(headers), -1))
    packed = np.concatenate([taps.reshape(-1), [0], headers[:, :2].reshape(-1)])
    # Windows of eight pixels and a column behind them, or of more of fewer channels, and what
    # stores of sixteen words exceed.
    strip = (7 * stride + 4) * MVE_LANES
    scratch = MVE_LANES + 4 * (strip + MVE_LANES)
    return scratch_kernel("depthwise_3x3_mve", "depthwise_3x3_mve.c", packed, scratch)


def depthwise_mve(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Sixteen channels at a time: their headers in the order of the products, then their taps.

    Args:
        kernel: The weights, int64 array of shape `(height, width, channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> len(depthwise_mve(np.ones((3, 3, 16), int), np.array([[0, 2**30, 1]] * 16)).weights)
        84
    """
    taps = kernel.reshape(-1, kernel.shape[2])
    channels = taps.shape[1]
    lanes = padded(headers, MVE_LANES, 3).reshape(-1, MVE_LANES, 3)
    order = [start + 4 * n for start in (0, 2, 1, 3) for n in range(4)]
    heads = lanes[:, order].transpose(0, 2, 1)
    heads[:, 2] *= -1
    body = padded(taps, 1, MVE_LANES).reshape(len(taps), -1, MVE_LANES).swapaxes(0, 1)
    blocks = np.concatenate(
        [heads.reshape(len(heads), -1), as_words(body.reshape(len(body), -1))], axis=1
    )
    scratch = 4 * (len(kernel) + len(taps)) + channels + MVE_LANES
    return scratch_kernel("depthwise_mve", "depthwise_mve.c", blocks.reshape(-1), scratch)


def conv_mve(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Of four channels the headers, then sixteen taps of each, then the next sixteen.

    If their number is no multiple of four, the last four overlap those before. Sixteen taps of four
    channels that are all zero are left out where many are.

    Args:
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> len(conv_mve(np.ones((4, 1, 1, 8), int), np.array([[0, 2**30, 1]] * 4)).weights)
        28
    """
    taps = kernel.reshape(len(kernel), -1)
    count = taps.shape[1]
    missing = max(MVE_CHANNELS - len(taps), 0)
    headers = headers * (1, 1, -1)
    vectors = as_words(padded(taps, 1, MVE_LANES)).reshape(len(taps), -1, MVE_LANES // 4)
    vectors, headers = (
        np.pad(table, ((0, missing), *[(0, 0)] * (table.ndim - 1))) for table in (vectors, headers)
    )
    fours = four_channels(len(headers))
    heads = [headers[four].T for four in fours]
    bodies = [vectors[four].swapaxes(0, 1).reshape(-1, MVE_LANES) for four in fours]
    scratch = window_bytes(kernel)
    # Where the input is read in place, its last vector must be whole.
    is_in_reach = count % MVE_LANES == 0 or kernel.shape[1:3] != (1, 1)
    kept = np.mean([body.any(axis=1).mean() for body in bodies])
    if kept <= MVE_KEPT and is_in_reach:
        packed = [_without_zero_vectors(*block) for block in zip(heads, bodies, strict=True)]
        name = "conv_sparse_mve"
    else:
        packed = [np.append(*block) for block in zip(heads, bodies, strict=True)]
        name = "conv_mve"
    return scratch_kernel(name, f"{name}.c", np.concatenate(packed), scratch)


def window_bytes(kernel: np.ndarray) -> int:
    """The memory for windows of several pixels; the last one's vectors reach behind its taps.

    Args:
        kernel: The weights, of shape `(channels, height, width, input channels)`.

    Returns:
        The bytes, those of a pointer to each row of the window included.

    Example:
        >>> window_bytes(np.ones((4, 1, 1, 8)))
        148
    """
    count = kernel[0].size
    pixels = next(pixels for most, pixels in MVE_PIXELS if count <= most)
    return 4 * kernel.shape[1] + pixels * count + MVE_LANES


def four_channels(channels: int) -> list[slice]:
    """Four channels each; the last four may overlap those before.

    Args:
        channels: The number of channels.

    Returns:
        Where the fours are; a single one where there are fewer channels.

    Example:
        >>> four_channels(6)
        [slice(0, 4, None), slice(2, 6, None)]
    """
    last = max(channels - MVE_CHANNELS, 0)
    starts = (min(start, last) for start in range(0, channels, MVE_CHANNELS))
    return [slice(start, start + MVE_CHANNELS) for start in starts]


def _without_zero_vectors(heads: np.ndarray, body: np.ndarray) -> np.ndarray:
    """Four channels: the offset before each vector that is not all zero, -1 behind the last."""
    offsets = MVE_LANES * np.arange(len(body))
    table = np.column_stack([offsets, body])[body.any(axis=1)]
    return np.concatenate([heads.reshape(-1), table.reshape(-1), [-1]])


def in_fours(taps: np.ndarray, headers: np.ndarray) -> np.ndarray:
    """Headers of four channels each, then the taps of all channels.

    If their number is no multiple of four, the kernel makes the last four once more.

    Args:
        taps: The weights, int64 array of shape `(channels, taps)`.
        headers: Bias, multiplier and shift, int64 array of shape `(channels, 3)`.

    Returns:
        The words, int64 array of one dimension.

    Example:
        >>> len(in_fours(np.ones((5, 8), int), np.zeros((5, 3), int)))
        34
    """
    missing = max(MVE_CHANNELS - len(taps), 0)
    taps, headers = (np.pad(table, ((0, missing), (0, 0))) for table in (taps, headers))
    heads = [headers[four].T.reshape(-1) for four in four_channels(len(headers))]
    return np.concatenate([*heads, as_words(taps.reshape(1, -1))[0]])
