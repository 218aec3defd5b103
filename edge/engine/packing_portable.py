"""Weights in the order of the kernels in portable C."""

from __future__ import annotations

import numpy as np

from edge.engine.kernel import Kernel, as_words, padded, scratch_kernel

PAIR = 2
BLOCK_TAPS = 8


def conv_portable(kernel: np.ndarray, headers: np.ndarray) -> Kernel:
    """Channel by channel: bias, multiplier and shift, weights.

    Blocks of two channels by eight taps that are all zero are left out where that makes less.

    Args:
        kernel: The weights, int64 array of shape `(channels, height, width, input channels)`.
        headers: Bias, multiplier and shift to the right, int64 array of shape `(channels, 3)`.

    Returns:
        The `Kernel`.

    Example:
        >>> sparse = np.arange(32).reshape(2, 1, 1, 16) == 3
        >>> conv_portable(sparse.astype(int), np.array([[5, 2**30, 1]] * 2)).name
        'conv_sparse'
    """
    taps = kernel.reshape(len(kernel), -1)
    scratch = patch_bytes(kernel)
    dense = np.concatenate([headers, as_words(taps)], axis=1).reshape(-1)
    if taps.shape[1] >= BLOCK_TAPS:
        sparse = _without_zero_blocks(taps, headers)
        # The loop takes some instructions more for each block: only fewer words pay.
        if len(sparse) < len(dense):
            return scratch_kernel("conv_sparse", "conv_sparse.c", sparse, scratch)
    return scratch_kernel("conv", "conv.c", dense, scratch)


def patch_bytes(kernel: np.ndarray) -> int:
    """The memory for copies of two pixels' windows; one of a single pixel is read where it is.

    Args:
        kernel: The weights, of shape `(channels, height, width, input channels)`.

    Returns:
        The bytes, those of a pointer to each row of the window, as on a computer, included.

    Example:
        >>> patch_bytes(np.ones((4, 3, 3, 8)))
        168
    """
    patch = 0 if kernel.shape[1:3] == (1, 1) else kernel[0].size
    return 8 * kernel.shape[1] + 2 * patch


def _without_zero_blocks(taps: np.ndarray, headers: np.ndarray) -> np.ndarray:
    """Of two channels: how many blocks are left, the headers, each block behind its first tap.

    What is left over is a block that starts before, with zeros where it begins.
    """
    count = taps.shape[1]
    starts = np.minimum(np.arange(0, count, BLOCK_TAPS), count - BLOCK_TAPS)
    whole = count // BLOCK_TAPS * BLOCK_TAPS
    filled = padded(np.insert(taps, [whole] * (-count % BLOCK_TAPS), 0, axis=1), PAIR, 1)
    pairs = filled.reshape(-1, PAIR, len(starts), BLOCK_TAPS).swapaxes(1, 2)
    parts: list[np.ndarray | list[int]] = []
    for blocks, header in zip(pairs, padded(headers, PAIR, 1).reshape(len(pairs), -1), strict=True):
        left = np.flatnonzero(blocks.any(axis=(1, 2)))
        words = as_words(blocks[left].reshape(len(left), PAIR * BLOCK_TAPS))
        numbered = np.concatenate([starts[left, None], words], axis=1)
        parts += [[len(left)], header, numbered.reshape(-1)]
    return np.concatenate(parts)
