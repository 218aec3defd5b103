"""The shape that each kind of operator gives its output, at the file's size or at another.

A rule takes the operator, its inputs, and the shape that the file states for the output: RESHAPE
and FULLY_CONNECTED keep the stated rank. Where the tensors contradict the operator it raises a
`ValueError`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edge.tflite.tensors import Operator, Tensor

LARGEST_STEP = 1 << 15
"""No window, stride or dilation of a microcontroller's network comes near."""

Shape = tuple[int, ...]


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
        >>> from edge.tflite.tensors import Operator
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
        max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - size) // 2
        for out, stride, taps, dilation, size in zip(
            output[1:3], strides, window, dilations, source[1:3], strict=True
        )
    )
    return top, left


def kept_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the shape of the input."""
    return inputs[0].shape


def broadcast_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the shape to which both inputs are broadcast."""
    return np.broadcast_shapes(inputs[0].shape, inputs[1].shape)


def reshaped_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has the stated shape; at another size, if it is flat, as many elements."""
    count = inputs[0].element_count
    if math.prod(stated) == count:
        return stated
    if math.prod(stated[:-1]) != 1:
        raise ValueError(f"{op.opcode} of {inputs[0].shape} to {stated}")
    return (*stated[:-1], count)


def pooled_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with the channels of the input."""
    batch, *_, channels = source = _image(inputs[0].shape)
    return (batch, *slid_sides(source, op.options["filter"], op), channels)


def padded_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is larger by what the second input says for each side of each axis."""
    source = inputs[0].shape
    pads = inputs[1].values().reshape(len(source), 2)
    if pads.min() < 0 or pads.max() > LARGEST_STEP:
        raise ValueError(f"padding {pads.tolist()}")
    return tuple(int(size + sum(pad)) for size, pad in zip(source, pads, strict=True))


def averaged_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output lacks the axes that the second input names, or has one element along each."""
    source, axes = inputs[0].shape, averaged_axes(inputs)
    if op.options.get("keep_dims"):
        return tuple(1 if n in axes else size for n, size in enumerate(source))
    return tuple(size for n, size in enumerate(source) if n not in axes)


def averaged_axes(inputs: Sequence[Tensor]) -> tuple[int, ...]:
    """The axes that MEAN averages over.

    Args:
        inputs: Its two inputs: the tensor, and a constant of axes that may be negative.

    Returns:
        Axes from 0, each once, in order.

    Raises:
        ValueError: If the tensor has no such axis.

    Example:
        >>> averaged_axes([graph.tensors[index] for index in graph.operators[4].inputs])
        (1, 2)
    """
    rank = len(inputs[0].shape)
    axes = {int(axis) for axis in inputs[1].values().reshape(-1)}
    if not all(-rank <= axis < rank for axis in axes):
        raise ValueError(f"MEAN of {inputs[0].shape} over axes {sorted(axes)}")
    return tuple(sorted({axis % rank for axis in axes}))


def convolved_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with a channel per filter of the kernel."""
    source, kernel = _image(inputs[0].shape), _image(inputs[1].shape)
    if source[3] % kernel[3]:
        raise ValueError(f"{op.opcode} of {source} with a kernel of {kernel}")
    _require_biases(op, inputs, kernel[0])
    return (source[0], *slid_sides(source, kernel[1:3], op), kernel[0])


def depthwise_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output is an image with one or more channels for each channel of the input."""
    source, kernel = _image(inputs[0].shape), _image(inputs[1].shape)
    if kernel[3] % source[3] or kernel[0] != 1:
        raise ValueError(f"{op.opcode} of {source} with a kernel of {kernel}")
    _require_biases(op, inputs, kernel[3])
    return (source[0], *slid_sides(source, kernel[1:3], op), kernel[3])


def dense_shape(op: Operator, inputs: Sequence[Tensor], stated: Shape) -> Shape:
    """The output has a row per group of elements that the kernel takes at once."""
    source, (made, taken) = inputs[0], inputs[1].shape
    if taken < 1 or source.element_count % taken:
        raise ValueError(f"{op.opcode} of {source.shape} with weights of {inputs[1].shape}")
    _require_biases(op, inputs, made)
    if math.prod(stated[:-1]) == source.element_count // taken:
        return (*stated[:-1], made)
    if source.shape[-1] != taken:
        raise ValueError(f"{op.opcode} making {stated} of {source.shape}")
    return (*source.shape[:-1], made)


def _require_biases(op: Operator, inputs: Sequence[Tensor], channels: int) -> None:
    if len(inputs) > 2 and inputs[2].element_count != channels:
        count = inputs[2].element_count
        raise ValueError(f"{op.opcode} with {count} biases for {channels} channels")


def _image(shape: Shape) -> tuple[int, int, int, int]:
    if len(shape) != 4 or min(shape) < 1:
        raise ValueError(f"{shape} is no image")
    return shape[0], shape[1], shape[2], shape[3]
