"""Decodes the bytes of a camera into pixels: the reference for the firmware's decoders."""

from __future__ import annotations

import numpy as np

from keras_mobilenet.preprocessing.pixels import LARGEST_SIDE, gray

CAMERA_FORMATS = {"rgb565": 2, "rgb565le": 2, "rgb888": 3, "grayscale": 1, "yuyv": 2}
"""The camera formats, and the bytes that a pixel takes in each.

`rgb565` has the high byte first, as cameras with eight data lines send it (OV7670, OV2640, GC0308);
`rgb565le` the low byte first, the `uint16_t` of a Cortex-M. `rgb888` is red, green, blue. `yuyv`
is Y0 U Y1 V for two pixels, full range, as in JPEG files.
"""


def camera_pixels(
    frame: bytes | np.ndarray, camera_format: str, *, height: int, width: int, channels: int
) -> np.ndarray:
    """Decodes one frame of a camera.

    The five bits of RGB565's red and blue become eight as `b << 3 | b >> 2`, the six of its green
    as `b << 2 | b >> 4`. YUYV becomes, clipped to 0 to 255::

        red   = (65536 * y + 91881 * (v - 128) + 32768) >> 16
        green = (65536 * y - 22554 * (u - 128) - 46802 * (v - 128) + 32768) >> 16
        blue  = (65536 * y + 116130 * (u - 128) + 32768) >> 16

    A gray model gets the luma that `gray` computes from RGB; from YUYV it gets the bytes Y, which
    are that luma.

    Args:
        frame: The frame as bytes, or a uint8 array of shape (bytes,): the rows from top to bottom
            without gaps.
        camera_format: The format, one of `CAMERA_FORMATS`.
        height: The height of the frame, in pixels.
        width: The width of the frame, in pixels; even for `"yuyv"`.
        channels: The number of channels of the model's input: 1 for gray, 3 for RGB.

    Returns:
        uint8 array, (height, width, 3), or (height, width, 1) where model or camera are gray.

    Raises:
        ValueError: If the format is unknown or the frame has another length.

    Source: JFIF 1.02, page 3, for YUV.

    Example:
        >>> camera_pixels(bytes([0xF8, 0x00, 0x07, 0xE0]), "rgb565",
        ...     height=1, width=2, channels=3).tolist()
        [[[255, 0, 0], [0, 255, 0]]]
        >>> camera_pixels(bytes([90, 128, 91, 128]), "yuyv",
        ...     height=1, width=2, channels=3).tolist()
        [[[90, 90, 90], [91, 91, 91]]]
    """
    check_camera(camera_format, height, width)
    data = np.frombuffer(frame, np.uint8)
    row_bytes = width * CAMERA_FORMATS[camera_format]
    if data.size != height * row_bytes:
        raise ValueError(
            f"A {camera_format} frame of {width}x{height} has {height * row_bytes} bytes, got "
            f"{data.size}."
        )
    if camera_format == "grayscale":
        return data.reshape(height, width, 1)
    if camera_format == "yuyv":
        return _yuyv(data.reshape(height, width // 2, 4), channels)
    if camera_format == "rgb888":
        rgb = data.reshape(height, width, 3)
    else:
        rgb = _rgb565(data.reshape(height, width, 2), camera_format)
    return gray(rgb) if channels == 1 else rgb


def check_camera(camera_format: str, height: int, width: int) -> None:
    """Refuses a camera format or frame size that does not exist.

    Args:
        camera_format: The format, one of `CAMERA_FORMATS`.
        height: The height of a frame, in pixels.
        width: The width of a frame, in pixels.

    Raises:
        ValueError: If the format is unknown, or no frame has this size.

    Example:
        >>> check_camera("yuyv", 120, 161)
        Traceback (most recent call last):
        ValueError: A yuyv camera has an even width, got 161.
    """
    if camera_format not in CAMERA_FORMATS:
        raise ValueError(
            f"camera must be one of {', '.join(CAMERA_FORMATS)}, got {camera_format!r}."
        )
    if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
        raise ValueError(
            f"A camera's sides must be 1 to {LARGEST_SIDE} pixels, got {width}x{height}."
        )
    if camera_format == "yuyv" and width % 2:
        raise ValueError(f"A yuyv camera has an even width, got {width}.")


def _rgb565(data: np.ndarray, camera_format: str) -> np.ndarray:
    words = data.astype(np.uint32)
    high, low = (0, 1) if camera_format == "rgb565" else (1, 0)
    word = (words[..., high] << 8) | words[..., low]
    red, green, blue = word >> 11, (word >> 5) & 63, word & 31
    rgb = [(red << 3) | (red >> 2), (green << 2) | (green >> 4), (blue << 3) | (blue >> 2)]
    return np.stack(rgb, axis=-1).astype(np.uint8)


def _yuyv(data: np.ndarray, channels: int) -> np.ndarray:
    height, pairs, _ = data.shape
    y = data[..., [0, 2]].reshape(height, 2 * pairs)
    if channels == 1:
        return y[..., np.newaxis]
    u, v = (np.repeat(data[..., n].astype(np.int32) - 128, 2, axis=1) for n in (1, 3))
    base = (y.astype(np.int32) << 16) + 0x8000
    # 1.402, 0.344136, 0.714136 and 1.772 in 16-bit fixed point.
    red, green, blue = base + 91881 * v, base - 22554 * u - 46802 * v, base + 116130 * u
    rgb = np.stack([red, green, blue], axis=-1) >> 16
    return np.clip(rgb, 0, 255).astype(np.uint8)
