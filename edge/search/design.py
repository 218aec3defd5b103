"""A network that could be trained: numbers that say all of its shape."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

Stage = tuple[int, int, int, int, str]
"""Filters, kernel, strides, repeats and kind, as `keras_mobilenet.MobileNet` has them."""

MOBILENET_V1 = (
    (64, 1, 1),
    (128, 2, 2),
    (256, 2, 2),
    (512, 2, 6),
    (1024, 2, 2),
)
"""(filters, strides, repeats) of MobileNetV1's stages. Source: arXiv 1704.04861, table 1."""

STEM_FILTERS = 32


@dataclasses.dataclass(frozen=True)
class Design:
    """A network of MobileNet's family, before there are weights.

    Attributes:
        side: The height and width of the input, in pixels.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        classes: The number of classes.
        stem: Filters, kernel and strides of the convolution that reads the image.
        stages: The stages behind it.
        is_residual: Whether blocks are added to what they read, where the shapes are the same.
        weight_bits: The bits of the weights, 8 or 4.
        sparsity: The share of the blocks of weights that are zero, those that the board's kernels
            skip.
        alpha: The width multiplier, if it is MobileNetV1; the filters are those that it leaves.
    """

    side: int
    channels: int
    classes: int
    stem: tuple[int, int, int]
    stages: tuple[Stage, ...]
    is_residual: bool = False
    weight_bits: int = 8
    sparsity: float = 0.0
    alpha: float | None = None

    @property
    def name(self) -> str:
        """A short name that tells it from all others, such as `alpha 0.25, side 48`."""
        if self.alpha is not None:
            return f"alpha {self.alpha:g}, side {self.side}"
        return f"side {self.side}, {self.digest}"

    @property
    def digest(self) -> str:
        """Six hexadecimal digits of all that it is."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:6]

    def sentence(self) -> str:
        """Says what it is made of.

        Returns:
            One line: the side, the stem, the stages, and what is special.

        Example:
            >>> mobilenet_v1(0.25, 48, 1, 10).sentence()
            'MobileNetV1, alpha 0.25, 48x48x1'
        """
        size = f"{self.side}x{self.side}x{self.channels}"
        if self.alpha is not None:
            return f"MobileNetV1, alpha {self.alpha:g}, {size}"
        parts = [f"{size}, stem {_of(self.stem[0], self.stem[1], self.stem[2])}"]
        for filters, kernel, strides, repeats, kind in self.stages:
            shown = _of(filters, kernel, strides) + (f" x{repeats}" if repeats > 1 else "")
            parts.append(shown + (" conv" if kind == "conv" else ""))
        parts += ["residual"] if self.is_residual else []
        parts += [f"{self.weight_bits}-bit weights"] if self.weight_bits != 8 else []
        parts += [f"{self.sparsity:.0%} of blocks zero"] if self.sparsity else []
        return ", ".join(parts)

    def to_json(self) -> str:
        """Writes it as JSON.

        Returns:
            One line, the same for equal designs.

        Example:
            >>> design = mobilenet_v1(0.25, 48, 1, 10)
            >>> Design.from_json(design.to_json()) == design
            True
        """
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Design:
        """Reads what `to_json` wrote.

        Args:
            text: The JSON.

        Returns:
            The design.
        """
        fields: dict[str, Any] = json.loads(text)
        fields["stem"] = tuple(fields["stem"])
        fields["stages"] = tuple(tuple(stage) for stage in fields["stages"])
        return Design(**fields)

    def blocks(self) -> list[tuple[int, int, int, str]]:
        """Lists the blocks of all stages.

        Returns:
            The (filters, kernel, strides, kind) of each block.

        Example:
            >>> mobilenet_v1(0.25, 48, 1, 10).blocks()[1]
            (32, 3, 2, 'separable')
        """
        return [
            (filters, kernel, strides if number == 0 else 1, kind)
            for filters, kernel, strides, repeats, kind in self.stages
            for number in range(repeats)
        ]

    def build(self) -> keras.Model:
        """Makes the untrained network.

        Returns:
            A Keras model.

        Example:
            >>> mobilenet_v1(0.25, 48, 1, 10).build().count_params()
            220970
        """
        import keras_mobilenet

        shape = (self.side, self.side, self.channels)
        if self.alpha is not None:
            return keras_mobilenet.MobileNetV1(
                shape, self.alpha, classes=self.classes, padding="same", name="mobilenet_v1"
            )
        return keras_mobilenet.MobileNet(
            self.stages,
            shape,
            stem=self.stem,
            is_residual=self.is_residual,
            classes=self.classes,
        )


def _of(filters: int, kernel: int, strides: int) -> str:
    return f"{filters}" + (f" {kernel}x{kernel}" if kernel != 3 else "") + "/2" * (strides == 2)


def mobilenet_v1(alpha: float, side: int, channels: int, classes: int) -> Design:
    """The design of a MobileNetV1.

    Args:
        alpha: The width multiplier, 0 < alpha <= 1.
        side: The height and width of the input, in pixels.
        channels: The number of color channels.
        classes: The number of classes.

    Returns:
        The `Design`.

    Example:
        >>> mobilenet_v1(0.25, 48, 1, 10).stages[-1]
        (256, 3, 2, 2, 'separable')
    """

    def scaled(filters: int) -> int:
        return max(1, int(filters * alpha))

    return Design(
        side=side,
        channels=channels,
        classes=classes,
        stem=(scaled(STEM_FILTERS), 3, 2),
        stages=tuple(
            (scaled(filters), 3, strides, repeats, "separable")
            for filters, strides, repeats in MOBILENET_V1
        ),
        alpha=alpha,
    )
