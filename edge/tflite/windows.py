"""Where a window that slides over an image starts and ends: output sides and padding."""

from __future__ import annotations

from collections.abc import Sequence

from edge.tflite.tensors import Operator

LARGEST_STEP = 1 << 15
"""No window, stride or dilation of a microcontroller's network comes near."""


def slid_sides(source: Sequence[int], window: Sequence[int], op: Operator) -> tuple[int, int]:
    """Computes height and width of what a sliding window makes of an image.

    Args:
        source: The shape of the image, (batch, height, width, channels).
        window: The height and width of the window, in taps.
        op: The operator, whose options hold stride, dilation and padding.

    Returns:
        Height and width of the output, in pixels.

    Raises:
        ValueError: If nothing is left of the image, or the options are none.

    Example:
        >>> from edge.tflite.tensors import Operator
        >>> options = {"stride": (2, 2), "padding": "SAME"}
        >>> slid_sides((1, 9, 9, 3), (3, 3), Operator(0, "MAX_POOL_2D", (0,), (1,), options))
        (5, 5)

    Source: TensorFlow Lite's padding.h, `ComputeOutSize`.
    """
    strides, dilations = op.options["stride"], op.options.get("dilation", (1, 1))
    if not all(1 <= step <= LARGEST_STEP for step in (*strides, *dilations, *window)):
        raise ValueError(f"has stride {strides}, dilation {dilations}, window {tuple(window)}")
    sides = []
    for size, taps, stride, dilation in zip(source[1:3], window, strides, dilations, strict=True):
        reach = (taps - 1) * dilation + 1 if op.options["padding"] == "VALID" else 1
        sides.append((size - reach) // stride + 1)
    if min(sides) < 1:
        raise ValueError(f"leaves nothing of an image of {tuple(source)}")
    return sides[0], sides[1]


def leading_padding(
    source: Sequence[int], output: Sequence[int], window: Sequence[int], op: Operator
) -> tuple[int, int]:
    """Computes the rows and columns that a sliding operator adds before its image.

    Args:
        source: The shape of the image, (batch, height, width, channels).
        output: The shape of what the operator makes of it.
        window: The height and width of the window, in taps.
        op: The operator, whose options hold stride, dilation and padding.

    Returns:
        Rows above and columns to the left, in pixels.

    Example:
        >>> from edge.tflite.tensors import Operator
        >>> op = Operator(0, "MAX_POOL_2D", (0,), (1,), {"stride": (2, 2), "padding": "SAME"})
        >>> leading_padding((1, 9, 8, 3), (1, 5, 4, 3), (3, 3), op)
        (1, 0)

    Source: TensorFlow Lite's padding.h, `ComputePadding`.
    """
    if op.options["padding"] == "VALID":
        return 0, 0
    strides, dilations = op.options["stride"], op.options.get("dilation", (1, 1))
    top, left = (
        same_padding(size, out, (taps - 1) * dilation + 1, stride)[0]
        for out, stride, taps, dilation, size in zip(
            output[1:3], strides, window, dilations, source[1:3], strict=True
        )
    )
    return top, left


def same_padding(size: int, steps: int, reach: int, stride: int) -> tuple[int, int]:
    """Computes how far a window reaches over both ends of a side with padding SAME.

    Args:
        size: The side of the image, in pixels.
        steps: The side of the output, in pixels.
        reach: The side of the window, gaps of a dilation included, in pixels.
        stride: The stride, in pixels.

    Returns:
        Pixels before and after; an odd one comes after.

    Example:
        >>> same_padding(8, 4, 3, 2)
        (0, 1)

    Source: TensorFlow Lite's padding.h, `ComputePaddingWithOffset`.
    """
    missing = max(0, (steps - 1) * stride + reach - size)
    return missing // 2, missing - missing // 2
