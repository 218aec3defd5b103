"""Fake quantization: TFLite's int8 rounding in float arithmetic."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_mobilenet.quantization.precision import WITH_TENSORS, Arithmetic

NUM_BITS = 8
STEPS = 2.0**NUM_BITS - 1.0
"""So many steps lie between the ends of an activation's range."""

WEIGHT_LIMIT = 127
"""int8 weights use [-127, 127], so that they are symmetric. Source: TFLite quantization spec."""

WEIGHT_RANGE_FLOOR = 2.0**-14
"""A channel's weight range is at least this share of its layer's largest: an almost dead channel
would else get a scale so small that its int32 bias overflows."""

SMALLEST_RANGE = float(np.float32(1e-6))
"""A float32 number, so that limits are such numbers in any precision."""

SMALLEST_SCALE = 1e-30
"""Before the first batch a range is empty, and divides nothing by zero."""


def nudged_parameters(range_min: float, range_max: float) -> tuple[float, int]:
    """The scale and zero point that the TFLite converter gives a tensor of a real range.

    Args:
        range_min: The smallest real value, at most 0.
        range_max: The largest real value, at least 0 and above `range_min`.

    Returns:
        `(scale, zero_point)`; the zero point lies in int8's [-128, 127].

    Raises:
        ValueError: If the range is empty or does not hold zero.

    Example:
        >>> nudged_parameters(0.0, 6.0)
        (0.0235294122248888, -128)

    Source: the TFLite 8-bit quantization specification, "Quantization of zero".
    """
    if not range_min <= 0 <= range_max or range_min == range_max:
        raise ValueError(f"A range must hold 0 and not be empty, got [{range_min}, {range_max}].")
    steps = 2**NUM_BITS - 1
    low, high = float(np.float32(range_min)), float(np.float32(range_max))
    scale = (high - low) / steps
    # The zero point rounds half away from zero.
    zero_point = math.floor(min(max(-low / scale, 0.0), steps) + 0.5) - 2 ** (NUM_BITS - 1)
    return float(np.float32(scale)), zero_point


