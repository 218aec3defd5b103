"""What is computed pixel by pixel: the checks, the luma, and the int8 values."""

from __future__ import annotations

import numpy as np

LARGEST_SIDE = 8192
"""The largest height or width of a camera's or a model's image, in pixels."""

LUMA = (19595, 38470, 7471)
"""The weights of BT.601 for red, green and blue, in 16-bit fixed point: Pillow's mode "L"."""


def check_pixels(pixels: np.ndarray) -> np.ndarray:
    """Refuses pixels that are not bytes.

    Args:
        pixels: The pixels, an array of any shape, or what `numpy.asarray` takes.

    Returns:
        The pixels as a uint8 array.

    Raises:
        TypeError: If `pixels` is not uint8.

    Example:
        >>> check_pixels(np.zeros(3))
        Traceback (most recent call last):
        TypeError: pixels must be uint8, got float64.
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, got {pixels.dtype}.")
    return pixels


def gray(pixels: np.ndarray) -> np.ndarray:
    """Computes the luma of BT.601 in integers, byte for byte as Pillow's mode "L".

    Args:
        pixels: The RGB pixels, a uint8 array of shape (..., 3).

    Returns:
        uint8 array, (..., 1).

    Example:
        >>> gray(np.array([[255, 0, 0], [255, 255, 255]], np.uint8)).ravel().tolist()
        [76, 255]

    Source: Pillow, `src/libImaging/Convert.c`, macro `L24`.
    """
    return ((pixels @ np.array(LUMA)[:, np.newaxis] + 0x8000) >> 16).astype(np.uint8)


def quantize_inputs(inputs: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Turns a model's float inputs into its int8 inputs.

    Args:
        inputs: The float inputs, an array of any shape.
        scale: The scale of the int8 model's input.
        zero_point: The zero point of the int8 model's input.

    Returns:
        int8 array of the same shape: `round(inputs / scale) + zero_point`, clipped.

    Example:
        >>> quantize_inputs(np.array([-1.0, 0.5, 9.0]), 1 / 128, 0).tolist()
        [-128, 64, 127]

    Source: the TFLite 8-bit quantization specification.
    """
    steps = np.round(np.asarray(inputs, np.float32) / np.float32(scale))
    return np.clip(steps + zero_point, -128, 127).astype(np.int8)
