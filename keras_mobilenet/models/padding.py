"""How a strided convolution pads: as keras.applications, or as TF-slim."""

from __future__ import annotations

from collections.abc import Sequence

PADDINGS = ("same", "valid")
"""TF-slim's and keras.applications' way."""

ZeroPadding = tuple[tuple[int, int], tuple[int, int]]
"""((rows above, rows below), (columns left, columns right))."""


def checked_padding(padding: str) -> str:
    """Refuses a padding that the blocks do not have.

    Args:
        padding: The name of a padding.

    Returns:
        The same name.

    Raises:
        ValueError: If it is neither `"same"` nor `"valid"`.

    Example:
        >>> checked_padding("valid")
        'valid'
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding must be one of {PADDINGS}, got {padding!r}.")
    return padding


def output_side(side: int | None, padding: str, kernel_size: int, strides: int) -> int | None:
    """The height or width that a block makes of another.

    Args:
        side: The height or width of the input, in pixels; None if it is not fixed.
        padding: `"same"` or `"valid"`, as the blocks take it.
        kernel_size: The height or width of the kernel, in pixels.
        strides: The step in this direction, in pixels.

    Returns:
        The height or width of the output, in pixels; None if the input's is not fixed.

    Example:
        >>> output_side(17, "same", 3, 2), output_side(17, "valid", 3, 2)
        (9, 8)
    """
    if side is None:
        return None
    if padding == "same" or strides == 1:
        return -(-side // strides)
    return (side + max(kernel_size - strides, 0) - kernel_size) // strides + 1


def resolved_padding(
    padding: str,
    sides: Sequence[int | None],
    *,
    kernel_size: Sequence[int],
    strides: Sequence[int],
) -> tuple[str, ZeroPadding | None]:
    """A block's padding as a Keras convolution has it, and the zeros that must go before it.

    keras.applications puts a row and a column of zeros behind the image and convolves "valid".
    Where both sides are a multiple of the step, that is what "same" does; where neither is, the
    last window ends before the zeros. Only between the two are zeros really needed.

    Args:
        padding: `"same"` or `"valid"`, as the blocks take it.
        sides: The height and width of the input, in pixels; None for a side that is not fixed.
        kernel_size: The height and width of the kernel, in pixels.
        strides: The vertical and the horizontal step, in pixels.

    Returns:
        The padding of the convolution, and the zeros to put around its input or None.

    Raises:
        ValueError: If a side is too small for one output.

    Example:
        >>> resolved_padding("valid", (16, 16), kernel_size=(3, 3), strides=(2, 2))
        ('same', None)
        >>> resolved_padding("valid", (17, 17), kernel_size=(3, 3), strides=(2, 2))
        ('valid', None)
        >>> resolved_padding("valid", (16, 17), kernel_size=(3, 3), strides=(2, 2))
        ('valid', ((0, 1), (0, 0)))
    """
    if padding == "same" or all(step == 1 for step in strides):
        return "same", None
    rows, columns = zip(sides, kernel_size, strides, strict=True)
    if all(side is not None and side % step == 0 for side, _, step in (rows, columns)):
        return "same", None
    zeros = _zeros(*rows), _zeros(*columns)
    return "valid", zeros if any(map(any, zeros)) else None


def _zeros(side: int | None, kernel_size: int, strides: int) -> tuple[int, int]:
    """Zeros before and behind one side, as many as the windows read."""
    total = max(kernel_size - strides, 0)
    before = total // 2
    if side is None:
        return before, total - before
    outputs = output_side(side, "valid", kernel_size, strides)
    if outputs < 1:
        raise ValueError(
            f"An image side of {side} pixels is too small for a kernel of {kernel_size} and "
            f"strides of {strides} with padding='valid'; use a larger image or padding='same'."
        )
    last = (outputs - 1) * strides + kernel_size
    return before, max(last - before - side, 0)
