"""Fake quantization: TFLite's int8 rounding in float arithmetic."""

from __future__ import annotations

import math

import keras
import numpy as np
import tensorflow as tf
from keras import ops

NUM_BITS = 8
WEIGHT_LIMIT = 127
"""int8 weights use [-127, 127], so that they are symmetric. Source: TFLite quantization spec."""

WEIGHT_RANGE_FLOOR = 2.0**-14
"""A channel's weight range is at least this share of its layer's largest: an almost dead channel
would else get a scale so small that its int32 bias overflows."""

SMALLEST_RANGE = 1e-6


def require_tensorflow_backend() -> None:
    """Refuses a backend without the fake-quant operators that the TFLite converter knows.

    Raises:
        RuntimeError: If Keras does not run on TensorFlow.

    Example:
        >>> require_tensorflow_backend()
    """
    if keras.backend.backend() != "tensorflow":
        raise RuntimeError(
            f"Quantization-aware training runs on Keras's TensorFlow backend, not on "
            f"{keras.backend.backend()!r}; set KERAS_BACKEND=tensorflow."
        )


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


def fake_quant_activation(
    x: tf.Tensor, range_min: tf.Tensor | float, range_max: tf.Tensor | float
) -> tf.Tensor:
    """Rounds an activation to asymmetric int8; gradients pass inside the range.

    Args:
        x: The activation, a float tensor of any shape.
        range_min: The smallest real value, a scalar float tensor of at most 0.
        range_max: The largest real value, a scalar float tensor of at least 0.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> [float(v) for v in fake_quant_activation(tf.constant([0.5, 300.0]), 0.0, 255.0)]
        [1.0, 255.0]
    """
    return tf.quantization.fake_quant_with_min_max_vars(x, range_min, range_max, NUM_BITS)


def weight_limits(kernel: tf.Tensor, axes: list[int] | None) -> tf.Tensor:
    """Finds the largest magnitude of a kernel over `axes`, kept above the floor.

    Args:
        kernel: The kernel, a float tensor.
        axes: The axes to reduce, all if None; the others keep one limit each.

    Returns:
        The limits, a float tensor.

    Example:
        >>> [round(float(v), 3) for v in weight_limits(tf.constant([[1.0, -3.0]]), axes=[0])]
        [1.0, 3.0]
    """
    magnitude = ops.abs(kernel)
    floor = ops.maximum(WEIGHT_RANGE_FLOOR * ops.max(magnitude), SMALLEST_RANGE)
    return ops.stop_gradient(ops.maximum(ops.max(magnitude, axis=axes), floor))


def fake_quant_kernel(kernel: tf.Tensor, is_depthwise: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """Rounds a convolution kernel to symmetric int8 per output channel.

    Args:
        kernel: The kernel, a float tensor: (height, width, in, out), or (height, width, in,
            multiplier) if depthwise.
        is_depthwise: Whether the kernel is depthwise; its output channels are then the last two
            axes together.

    Returns:
        `(quantized, scale)`: float tensors of the shape of `kernel` and of (out,).

    Example:
        >>> quantized, scale = fake_quant_kernel(tf.constant([[[[127.0, 12.7]]]]), False)
        >>> [round(float(v), 2) for v in scale]
        [1.0, 0.1]
    """
    shape = kernel.shape
    if is_depthwise:
        # TFLite's depthwise kernel is (1, height, width, out); its per-channel axis is the last.
        kernel = ops.reshape(kernel, (shape[0], shape[1], 1, shape[2] * shape[3]))
    limits = weight_limits(kernel, [0, 1, 2])
    rounded, scale = _rounded(kernel, limits)
    quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        rounded, -limits, limits, NUM_BITS, narrow_range=True
    )
    return ops.reshape(quantized, shape), scale


