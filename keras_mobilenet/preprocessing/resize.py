"""Bilinear resizing of 8-bit images in integers: what training and the firmware both compute.

Weights in 22-bit fixed point, a few per output pixel; first each image row is resized and rounded
to 8 bits, then each column. The same tables are emitted as C. A camera gives rows, so the order of
the two passes is fixed; Pillow 13 swaps them for images that lose much more height than width,
which moves some bytes by one.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from scipy import sparse

PRECISION_BITS = 22
HALF = 1 << (PRECISION_BITS - 1)


@dataclasses.dataclass(frozen=True)
class Taps:
    """The source pixels that one output pixel reads, and their weights.

    Attributes:
        first: The index of the first source pixel.
        weights: The weights of that pixel and of those after it, in 22-bit fixed point; they add up
            to about 1.
    """

    first: int
    weights: tuple[int, ...]


@functools.lru_cache(maxsize=256)
def bilinear_taps(source: int, target: int) -> tuple[Taps, ...]:
    """Computes the weights that resize a line of pixels, with antialiasing where it gets shorter.

    Args:
        source: The length of the line, in pixels.
        target: The length of the result, in pixels.

    Returns:
        One `Taps` per pixel of the result; weights that are zero at either end are left out.

    Example:
        >>> [(t.first, t.weights) for t in bilinear_taps(4, 2)]
        [(0, (1797559, 1797559, 599186)), (1, (599186, 1797559, 1797559))]

    Source: Pillow, `src/libImaging/Resample.c`, functions `precompute_coeffs` and
        `normalize_coeffs_8bpc`.
    """
    scale = source / target
    filter_scale = max(scale, 1.0)
    support, inverse = 1.0 * filter_scale, 1.0 / filter_scale
    taps = []
    for pixel in range(target):
        center = (pixel + 0.5) * scale
        first = max(int(center - support + 0.5), 0)
        end = min(int(center + support + 0.5), source)
        weights = [_triangle((x - center + 0.5) * inverse) for x in range(first, end)]
        total = 0.0
        # Added one by one: `sum` may round less than Pillow does.
        for weight in weights:
            total += weight
        fixed = [int(0.5 + weight / total * (1 << PRECISION_BITS)) for weight in weights]
        while fixed[0] == 0:
            del fixed[0]
            first += 1
        while fixed[-1] == 0:
            del fixed[-1]
        taps.append(Taps(first, tuple(fixed)))
    return tuple(taps)


def resize(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes an image, byte for byte as Pillow's `Resampling.BILINEAR`, width first.

    Args:
        pixels: The image, a uint8 array of shape (height, width, channels).
        height: The height of the result, in pixels.
        width: The width of the result, in pixels.

    Returns:
        uint8 array, (height, width, channels).

    Example:
        >>> resize(np.array([[[0], [90]]], np.uint8), 1, 3).ravel().tolist()
        [0, 45, 90]
    """
    for axis, length in ((1, width), (0, height)):
        if pixels.shape[axis] != length:
            pixels = _resampled(pixels, length, axis)
    return pixels


def _triangle(x: float) -> float:
    return max(1.0 - math.fabs(x), 0.0)


def _resampled(pixels: np.ndarray, length: int, axis: int) -> np.ndarray:
    lines = np.moveaxis(pixels, axis, 0)
    flat = lines.reshape(len(lines), -1).astype(np.int32)
    sums = _matrix(len(lines), length) @ flat
    # Many rounded weights may add up to a little more than 1.
    values = np.minimum((sums + HALF) >> PRECISION_BITS, 255).astype(np.uint8)
    return np.moveaxis(values.reshape(length, *lines.shape[1:]), 0, axis)


@functools.lru_cache(maxsize=256)
def _matrix(source: int, target: int) -> sparse.csr_array:
    taps = bilinear_taps(source, target)
    weights = np.concatenate([np.array(t.weights, np.int32) for t in taps])
    columns = np.concatenate([np.arange(t.first, t.first + len(t.weights)) for t in taps])
    starts = np.cumsum([0, *(len(t.weights) for t in taps)])
    return sparse.csr_array((weights, columns, starts), shape=(target, source))
