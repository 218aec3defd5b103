"""MobileNetV1 as numbers: its stages, and what the multipliers make of them."""

from __future__ import annotations

from keras_mobilenet.models.layers import scaled_filters

SMALLEST_SIDE = 32
"""Five strides of two leave one pixel of 32: below, the last blocks see only padding."""
STEM_FILTERS = 32
BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
)
"""(filters, strides) of the thirteen separable blocks. Source: arXiv 1704.04861, table 1."""


def scaled_side(side: int, rho: float, smallest: int = SMALLEST_SIDE) -> int:
    """Input side after the resolution multiplier.

    Args:
        side: Base height or width, in pixels.
        rho: Resolution multiplier, 0 < rho <= 1.
        smallest: The smallest result, in pixels; MobileNetV1's by default.

    Returns:
        `round(rho * side)`, in pixels.

    Raises:
        ValueError: If `rho` is out of range or the result is below `smallest`.

    Example:
        >>> scaled_side(224, 0.714)
        160

    Source: arXiv 1704.04861, section 3.4.
    """
    if isinstance(rho, bool) or not isinstance(rho, (int, float)) or not 0 < rho <= 1:
        raise ValueError(f"rho must be a number in (0, 1], got {rho!r}.")
    if isinstance(side, bool) or not isinstance(side, int):
        raise ValueError(
            f"input_shape must have a fixed integer height and width, got {side!r}: "
            "a microcontroller plans its memory before the first image."
        )
    scaled = round(rho * side)
    if scaled < smallest:
        raise ValueError(
            f"The input side is round({rho} * {side}) = {scaled} pixels; the network needs at "
            f"least {smallest}. Use rho >= {smallest / max(side, 1):.3f} or a larger input_shape."
        )
    return scaled


def mobilenet_v1_filters(alpha: float) -> list[int]:
    """Output channels of every convolution stage of MobileNetV1, stem first.

    Args:
        alpha: Width multiplier, 0 < alpha <= 1.

    Returns:
        Fourteen channel counts: the stem's, then each separable block's.

    Raises:
        ValueError: If `alpha` is out of range.

    Example:
        >>> mobilenet_v1_filters(0.25)[:4]
        [8, 16, 32, 32]
    """
    return [scaled_filters(f, alpha) for f in (STEM_FILTERS, *(f for f, _ in BLOCKS))]
