"""What is changed about a training image, by name and strength, on Keras's own layers."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import keras
import numpy as np

from keras_mobilenet.training.image_file import DataError

MOST = {
    "shift": 0.5,
    "zoom": 0.5,
    "turn": 0.5,
    "brightness": 1.0,
    "contrast": 0.9,
    "colour": 0.9,
    "noise": 0.5,
    "blur": 1.0,
    "cutout": 0.5,
    "mixup": 1.0,
}
"""The largest strength of each augmentation; the least is 0, which switches it off."""

NAME_LETTERS = 20
VALUE_RANGE = (-1.0, 1.0)
HUE_PER_COLOUR = 0.2
SMALLEST_CUT = 0.02
CUT_SHARE = (0.5, 0.5)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How training images are changed anew in every epoch; a strength of 0 changes nothing.

    Attributes:
        shift: The largest shift along either axis, a share of the side, up to 0.5.
        zoom: The largest change of the size, a share of it, up to 0.5.
        turn: The largest turn, a share of a whole one, up to 0.5.
        brightness: The largest change of the brightness, a share of the range, up to 1.
        contrast: The largest change of the contrast, a share of it, up to 0.9.
        colour: The largest change of the saturation, up to 0.9, and five times that of the hue,
            which is half a circle at 1; for RGB images.
        noise: The standard deviation of Gaussian noise, a share of the range, up to 0.5.
        blur: The largest standard deviation of a Gaussian blur, in pixels, up to 1.
        cutout: The largest area that is painted gray in half of the images, a share, up to 0.5.
        mixup: Alpha of mixup's beta distribution, up to 1; labels become shares of the classes.
        mirror: Whether an image is mirrored every other time. It helps where a mirrored image keeps
            its label, as faces do; text, arrows and digits do not.

    Raises:
        DataError: If a strength is out of its range.
    """

    shift: float = 0.0
    zoom: float = 0.0
    turn: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    colour: float = 0.0
    noise: float = 0.0
    blur: float = 0.0
    cutout: float = 0.0
    mixup: float = 0.0
    mirror: bool = False

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 0.0 <= getattr(self, name) <= most:
                raise DataError(
                    f"The strength of {name} must be 0 to {most:g}, got {getattr(self, name)}."
                )

    @classmethod
    def default(cls) -> Augmentation:
        """What suits most images: a little shifted, scaled and turned.

        Returns:
            The `Augmentation`.

        Example:
            >>> Augmentation.default().shift
            0.08
        """
        return cls(shift=0.08, zoom=0.1, turn=0.03)

    def layers(self, channels: int, seed: int) -> list[keras.layers.Layer]:
        """Makes Keras's layers of it, in the order in which they apply; mixup's is not among them.

        Args:
            channels: The number of channels of the images, which lie in -1 to 1.
            seed: The seed of all that they draw.

        Returns:
            The layers of what is switched on.

        Raises:
            DataError: If gray images shall change their colour.

        Example:
            >>> [layer.name for layer in Augmentation(mirror=True, noise=0.02).layers(1, seed=0)]
            ['mirror', 'noise']
        """
        if self.colour and channels != 3:
            raise DataError(f"colour needs RGB images, these have {channels} channel(s).")
        seeds = iter(np.random.SeedSequence(seed).generate_state(20).tolist())
        made = keras.layers
        by_name = {
            "shift": lambda s: made.RandomTranslation(s, s, fill_mode="nearest", **named("shift")),
            "turn": lambda s: made.RandomRotation(s, fill_mode="nearest", **named("turn")),
            "zoom": lambda s: made.RandomZoom(s, s, fill_mode="nearest", **named("zoom")),
            "mirror": lambda s: made.RandomFlip("horizontal", **named("mirror")),
            "brightness": lambda s: made.RandomBrightness(
                s, value_range=VALUE_RANGE, **named("brightness")
            ),
            "contrast": lambda s: made.RandomContrast(
                s, value_range=VALUE_RANGE, **named("contrast")
            ),
            "blur": lambda s: made.RandomGaussianBlur(
                (1.0, 1.0), sigma=(0.0, s), value_range=VALUE_RANGE, **named("blur")
            ),
            "noise": lambda s: made.GaussianNoise(
                s * (VALUE_RANGE[1] - VALUE_RANGE[0]), **named("noise")
            ),
            "cutout": lambda s: made.RandomErasing(
                CUT_SHARE,
                scale=(min(SMALLEST_CUT, s), s),
                fill_value=0.0,
                value_range=VALUE_RANGE,
                **named("cutout"),
            ),
        }

        def named(name: str) -> dict:
            return {"name": name, "seed": next(seeds)}

        layers = []
        for name, make in by_name.items():
            if name == "blur" and self.colour:
                layers += _colour_layers(self.colour, [next(seeds), next(seeds)])
            if strength := getattr(self, name):
                layers.append(make(strength))
        return layers


def _colour_layers(strength: float, seeds: list[int]) -> list[keras.layers.Layer]:
    """Changes saturation and hue; Keras's layers for them are right in 0 to 1 alone."""
    # A factor of 0.5 leaves the saturation as it is.
    saturation = (0.5 - strength / 2.0, 0.5 + strength / 2.0)
    kept = {"value_range": (0.0, 1.0)}
    return [
        keras.layers.Rescaling(0.5, 0.5, name="to_0_1"),
        keras.layers.RandomSaturation(saturation, seed=seeds[0], name="saturation", **kept),
        keras.layers.RandomHue(HUE_PER_COLOUR * strength, seed=seeds[1], name="hue", **kept),
        keras.layers.Rescaling(2.0, -1.0, name="from_0_1"),
    ]


def parse_augmentation(words: Sequence[str]) -> Augmentation:
    """Reads the strengths of augmentations from words.

    Args:
        words: `NAME=STRENGTH` or `mirror`; what is not named keeps its default, and a strength of 0
            switches it off.

    Returns:
        The `Augmentation`.

    Raises:
        DataError: If a word names no augmentation or no strength that it takes.

    Example:
        >>> parse_augmentation(["shift=0.1", "zoom=0", "mirror"])  # doctest: +ELLIPSIS
        Augmentation(shift=0.1, zoom=0.0, turn=0.03, ..., mirror=True)
    """
    changes: dict[str, float | bool] = {}
    for word in words:
        name, _, strength = word.partition("=")
        if word == "mirror":
            changes["mirror"] = True
        elif name not in MOST:
            raise DataError(
                f"No augmentation {name[:NAME_LETTERS]!r}: give one of {', '.join(MOST)} with a "
                "strength, such as shift=0.1, or mirror."
            )
        elif not re.fullmatch(r"\d+(\.\d*)?|\.\d+", strength):
            raise DataError(
                f"{name} needs a strength from 0 to {MOST[name]:g}, such as {name}=0.1, got "
                f"{word[: 2 * NAME_LETTERS]!r}."
            )
        else:
            changes[name] = float(strength)
    return dataclasses.replace(Augmentation.default(), **changes)  # type: ignore[arg-type]
