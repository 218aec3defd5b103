"""What a network of MobileNet's family is made of, as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

KINDS = ("separable", "conv")


class Stage(NamedTuple):
    """Blocks in a row that make maps of one size.

    Attributes:
        filters: The number of output channels of each block, before the width multiplier.
        kernel: The side of the square kernel, in pixels: the depthwise one's of separable blocks.
        strides: The step of the first block in both directions, in pixels; the others' is 1.
        repeats: The number of blocks.
        kind: `"separable"` for depthwise separable blocks, `"conv"` for full convolutions.
    """

    filters: int
    kernel: int = 3
    strides: int = 1
    repeats: int = 1
    kind: str = "separable"

    def blocks(self) -> list[tuple[int, int, int, str]]:
        """Lists the blocks.

        Returns:
            The (filters, kernel, strides, kind) of each block.

        Example:
            >>> Stage(64, strides=2, repeats=2).blocks()
            [(64, 3, 2, 'separable'), (64, 3, 1, 'separable')]
        """
        steps = [self.strides, *[1] * (self.repeats - 1)]
        return [(self.filters, self.kernel, step, self.kind) for step in steps]


class Stem(NamedTuple):
    """The full convolution that reads the image.

    Attributes:
        filters: The number of output channels, before the width multiplier.
        kernel: The side of the square kernel, in pixels.
        strides: The step in both directions, in pixels.
    """

    filters: int = 32
    kernel: int = 3
    strides: int = 2


def checked_stages(stages: Sequence[Sequence[int | str]]) -> tuple[Stage, ...]:
    """Reads stages that are written as tuples.

    Args:
        stages: A tuple (filters, kernel, strides, repeats, kind) for each stage. What is left out
            at the end is that of `Stage`.

    Returns:
        The stages, checked.

    Raises:
        ValueError: If there is none, or one is no such tuple; the message names it.

    Example:
        >>> checked_stages([(64, 3, 2), (128, 5, 2, 3)])[1].repeats
        3
        >>> checked_stages([(64, 3, 2), (128, 0)])
        Traceback (most recent call last):
        ValueError: stages[1].kernel must be a positive integer, got 0.
    """
    if not isinstance(stages, Sequence) or isinstance(stages, str) or not stages:
        raise ValueError(
            f"stages must list (filters, kernel, strides, repeats) tuples, got {stages!r}."
        )
    return tuple(_checked(stage, Stage, f"stages[{n}]") for n, stage in enumerate(stages))


def checked_stem(stem: Sequence[int]) -> Stem:
    """Reads a stem that is written as a tuple.

    Args:
        stem: The stem's (filters, kernel, strides); what is left out at the end is that of `Stem`.

    Returns:
        The stem, checked.

    Raises:
        ValueError: If it is no such tuple.

    Example:
        >>> checked_stem((24, 3, 1)).strides
        1
    """
    return _checked(stem, Stem, "stem")


def _checked(given, kind: type, where: str):
    names = kind._fields  # type: ignore[attr-defined]
    if (
        not isinstance(given, Sequence)
        or isinstance(given, str)
        or not 0 < len(given) <= len(names)
    ):
        raise ValueError(f"{where} must be a tuple ({', '.join(names)}), got {given!r}.")
    made = kind(*given)
    for name, value in zip(names, made, strict=True):
        if name == "kind":
            if value not in KINDS:
                raise ValueError(f"{where}.kind must be one of {KINDS}, got {value!r}.")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{where}.{name} must be a positive integer, got {value!r}.")
    return made


def check_strides(side: int, stem: Stem, stages: Sequence[Stage]) -> None:
    """Refuses strides that have no map left to step over.

    Args:
        side: The smaller side of the image, in pixels.
        stem: The stem.
        stages: The stages.

    Raises:
        ValueError: If a stride above 1 meets a map of one pixel; the message names the stage.

    Example:
        >>> check_strides(16, Stem(), [Stage(64, strides=2, repeats=2)] * 4)
        Traceback (most recent call last):
        ValueError: stages[3] strides over a map of one pixel, which 16 pixels leave there: ...
    """
    steps = [("the stem", stem.strides)]
    steps += [(f"stages[{number}]", stage.strides) for number, stage in enumerate(stages)]
    left = side
    for where, strides in steps:
        if strides > 1 and left == 1:
            raise ValueError(
                f"{where} strides over a map of one pixel, which {side} pixels leave there: leave "
                "strides out, or give larger images."
            )
        left = -(-left // strides)