def fake_quant_matrix(kernel: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rounds a Dense kernel to symmetric int8 with one scale.

    The TFLite converter refuses per-channel fake quantization on a Dense kernel.

    Args:
        kernel: The kernel, a float tensor of shape (in, out).

    Returns:
        `(quantized, scale)`: float tensors of the shape of `kernel` and of ().

    Example:
        >>> quantized, scale = fake_quant_matrix(tf.constant([[1.27, 0.016]]))
        >>> [round(float(value), 3) for value in quantized[0]]
        [1.27, 0.02]
    """
    limit = weight_limits(kernel, None)
    rounded, scale = _rounded(kernel, limit)
    quantized = tf.quantization.fake_quant_with_min_max_vars(
        rounded, -limit, limit, NUM_BITS, narrow_range=True
    )
    return quantized, scale


def _rounded(kernel: tf.Tensor, limits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Rounds a kernel; it and its scale have the same bits however a graph is compiled.

    Compilers turn a division by a constant into a multiplication, and each has its own fake
    quantization: in float32 the last bit of a scale, and now and then a weight, would depend on who
    computes. In double precision no ratio of two float32 numbers comes near enough to a tie.
    """
    limits = ops.cast(limits, "float64")
    steps = ops.round(ops.cast(kernel, "float64") * WEIGHT_LIMIT / limits)
    scale = ops.cast(limits / WEIGHT_LIMIT, "float32")
    return ops.cast(steps, "float32") * scale, scale


def straight_through(value: tf.Tensor, quantized: tf.Tensor) -> tf.Tensor:
    """Gives `quantized` forward, and the gradient of `value` backward.

    Weights never leave their own range; without this, rounding at the very edge would stop the
    gradient of each channel's largest weight.

    Args:
        value: The unrounded value, a float tensor.
        quantized: The rounded value, a float tensor of the same shape.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> float(straight_through(tf.constant(0.3), tf.constant(0.25)))
        0.25
    """
    return value + ops.stop_gradient(quantized - value)


@tf.custom_gradient
def learned_fake_quant(
    x: tf.Tensor,
    log_factor: tf.Tensor,
    range_min: tf.Tensor,
    range_max: tf.Tensor,
    is_learning: tf.Tensor,
) -> tf.Tensor:
    """Rounds an activation to int8 with a scale that is learned.

    The scale is `(range_max - range_min) / 255 * exp(log_factor)`. Inside the range its gradient is
    the rounding error, outside it is the limit; both are scaled by `1 / sqrt(values * 255)`.

    Args:
        x: The activation, a float tensor, batch first.
        log_factor: The learned logarithm of the scale's factor, a scalar float tensor.
        range_min: The smallest real value at a factor of 1, a scalar float tensor of at most 0.
        range_max: The largest real value at a factor of 1, a scalar float tensor of at least 0.
        is_learning: A scalar float tensor: 0 keeps the scale's gradient at zero, 1 lets it pass.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> factor = tf.Variable(0.0)
        >>> with tf.GradientTape() as tape:
        ...     y = learned_fake_quant(tf.constant([[0.4, 999.0]]), factor, 0.0, 255.0, 1.0)
        >>> y.numpy(), float(tape.gradient(y, factor)) > 0
        (array([[  0., 255.]], dtype=float32), True)

    Source: arXiv 1902.08153, equations 3 and 4, section 2.2.
    """
    low, high = range_min * tf.exp(log_factor), range_max * tf.exp(log_factor)
    y = fake_quant_activation(x, low, high)

    def gradient(upstream):
        inside, below, above = tf.raw_ops.FakeQuantWithMinMaxVarsGradient(
            gradients=upstream, inputs=x, min=low, max=high, num_bits=NUM_BITS, narrow_range=False
        )
        values = tf.cast(tf.size(x) / tf.shape(x)[0], x.dtype)
        share = is_learning / tf.sqrt(values * (2.0**NUM_BITS - 1.0))
        by_step = tf.reduce_sum(inside * (y - x)) + below * low + above * high
        return inside, by_step * share, None, None, None

    return y, gradient
