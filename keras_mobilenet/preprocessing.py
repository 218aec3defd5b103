"""From pixels to the model's input: the one definition that training, tests and firmware share."""

from __future__ import annotations

import numpy as np
from PIL import Image

PIXEL_OFFSET = 128
PIXEL_SCALE = 1.0 / 128.0


def pixels_to_input(pixels: np.ndarray) -> np.ndarray:
    """Maps 8-bit pixels to the model's real input, `(pixel - 128) / 128`.

    With the int8 grid of scale 1/128 and zero point 0 the model's int8 input is `pixel - 128`:
    firmware flips one bit of each byte.

    Args:
        pixels: uint8 array of any shape.

    Returns:
        float32 array of the same shape, in [-1, 1).

    Raises:
        TypeError: If `pixels` is not uint8.

    Example:
        >>> pixels_to_input(np.array([0, 128, 255], np.uint8)).tolist()
        [-1.0, 0.0, 0.9921875]
    """
    pixels = np.asarray(pixels)
    if pixels.dtype != np.uint8:
        raise TypeError(f"pixels must be uint8, got {pixels.dtype}.")
    return (pixels.astype(np.float32) - PIXEL_OFFSET) * np.float32(PIXEL_SCALE)


def resize_pixels(pixels: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    """Brings one image to the size and channel count of a model.

    Args:
        pixels: uint8 array, (height, width), (height, width, 1) or (height, width, 3).
        height: Target height, in pixels.
        width: Target width, in pixels.
        channels: 1 for gray, 3 for RGB.

    Returns:
        uint8 array of shape (height, width, channels), resized bilinearly.

    Raises:
        ValueError: If the image has another shape or `channels` is neither 1 nor 3.

    Example:
        >>> resize_pixels(np.zeros((8, 8), np.uint8), 48, 48, 3).shape
        (48, 48, 3)
    """
    pixels = np.asarray(pixels)
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 or 3, got {channels!r}.")
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise ValueError(f"An image must be (height, width[, 1 or 3]), got {pixels.shape}.")
    image = Image.fromarray(pixels.astype(np.uint8)).convert("L" if channels == 1 else "RGB")
    resized = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, channels)
