"""From pixels to the model's input: the one definition that training, tests and firmware share."""

from __future__ import annotations

import dataclasses
import json
import operator
from collections.abc import Sequence

import numpy as np

from keras_mobilenet.preprocessing.pixels import (
    LARGEST_SIDE,
    check_pixels,
    gray,
    quantize_inputs,
)
from keras_mobilenet.preprocessing.resize import resize

LARGEST_NUMBER = 2**20
"""The largest magnitude of a mean or a standard deviation, in pixel units."""


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Describes what happens to an image before the model sees it.

    In this order its center is cut out; it becomes gray or RGB; it is resized bilinearly, with
    antialiasing, in integers; and each channel's pixels become `(pixel - mean) / std`.

    Args:
        height: The height of the model's input, in pixels.
        width: The width of the model's input, in pixels.
        channels: The number of channels of the model's input: 1 for gray, 3 for RGB.
        crop: The central share of height and width that is kept, 0 < crop <= 1, or `"square"` for
            the largest central square.
        mean: The mean that is subtracted, in pixel units, one number or one per channel.
        std: The standard deviation that is divided by, in pixel units, above 0, one number or one
            per channel.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> preprocessing = Preprocessing(96, 96, crop="square", mean=0, std=255)
        >>> preprocessing.apply(np.full((120, 160, 3), 255, np.uint8)).max()
        np.float32(1.0)
    """

    height: int
    width: int
    channels: int = 3
    _: dataclasses.KW_ONLY
    crop: float | str = 1.0
    mean: float | Sequence[float] = 128.0
    std: float | Sequence[float] = 128.0

    def __post_init__(self):
        for name in ("height", "width"):
            self._set(name, _whole(name, getattr(self, name)))
        if isinstance(self.channels, bool) or self.channels not in (1, 3):
            raise ValueError(f"channels must be 1 (gray) or 3 (RGB), got {self.channels!r}.")
        if self.crop != "square":
            if not _is_number(self.crop) or not 0 < self.crop <= 1:
                raise ValueError(f"crop must be a share in (0, 1] or 'square', got {self.crop!r}.")
            self._set("crop", float(self.crop))
        for name in ("mean", "std"):
            self._set(name, self._per_channel(name, getattr(self, name)))
        if min(self.std) <= 0:
            raise ValueError(f"std must be above 0, got {self.std!r}.")

    def _set(self, name: str, value) -> None:
        object.__setattr__(self, name, value)

    def _per_channel(self, name: str, given) -> tuple[float, ...]:
        values = tuple(given) if isinstance(given, (tuple, list, np.ndarray)) else (given,)
        if not all(_is_number(value) for value in values):
            raise ValueError(f"{name} must be one number or one per channel, got {given!r}.")
        if len(values) not in (1, self.channels):
            raise ValueError(
                f"{name} must be one number or {self.channels}, one per channel, got {given!r}."
            )
        return tuple(float(value) for value in values) * (self.channels // len(values))

    def crop_box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Finds the part of an image that is kept.

        Args:
            height: The height of the image, in pixels.
            width: The width of the image, in pixels.

        Returns:
            `(top, left, height, width)`, in pixels.

        Example:
            >>> Preprocessing(96, 96, crop="square").crop_box(120, 160)
            (0, 20, 120, 120)
            >>> Preprocessing(96, 96, crop=0.875).crop_box(120, 160)
            (7, 10, 105, 140)
        """
        if self.crop == "square":
            kept_height = kept_width = min(height, width)
        else:
            kept_height = max(int(height * self.crop + 0.5), 1)
            kept_width = max(int(width * self.crop + 0.5), 1)
        return (height - kept_height) // 2, (width - kept_width) // 2, kept_height, kept_width

    def resize(self, pixels: np.ndarray) -> np.ndarray:
        """Crops an image, makes it gray or RGB, and resizes it to the model's input.

        Args:
            pixels: The image, a uint8 array of shape (height, width), (height, width, 1) or
                (height, width, 3).

        Returns:
            uint8 array of the model's (height, width, channels).

        Raises:
            TypeError: If `pixels` is not uint8.
            ValueError: If `pixels` has another shape.

        Example:
            >>> Preprocessing(48, 64).resize(np.zeros((8, 8), np.uint8)).shape
            (48, 64, 3)
        """
        pixels = check_pixels(pixels)
        if pixels.ndim == 2:
            pixels = pixels[:, :, np.newaxis]
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
            raise ValueError(f"An image must be (height, width[, 1 or 3]), got {pixels.shape}.")
        top, left, height, width = self.crop_box(*pixels.shape[:2])
        pixels = pixels[top : top + height, left : left + width]
        if self.channels == 1 and pixels.shape[2] == 3:
            pixels = gray(pixels)
        # Equal channels stay equal: a gray image is resized once, not three times.
        pixels = resize(pixels, self.height, self.width)
        return np.broadcast_to(pixels, (self.height, self.width, self.channels)).copy()

    def apply(self, pixels: np.ndarray) -> np.ndarray:
        """Preprocesses an image for the float model.

        Args:
            pixels: The image, a uint8 array of a shape that `resize` takes.

        Returns:
            float32 array of the model's (height, width, channels).

        Raises:
            TypeError: If `pixels` is not uint8.
            ValueError: If `pixels` has another shape.

        Example:
            >>> Preprocessing(2, 2, 1).apply(np.full((4, 4), 192, np.uint8)).ravel().tolist()
            [0.5, 0.5, 0.5, 0.5]
        """
        return _look_up(self.input_values(), self.resize(pixels))

    def quantize(self, pixels: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
        """Preprocesses an image for the int8 model: the bytes that the firmware makes.

        Args:
            pixels: The image, a uint8 array of a shape that `resize` takes.
            scale: The scale of the int8 model's input.
            zero_point: The zero point of the int8 model's input.

        Returns:
            int8 array of the model's (height, width, channels).

        Raises:
            TypeError: If `pixels` is not uint8.
            ValueError: If `pixels` has another shape.

        Example:
            >>> Preprocessing(1, 2, 1).quantize(np.array([[0, 255]], np.uint8), 1 / 128, 0).ravel()
            array([-128,  127], dtype=int8)
        """
        return _look_up(self.int8_values(scale, zero_point), self.resize(pixels))

    def input_values(self) -> np.ndarray:
        """Tabulates what each pixel value becomes.

        Returns:
            float32 array, (channels, 256); computed in float64 and rounded once.

        Example:
            >>> Preprocessing(1, 1, 1).input_values()[0, [0, 128]].tolist()
            [-1.0, 0.0]
        """
        mean, std = (np.array(values)[:, np.newaxis] for values in (self.mean, self.std))
        return ((np.arange(256) - mean) / std).astype(np.float32)

    def int8_values(self, scale: float, zero_point: int) -> np.ndarray:
        """Tabulates what each pixel value becomes in int8.

        Args:
            scale: The scale of the int8 model's input.
            zero_point: The zero point of the int8 model's input.

        Returns:
            int8 array, (channels, 256).

        Example:
            >>> Preprocessing(1, 1, 1).int8_values(1 / 128, 0)[0, [0, 128]].tolist()
            [-128, 0]
        """
        return quantize_inputs(self.input_values(), scale, zero_point)

    def to_json(self) -> str:
        """Writes the definition as text, to be kept with a model.

        Returns:
            The JSON text.

        Example:
            >>> Preprocessing(96, 96).to_json()
            '{"height":96,"width":96,"channels":3,"crop":1.0,"mean":128.0,"std":128.0}'
        """
        fields = dataclasses.asdict(self)
        for name in ("mean", "std"):
            first, *others = fields[name]
            fields[name] = first if all(v == first for v in others) else list(fields[name])
        return json.dumps(fields, separators=(",", ":"))

    @staticmethod
    def from_json(text: str | bytes) -> Preprocessing:
        """Reads what `to_json` wrote; `channels`, `crop`, `mean` and `std` may be left out.

        Args:
            text: The JSON text.

        Returns:
            The `Preprocessing`.

        Raises:
            ValueError: If the text is no such definition.

        Example:
            >>> Preprocessing.from_json('{"height": 96, "width": 96, "mean": 0, "std": 255}').std
            (255.0, 255.0, 255.0)
        """
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"A preprocessing must be JSON: {error}.") from error
        names = [field.name for field in dataclasses.fields(Preprocessing)]
        if not isinstance(fields, dict):
            raise ValueError(f"A preprocessing must be a JSON object with {', '.join(names)}.")
        unknown = sorted(fields.keys() - names)
        if unknown:
            raise ValueError(
                f"A preprocessing has no {', '.join(unknown)}; it has {', '.join(names)}."
            )
        missing = [name for name in names[:2] if name not in fields]
        if missing:
            raise ValueError(f"The preprocessing lacks {' and '.join(missing)}, in pixels.")
        return Preprocessing(**fields)


