"""One entry per operator: options, output shape, padding, which input is the kernel."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge.tflite.graph import Operator, Tensor

LARGEST_STEP = 1 << 15
"""No window, stride or dilation of a microcontroller's network comes near."""


def slid_sides(source: Sequence[int], window: Sequence[int], op: Operator) -> tuple[int, int]:
    """Height and width after an operator's window has slid over an image.

    Args:
        source: Shape of the image, (batch, height, width, channels).
        window: Height and width of the window.
        op: The operator, for stride, dilation and padding.

    Returns:
        Height and width of the output, in pixels.

    Raises:
        ValueError: If nothing is left of the image, or the options are none.

    Example:
        >>> from edge.tflite.graph import Operator
        >>> options = {"stride": (2, 2), "padding": "SAME"}
        >>> slid_sides((1, 9, 9, 3), (3, 3), Operator(0, "MAX_POOL_2D", (0,), (1,), options))
        (5, 5)

    Source: TensorFlow Lite's padding.h, `ComputeOutSize`.
    """
    strides, dilations = op.options["stride"], op.options.get("dilation", (1, 1))
    if not all(1 <= step <= LARGEST_STEP for step in (*strides, *dilations, *window)):
        raise ValueError(f"stride {strides}, dilation {dilations}, window {tuple(window)}")
    sides = []
    for size, taps, stride, dilation in zip(source[1:3], window, strides, dilations, strict=True):
        reach = (taps - 1) * dilation + 1 if op.options["padding"] == "VALID" else 1
        sides.append((size - reach) // stride + 1)
    if min(sides) < 1:
        raise ValueError(f"nothing is left of an image of {tuple(source)}")
    return sides[0], sides[1]


def leading_padding(
    source: Sequence[int], output: Sequence[int], window: Sequence[int], op: Operator
) -> tuple[int, int]:
    """Rows and columns that a sliding operator adds before its image.

    Args:
        source: Shape of the image, (batch, height, width, channels).
        output: Shape of what the operator makes of it.
        window: Height and width of the window.
        op: The operator, for stride, dilation and padding.

    Returns:
        Rows above and columns to the left, in pixels.

    Example:
        >>> from edge.tflite.graph import Operator
        >>> op = Operator(0, "MAX_POOL_2D", (0,), (1,), {"stride": (2, 2), "padding": "SAME"})
        >>> leading_padding((1, 9, 8, 3), (1, 5, 4, 3), (3, 3), op)
        (1, 0)

    Source: TensorFlow Lite's padding.h, `ComputePadding`.
    """
    if op.options["padding"] == "VALID":
        return 0, 0
    strides, dilations = op.options["stride"], op.options.get("dilation", (1, 1))
    top, left = (
        max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - size) // 2
        for out, stride, taps, dilation, size in zip(
            output[1:3], strides, window, dilations, source[1:3], strict=True
        )
    )
    return top, left


def expected_shape(
    op: Operator, inputs: Sequence[Tensor], output: Tensor
) -> tuple[int, ...] | None:
    """The shape that an operator gives its output, None for an operator without a rule."""
    source = inputs[0].shape
    if op.opcode in ("SOFTMAX", "QUANTIZE", "RELU", "RELU6"):
        return source
    if op.opcode == "RESHAPE":
        return output.shape if math.prod(source) == math.prod(output.shape) else ()
    if op.opcode in ("AVERAGE_POOL_2D", "MAX_POOL_2D"):
        return (source[0], *slid_sides(_image(source), op.options["filter"], op), source[3])
    if op.opcode == "MEAN":
        return _mean_shape(op, source, inputs[1])
    if op.opcode == "PAD":
        pads = inputs[1].values().reshape(len(source), 2)
        if pads.min() < 0 or pads.max() > LARGEST_STEP:
            raise ValueError(f"padding {pads.tolist()}")
        return tuple(int(size + sum(pad)) for size, pad in zip(source, pads, strict=True))
    if op.opcode in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return _weighted_shape(op, inputs, output)
    return None


def _weighted_shape(op: Operator, inputs: Sequence[Tensor], output: Tensor) -> tuple[int, ...]:
    source, kernel = inputs[0].shape, inputs[1].shape
    if op.opcode == "FULLY_CONNECTED":
        made, taken = kernel
        if taken < 1 or math.prod(source) % taken:
            raise ValueError(f"FULLY_CONNECTED of {source} with weights of {kernel}")
        rows = math.prod(source) // taken
        expected = output.shape
        if not expected or expected[-1] != made or math.prod(expected) != rows * made:
            return ()
    else:
        is_depthwise = op.opcode == "DEPTHWISE_CONV_2D"
        made = _image(kernel)[3 if is_depthwise else 0]
        share = made % source[3] if is_depthwise else source[3] % kernel[3]
        if share or (is_depthwise and kernel[0] != 1):
            raise ValueError(f"{op.opcode} of {source} with a kernel of {kernel}")
        expected = (source[0], *slid_sides(_image(source), kernel[1:3], op), made)
    if len(inputs) > 2 and inputs[2].element_count != made:
        raise ValueError(f"{op.opcode} with {inputs[2].element_count} biases for {made} channels")
    return expected


def _mean_shape(op: Operator, source: tuple[int, ...], axes_tensor: Tensor) -> tuple[int, ...]:
    axes = {int(axis) for axis in axes_tensor.values().reshape(-1)}
    if not all(-len(source) <= axis < len(source) for axis in axes):
        raise ValueError(f"MEAN of {source} over axes {sorted(axes)}")
    axes = {axis % len(source) for axis in axes}
    if op.options.get("keep_dims"):
        return tuple(1 if n in axes else size for n, size in enumerate(source))
    return tuple(size for n, size in enumerate(source) if n not in axes)


def _image(shape: Sequence[int]) -> Sequence[int]:
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"{tuple(shape)} is no image")
    return shape