def int8_parameters(low: KerasTensor, high: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """The scale and zero point of a real range, as tensors that follow it.

    Args:
        low: The smallest real value, a scalar float tensor of at most 0.
        high: The largest real value, a scalar float tensor of at least 0.

    Returns:
        `(scale, zero_point)`: scalar float tensors of the precision of the limits.

    Example:
        >>> [float(value) for value in int8_parameters(ops.array(-1.0), ops.array(254.0))]
        [1.0, -127.0]
    """
    scale = ops.maximum((high - low) / STEPS, SMALLEST_SCALE)
    from_min = ops.clip(-low / scale, 0.0, STEPS)
    return scale, ops.floor(from_min + 0.5) - 2.0 ** (NUM_BITS - 1)


def fake_quant_activation(x: KerasTensor, low: KerasTensor, high: KerasTensor) -> KerasTensor:
    """Rounds an activation to asymmetric int8; gradients pass inside the range.

    Args:
        x: The activation, a float tensor of any shape.
        low: The smallest real value, a scalar float tensor of at most 0.
        high: The largest real value, a scalar float tensor of at least 0. In double precision, the
            scale and zero point are exact.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> x = ops.array([0.5, 1.5, 300.0])
        >>> [float(v) for v in fake_quant_activation(x, ops.array(0.0), ops.array(255.0))]
        [0.0, 2.0, 255.0]
    """
    return _rounded(x, *_grid(x, low, high))


def _grid(x, low, high) -> tuple:
    """The scale and the lowest step of a range, in the precision of the activation."""
    scale, zero_point = int8_parameters(ops.stop_gradient(low), ops.stop_gradient(high))
    bottom = -(2.0 ** (NUM_BITS - 1)) - zero_point
    return ops.cast(scale, x.dtype), ops.cast(bottom, x.dtype)


def _round(x, scale, bottom) -> tuple:
    """The activation cut off at the ends of its range, and rounded."""
    cut = _clip(x, bottom * scale, (bottom + STEPS) * scale)
    return cut, ops.round(cut * (1.0 / scale)) * scale


def _clip(x, low, high):
    """The tensor cut off at two scalars; without a gradient on TensorFlow."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One pass over the tensor, where Keras takes two.
        return tf.raw_ops.ClipByValue(t=x, clip_value_min=low, clip_value_max=high)
    return ops.clip(x, low, high)


# Written out, a gradient costs half of what automatic differentiation makes of `stop_gradient`.
@ops.custom_gradient
def _rounded(x, scale, bottom):
    cut, y = _round(x, scale, bottom)

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        nothing = ops.zeros_like(scale)
        return _where(ops.equal(cut, x), upstream), nothing, nothing

    return y, gradient


@ops.custom_gradient
def _rounded_and_learning(x, log_factor, scale, bottom, share):
    cut, y = _round(x, scale, bottom)

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        is_inside, nothing = ops.equal(cut, x), ops.zeros_like(scale)
        by_step = ops.sum(upstream * (y - _where(is_inside, x))) * share
        return _where(is_inside, upstream), by_step, nothing, nothing, nothing

    return y, gradient


def _where(condition, x):
    """The tensor where the condition holds, else zero."""
    if keras.backend.backend() == "tensorflow":
        # Its product takes half as long as its selection.
        return x * ops.cast(condition, x.dtype)
    return ops.where(condition, x, ops.zeros_like(x))


def gradient_only(x: KerasTensor) -> KerasTensor:
    """Zero, with the gradient of a tensor.

    Args:
        x: The tensor.

    Returns:
        Zeros of its shape.

    Example:
        >>> float(gradient_only(ops.array(3.0)))
        0.0
    """
    return x - ops.stop_gradient(x)


def weight_limits(
    kernel: Any, axes: Sequence[int] | None, operations: types.ModuleType = ops
) -> Any:
    """Finds the largest magnitude of a kernel over `axes`, kept above the floor.

    Args:
        kernel: The kernel, a float tensor, or an array.
        axes: The axes to reduce, all if None; the others keep one limit each.
        operations: `keras.ops`, or `numpy` for an array.

    Returns:
        The limits, a float tensor or array.

    Example:
        >>> [round(float(v), 3) for v in weight_limits(ops.array([[1.0, -3.0]]), axes=[0])]
        [1.0, 3.0]
    """
    magnitude = operations.abs(kernel)
    floor = operations.maximum(WEIGHT_RANGE_FLOOR * operations.max(magnitude), SMALLEST_RANGE)
    axes = None if axes is None else tuple(axes)
    return operations.maximum(operations.max(magnitude, axis=axes), floor)


def rounded_kernel(
    kernel: Any,
    axes: Sequence[int] | None,
    arithmetic: Arithmetic = WITH_TENSORS,
    *,
    limit: int = WEIGHT_LIMIT,
    factors: Any = None,
) -> tuple[Any, Any]:
    """Rounds a kernel to symmetric int8 or int4, with the same bits however it is computed.

    Compilers turn a division by a constant into a multiplication: in float32 the last bit of a
    scale, and now and then a weight, would depend on who computes. In double precision no ratio of
    two float32 numbers comes near enough to a tie.

    Args:
        kernel: The kernel, a float64 tensor or array of float32's values, the output channels last.
        axes: The axes that share one scale, all if None.
        arithmetic: Where to compute; tensors inside `double_precision` only.
        limit: The largest weight in steps.
        factors: The share of its largest weight that each scale's range ends at, float64; beyond
            it, weights are cut off. All of it if None.

    Returns:
        `(steps, scale)`: float64 whole numbers in [-limit, limit] of the shape of `kernel`, and
        float32 scales of the shape of the other axes.

    Example:
        >>> steps, scale = rounded_kernel(np.array([[127.0, 12.7], [1.2, 0.16]]), [0])
        >>> np.array(steps).tolist(), [round(float(value), 3) for value in scale]
        ([[127.0, 127.0], [1.0, 2.0]], [1.0, 0.1])
    """
    largest = float(limit)
    limits = weight_limits(kernel, axes, arithmetic.operations)
    if factors is None:
        steps = arithmetic.operations.round(kernel * largest / limits)
    else:
        limits = limits * factors
        steps = arithmetic.operations.round(kernel * largest / limits)
        steps = arithmetic.operations.clip(steps, -largest, largest)
    return steps, arithmetic.single(limits / largest)


def fake_quant_kernel(kernel: KerasTensor, axes: Sequence[int] | None) -> KerasTensor:
    """Rounds a kernel to symmetric int8 as training does; the gradient passes whole.

    Weights never leave their own range.

    Args:
        kernel: The kernel, a float tensor.
        axes: The axes that share one scale, all if None: all but the output channels'.

    Returns:
        Float tensor of the shape of `kernel`.

    Example:
        >>> [round(float(v), 2) for v in fake_quant_kernel(ops.array([1.27, 0.016]), None)]
        [1.27, 0.02]
    """
    value = ops.stop_gradient(kernel)
    scale = weight_limits(value, axes) / float(WEIGHT_LIMIT)
    return ops.round(value / scale) * scale + gradient_only(kernel)


def learned_fake_quant(
    x: KerasTensor,
    log_factor: KerasTensor,
    range_min: KerasTensor,
    range_max: KerasTensor,
    is_learning: KerasTensor | float,
) -> KerasTensor:
    """Rounds an activation to int8 with a scale that is learned.

    The scale is `(range_max - range_min) / 255 * exp(log_factor)`. Inside the range its gradient is
    the rounding error, outside it is the limit; both are scaled by `1 / sqrt(values * 255)`.

    Args:
        x: The activation, a float tensor, batch first.
        log_factor: The learned logarithm of the scale's factor, a scalar float tensor.
        range_min: The smallest real value at a factor of 1, a scalar float tensor of at most 0.
        range_max: The largest real value at a factor of 1, a scalar float tensor of at least 0.
        is_learning: A scalar float: 0 keeps the scale's gradient at zero, 1 lets it pass.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> limits = ops.array(0.0), ops.array(255.0)
        >>> y = learned_fake_quant(ops.array([[0.4, 999.0]]), ops.array(0.0), *limits, 1.0)
        >>> [float(value) for value in y[0]]
        [0.0, 255.0]

    Source: arXiv 1902.08153, equations 3 and 4, section 2.2.
    """
    factor = ops.exp(log_factor)
    values = ops.cast(math.prod(ops.shape(x)[1:]), x.dtype)
    share = is_learning / ops.sqrt(values * STEPS)
    grid = _grid(x, range_min * factor, range_max * factor)
    return _rounded_and_learning(x, log_factor, *grid, share)
