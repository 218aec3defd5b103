"""Fake quantization: the int8 grid of TFLite in float arithmetic, and the ranges that set it."""

from __future__ import annotations

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
    """The scale and zero point that TensorFlow's fake quantization uses for a range.

    Args:
        range_min: Smallest real value, at most 0.
        range_max: Largest real value, at least 0 and above `range_min`.

    Returns:
        `(scale, zero_point)`, zero point in int8's [-128, 127].

    Raises:
        ValueError: If the range is empty or does not hold zero.

    Example:
        >>> nudged_parameters(0.0, 6.0)
        (0.0235294122248888, -128)

    Source: the TFLite 8-bit quantization specification, "Quantization of zero".
    """
    if not range_min <= 0 <= range_max or range_min == range_max:
        raise ValueError(f"A range must hold 0 and not be empty, got [{range_min}, {range_max}].")
    low, high = np.float32(range_min), np.float32(range_max)
    steps = np.float32(2**NUM_BITS - 1)
    scale = (high - low) / steps
    zero_from_min = np.clip(-low / scale, np.float32(0), steps)
    # TensorFlow rounds the zero point half away from zero.
    return float(scale), int(np.floor(zero_from_min + np.float32(0.5))) - 2 ** (NUM_BITS - 1)


def fake_quant_activation(x, range_min, range_max):
    """Rounds an activation to its asymmetric int8 grid; gradients pass inside the range.

    Args:
        x: Float tensor of any shape.
        range_min: Scalar float tensor, at most 0.
        range_max: Scalar float tensor, at least 0.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> [float(v) for v in fake_quant_activation(tf.constant([0.5, 300.0]), 0.0, 255.0)]
        [1.0, 255.0]
    """
    return tf.quantization.fake_quant_with_min_max_vars(x, range_min, range_max, NUM_BITS)


def weight_limits(kernel, axes):
    """Largest magnitude of a kernel over `axes`, kept above the floor.

    Args:
        kernel: Float tensor.
        axes: Axes to reduce; the others keep one limit each.

    Returns:
        Float tensor of limits.

    Example:
        >>> [round(float(v), 3) for v in weight_limits(tf.constant([[1.0, -3.0]]), axes=[0])]
        [1.0, 3.0]
    """
    magnitude = ops.abs(kernel)
    floor = ops.maximum(WEIGHT_RANGE_FLOOR * ops.max(magnitude), SMALLEST_RANGE)
    return ops.stop_gradient(ops.maximum(ops.max(magnitude, axis=axes), floor))


def fake_quant_kernel(kernel, is_depthwise: bool):
    """Rounds a convolution kernel to symmetric int8 per output channel.

    Args:
        kernel: Float tensor, (height, width, in, out), or (height, width, in, multiplier) if
            depthwise.
        is_depthwise: Whether output channel is (in, multiplier) together.

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
    quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
        kernel, -limits, limits, NUM_BITS, narrow_range=True
    )
    return ops.reshape(quantized, shape), limits / WEIGHT_LIMIT


def fake_quant_matrix(kernel):
    """Rounds a Dense kernel to symmetric int8 with one scale.

    The TFLite converter refuses per-channel fake quantization on a Dense kernel.

    Args:
        kernel: Float tensor, (in, out).

    Returns:
        `(quantized, scale)`: float tensors of the shape of `kernel` and of ().

    Example:
        >>> quantized, scale = fake_quant_matrix(tf.constant([[1.27, 0.016]]))
        >>> [round(float(value), 3) for value in quantized[0]]
        [1.27, 0.02]
    """
    limit = weight_limits(kernel, None)
    quantized = tf.quantization.fake_quant_with_min_max_vars(
        kernel, -limit, limit, NUM_BITS, narrow_range=True
    )
    return quantized, limit / WEIGHT_LIMIT


def straight_through(value, quantized):
    """`quantized` forward, the gradient of `value` backward.

    Weights never leave their own range; without this, rounding at the very edge would stop the
    gradient of each channel's largest weight.

    Args:
        value: Float tensor.
        quantized: Float tensor of the same shape.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> float(straight_through(tf.constant(0.3), tf.constant(0.25)))
        0.25
    """
    return value + ops.stop_gradient(quantized - value)


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class QuantizationRange(keras.layers.Layer):
    """The trained real range of one tensor, and the rounding to its int8 grid.

    Args:
        momentum: Weight of the past in the moving average of batch minima and maxima; None keeps
            the extremes of all batches, which suits inputs with hard bounds such as pixels.
        **kwargs: Keras layer arguments.

    Call arguments:
        x: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the shape of `x`, on the int8 grid of the range.

    Example:
        >>> tensor_range = QuantizationRange()
        >>> _ = tensor_range(tf.constant([0.0, 5.1]), training=True)
        >>> scale, zero_point = tensor_range.scale_and_zero_point()
        >>> round(scale, 7), zero_point
        (0.02, -128)

    Source: arXiv 1712.05877, section 3.1.
    """

    def __init__(self, momentum: float | None = 0.99, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.momentum = momentum

    def build(self, input_shape):
        self.range_min = self._add_range("range_min")
        self.range_max = self._add_range("range_max")
        self.num_batches = self._add_range("num_batches")

    def _add_range(self, name: str):
        return self.add_weight(
            shape=(), initializer="zeros", trainable=False, aggregation="mean", name=name
        )

    def call(self, x, training=None):
        if training:
            self._observe(x)
        return fake_quant_activation(
            x, ops.convert_to_tensor(self.range_min), ops.convert_to_tensor(self.range_max)
        )

    def _observe(self, x) -> None:
        batch_min = ops.minimum(ops.min(x), 0.0)
        batch_max = ops.maximum(ops.max(x), batch_min + SMALLEST_RANGE)
        batch_max = ops.maximum(batch_max, 0.0)
        if self.momentum is None:
            self.range_min.assign(ops.minimum(self.range_min, batch_min))
            self.range_max.assign(ops.maximum(self.range_max, batch_max))
        else:
            # A plain mean until the moving average has enough history: no start-up bias.
            past = ops.minimum(self.momentum, self.num_batches / (self.num_batches + 1.0))
            self.range_min.assign(past * self.range_min + (1.0 - past) * batch_min)
            self.range_max.assign(past * self.range_max + (1.0 - past) * batch_max)
        self.num_batches.assign_add(1.0)

    def scale(self):
        """The step of the int8 grid, as a tensor that follows the range.

        Returns:
            Scalar float tensor.
        """
        return (self.range_max - self.range_min) / (2.0**NUM_BITS - 1.0)

    def zero_point(self):
        """The int8 zero point, as a tensor that follows the range.

        Returns:
            Scalar float tensor, a whole number in [-128, 127].
        """
        steps = 2.0**NUM_BITS - 1.0
        from_min = ops.clip(-self.range_min / self.scale(), 0.0, steps)
        return ops.floor(from_min + 0.5) - 2.0 ** (NUM_BITS - 1)

    @property
    def is_trained(self) -> bool:
        """Whether at least one training batch has set the range."""
        return self.built and float(self.num_batches) > 0

    def scale_and_zero_point(self) -> tuple[float, int]:
        """The int8 quantization parameters of the range.

        Returns:
            `(scale, zero_point)` as in `nudged_parameters`.

        Raises:
            ValueError: If no training batch has set the range.
        """
        if not self.is_trained:
            raise ValueError(f"The range {self.path!r} has seen no training batch.")
        return nudged_parameters(float(self.range_min), float(self.range_max))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config() | {"momentum": self.momentum}
        config.pop("trainable")
        return config
