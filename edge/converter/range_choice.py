"""Which part of a tensor's values an int8 range should hold."""

from __future__ import annotations

import numpy as np

HISTOGRAM_METHODS = ("percentile", "mse")

MOMENTUM = 0.99
"""The weight of the past in a moving average, as in quantization-aware training."""

AVERAGED = 32
"""Inputs in a batch of which the extremes are taken, as a step of training sees them."""

PERCENTILE = 99.99
"""So many of a hundred values stay inside at either end."""

SHARES = np.linspace(0.2, 1.0, 33)
"""How much of the values' range is tried, at either end."""

LEVELS = 255


def averaged_extremes(lows: np.ndarray, highs: np.ndarray) -> tuple[float, float]:
    """Averages the extremes of batches of 32 inputs, the later ones with more weight.

    Args:
        lows: Float array of shape (inputs,): the smallest value of each input.
        highs: Float array of shape (inputs,): the largest value of each input.

    Returns:
        `(low, high)`; a plain mean of up to 100 batches.

    Example:
        >>> averaged_extremes(np.repeat([-1.0, 0.0], 32), np.arange(64.0))
        (-0.5, 47.0)

    Source: arXiv 1712.05877, section 3.1.
    """
    low = high = 0.0
    starts = range(0, len(lows), AVERAGED)
    for number, start in enumerate(starts):
        past = min(MOMENTUM, number / (number + 1))
        low = past * low + (1 - past) * float(lows[start : start + AVERAGED].min())
        high = past * high + (1 - past) * float(highs[start : start + AVERAGED].max())
    return low, high


def chosen_range(counts: np.ndarray, low: float, high: float, method: str) -> tuple[float, float]:
    """Chooses a range by how often each value occurs.

    Args:
        counts: Integer array of shape (bins,): how often a value fell into each of the equal bins
            between `low` and `high`.
        low: The smallest value, at most 0.
        high: The largest value, at least 0.
        method: `"percentile"` leaves out the outermost of ten thousand values at either end;
            `"mse"` makes the mean squared error of the rounding, and of what is cut off, smallest.

    Returns:
        `(low, high)`, which holds 0.

    Example:
        >>> rare = np.array([0, 100_000, 100_000, 0, 0, 0, 0, 1])
        >>> [round(chosen_range(rare, -1.0, 7.0, how)[1], 2) for how in HISTOGRAM_METHODS]
        [2.0, 5.08]

    Source: arXiv 2106.08295, section 3.1 (both methods).
    """
    if low == high:
        return low, high
    if method == "percentile":
        return _percentile(counts, low, high)
    return _least_error(counts, low, high)


def _percentile(counts: np.ndarray, low: float, high: float) -> tuple[float, float]:
    edges = np.linspace(low, high, len(counts) + 1)
    share = np.cumsum(counts) / counts.sum()
    outside = 1 - PERCENTILE / 100
    first = int(np.searchsorted(share, outside, side="right"))
    last = int(np.searchsorted(share, 1 - outside, side="left"))
    return min(float(edges[first]), 0.0), max(float(edges[last + 1]), 0.0)


def _least_error(counts: np.ndarray, low: float, high: float) -> tuple[float, float]:
    width = (high - low) / len(counts)
    values = low + width * (np.arange(len(counts)) + 0.5)
    is_there = counts > 0
    values, counts = values[is_there], counts[is_there]
    best = (np.inf, low, high)
    for low_share in SHARES if low < 0 else SHARES[-1:]:
        for high_share in SHARES if high > 0 else SHARES[-1:]:
            start, end = low * low_share, high * high_share
            scale = (end - start) / LEVELS
            cut = values - np.clip(values, start, end)
            # Inside, the error of rounding to the nearest step is spread evenly.
            error = float((counts * np.where(cut == 0, scale**2 / 12, cut**2)).sum())
            best = min(best, (error, start, end))
    return float(best[1]), float(best[2])
