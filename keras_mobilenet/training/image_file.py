"""Reads an image file at a model's size, in little memory, as a viewer shows it."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import warnings

import numpy as np
from PIL import Image, UnidentifiedImageError

from keras_mobilenet.preprocessing.preprocessing import resize_pixels
from keras_mobilenet.preprocessing.resize import resize

FORMATS = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
"""The formats that are read, by Pillow's names, and the suffixes of their files. Pillow knows more,
some of which start other programs."""

IMAGE_SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

DRAFT_PIXELS = 1 << 20
"""A JPEG of more pixels may be decoded at a half, a quarter or an eighth of its size."""

DRAFT_MARGIN = 8
"""A JPEG is decoded no smaller than so many times the model's side, so that its pixels are still
averaged over several: what the decoder's own averaging changes is a level or two."""

STRIP_PIXELS = 1 << 20
LARGEST_PIXELS = 100_000_000
LARGEST_SIDE = 65_535

ORIENTATION_TAG = 0x0112
ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by the value of EXIF's tag Orientation."""

ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
SHORT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
REFUSED_MODES = {"F": "floats", "I": "32-bit integers", "LAB": "CIELAB colours"}
"""Modes whose values have no agreed black and white, or that Pillow does not convert."""

GRAY_STEPS = {"L;2": 85, "L;4": 17}
"""How far the grays of a PNG of few bits lie apart once they are bytes, by Pillow's raw modes."""

WHITE = (255, 255, 255, 255)


class DataError(ValueError):
    """A data set cannot be found or read; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """What an image file holds.

    Attributes:
        pixels: The image at the model's size, a uint8 array of shape (side, side, channels).
        is_on_white: Whether something of it is transparent, and white shines through.
    """

    pixels: np.ndarray
    is_on_white: bool


def read_image(path: str | os.PathLike, side: int, channels: int) -> ImageFile:
    """Reads an image file, upright, as bytes, at a model's size.

    EXIF's orientation is applied. 16-bit gray is divided by 257, so that white stays white; of
    16-bit colours the upper bytes are read. Transparent pixels are put on white. Of an animation
    the first frame is read. Colour profiles are not applied. A JPEG of more than a megapixel is
    decoded at a reduced size, of at least eight times the model's; all other files give what
    `resize_pixels` gives for the whole image.

    Args:
        path: The path of a PNG, JPEG, GIF, BMP, WebP or TIFF file.
        side: The height and width of the result, in pixels.
        channels: The number of channels of the result: 1 for gray, 3 for RGB.

    Returns:
        The `ImageFile`.

    Raises:
        DataError: If the file is missing, damaged, too large, or of another format.

    Example:
        >>> Image.new("RGB", (640, 480), "red").save("red.png")
        >>> read_image("red.png", 2, 1).pixels.ravel().tolist()
        [76, 76, 76, 76]
    """
    try:
        # Pillow warns of large images; here there is a limit.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(path, formats=[*FORMATS]) as image,
        ):
            if image.width * image.height > DRAFT_PIXELS:
                # Of JPEG alone; it does nothing for others.
                image.draft(None, (DRAFT_MARGIN * side, DRAFT_MARGIN * side))
            _require_readable(image)
            _scale_clear_colour(image)
            image.load()
            method = ORIENTATIONS.get(_orientation(image))
            upright = image if method is None else image.transpose(method)
            return _resized(upright, side, channels)
    except (MemoryError, DataError):
        raise
    except UnidentifiedImageError as error:
        raise DataError(
            f"{pathlib.Path(path)} is not a readable image: it is none of {', '.join(FORMATS)}."
        ) from error
    # Pillow's decoders raise nearly anything for a damaged file.
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise DataError(f"{pathlib.Path(path)} is not a readable image: {reason}.") from error


def _require_readable(image: Image.Image) -> None:
    mode = image.mode
    # Old releases of Pillow open the 16 bits of a PNG so.
    if mode in REFUSED_MODES and not (mode == "I" and image.format == "PNG"):
        raise ValueError(f"its pixels are {REFUSED_MODES[mode]}; save it with 8 or 16 bits")
    if max(image.size) > LARGEST_SIDE or image.width * image.height > LARGEST_PIXELS:
        raise ValueError(f"{image.width} x {image.height} pixels are too many; make it smaller")


def _scale_clear_colour(image: Image.Image) -> None:
    """Pillow makes bytes of a PNG's pixels, and leaves the transparent colour as it is stored."""
    clear = image.info.get("transparency")
    raw_mode = image.tile[0].args if image.format == "PNG" and image.tile else None
    if isinstance(clear, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in clear)
    elif isinstance(clear, int) and raw_mode in GRAY_STEPS:
        image.info["transparency"] = clear * GRAY_STEPS[raw_mode]


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:
        # A viewer shows an image whose EXIF is damaged as it is stored.
        return 1


def _resized(image: Image.Image, side: int, channels: int) -> ImageFile:
    """Resizes strip by strip: the width of each, then the height, as `resize_pixels` does."""
    rows = max(STRIP_PIXELS // image.width, 1)
    strips, is_on_white = [], False
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        pixels, has_white = _bytes(strip)
        is_on_white |= has_white
        strips.append(resize_pixels(pixels, len(pixels), side, channels))
    return ImageFile(resize(np.concatenate(strips), side, side), is_on_white)


def _bytes(image: Image.Image) -> tuple[np.ndarray, bool]:
    """Converts to gray or RGB bytes, and says whether white shines through."""
    clear = image.info.get("transparency")
    if image.mode in SHORT_MODES or image.mode == "I":
        shorts = np.clip(np.asarray(image).astype(np.int64), 0, 65_535)
        is_clear = shorts == clear if isinstance(clear, int) else np.zeros(shorts.shape, bool)
        gray = (shorts + 128) // 257
        return np.where(is_clear, 255, gray).astype(np.uint8), bool(is_clear.any())
    if image.mode not in ALPHA_MODES and clear is None:
        return np.asarray(image.convert("RGB")), False
    if image.mode in ("RGBa", "La"):
        # Without its multiplication by alpha.
        image = image.convert(image.mode.upper())
    image = image.convert("RGBA")
    has_white = image.getextrema()[3][0] < 255
    on_white = Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image)
    return np.asarray(on_white.convert("RGB")), has_white
