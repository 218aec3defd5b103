"""Blocks of a kernel that a target's kernels skip where they are zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Blocks = Callable[[tuple[int, ...]], np.ndarray | None]
"""From a kernel's shape to the number of each weight's block; None where nothing is skipped."""


def block_numbers(shape: tuple[int, ...], outputs: int, taps: int) -> np.ndarray:
    """Numbers the blocks of a kernel; those at its ends may be smaller.

    Args:
        shape: The kernel's shape in Keras, its output channels last.
        outputs: The output channels of a block.
        taps: The taps of a block, counted in the order height, width, input channel.

    Returns:
        The number of each weight's block, an integer array of `shape`. Blocks of the same output
        channels have numbers in a row.

    Example:
        >>> block_numbers((4, 2), outputs=1, taps=2).tolist()
        [[0, 2], [0, 2], [1, 3], [1, 3]]
    """
    count = int(np.prod(shape[:-1]))
    down = np.arange(count)[:, None] // taps
    across = np.arange(shape[-1])[None] // outputs
    return (across * -(-count // taps) + down).reshape(shape)


def largest_blocks(
    values: np.ndarray, block: tuple[int, int] | Blocks, sparsity: float
) -> np.ndarray | None:
    """Makes the mask that keeps the blocks of the largest mean magnitudes.

    Channels that are gone, all zeros, are left out before blocks are counted, as they will be in
    the smaller network. Of each output channel that is there a block is kept: a channel without
    weights is one for `ChannelPruning`.

    Args:
        values: The weights, a float array, input and output channels last.
        block: `(outputs, taps)`, or what numbers the blocks of a shape.
        sparsity: The share of blocks to drop, 0 to 1.

    Returns:
        Boolean array of the shape of `values`; None if a kernel of this shape has no blocks.

    Example:
        >>> values = np.array([[3.0, 0.1], [1.0, 0.1], [0.5, 0.2], [0.5, 0.2]])
        >>> largest_blocks(values, (1, 2), 0.75).tolist()
        [[True, False], [True, False], [False, True], [False, True]]
    """
    last = values.ndim - 1
    inputs = values.any(axis=tuple(axis for axis in range(last + 1) if axis != last - 1))
    outputs = values.any(axis=tuple(range(last)))
    if not outputs.any():
        inputs[:], outputs[:] = True, True
    there = values[..., inputs, :][..., outputs]
    numbers = block(there.shape) if callable(block) else block_numbers(there.shape, *block)
    if numbers is None:
        return None
    kept = np.zeros(values.shape, bool)
    kept[..., inputs[:, None] & outputs] = _largest(there, numbers, sparsity).reshape(
        *values.shape[:-2], -1
    )
    return kept


def _largest(values: np.ndarray, numbers: np.ndarray, sparsity: float) -> np.ndarray:
    flat = numbers.reshape(-1)
    counts = np.bincount(flat)
    sums = np.bincount(flat, np.abs(values).reshape(-1).astype(np.float64))
    means = sums / np.maximum(counts, 1)
    kept = np.zeros(len(counts), bool)
    by_channel = numbers.reshape(-1, numbers.shape[-1])
    best = by_channel[np.argmax(means[by_channel], axis=0), np.arange(by_channel.shape[1])]
    kept[best] = True
    real = np.flatnonzero(counts)
    left = max(int(np.round(len(real) * (1.0 - sparsity))), int(kept.sum()))
    order = real[np.lexsort((-means[real], ~kept[real]))]
    kept[order[:left]] = True
    return kept[numbers]