def pixels_to_input(pixels: np.ndarray) -> np.ndarray:
    """Maps 8-bit pixels to the model's real input as a default `Preprocessing` does.

    That is `(pixel - 128) / 128`. With a scale of 1/128 and a zero point of 0 the model's int8
    input is `pixel - 128`: firmware flips one bit of each byte.

    Args:
        pixels: The pixels, a uint8 array of any shape.

    Returns:
        float32 array of the same shape, in [-1, 1).

    Raises:
        TypeError: If `pixels` is not uint8.

    Example:
        >>> pixels_to_input(np.array([0, 128, 255], np.uint8)).tolist()
        [-1.0, 0.0, 0.9921875]
    """
    return Preprocessing(1, 1, 1).input_values()[0][check_pixels(pixels)]


def resize_pixels(pixels: np.ndarray, height: int, width: int, channels: int) -> np.ndarray:
    """Brings one image to the size and channel count of a model, as a default `Preprocessing` does.

    Args:
        pixels: The image, a uint8 array: (height, width), (height, width, 1) or (height, width, 3).
        height: The height of the result, in pixels.
        width: The width of the result, in pixels.
        channels: The number of channels of the result: 1 for gray, 3 for RGB.

    Returns:
        uint8 array of shape (height, width, channels), resized bilinearly.

    Raises:
        ValueError: If the image has another shape or `channels` is neither 1 nor 3.

    Example:
        >>> resize_pixels(np.zeros((8, 8), np.uint8), 48, 48, 3).shape
        (48, 48, 3)
    """
    return Preprocessing(height, width, channels).resize(np.asarray(pixels).astype(np.uint8))


def _look_up(values: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    return np.stack([table[pixels[:, :, c]] for c, table in enumerate(values)], axis=-1)


def _is_number(value) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return False
    return abs(value) <= LARGEST_NUMBER


def _whole(name: str, value) -> int:
    try:
        whole = operator.index(value)
    except TypeError:
        whole = 0
    if isinstance(value, bool) or not 1 <= whole <= LARGEST_SIDE:
        raise ValueError(f"{name} must be a whole number of 1 to {LARGEST_SIDE}, got {value!r}.")
    return whole
