"""Quantization-aware layers without weights: they join, average, activate or round tensors."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from keras_mobilenet.quantization.fake_quant import fake_quant_activation
from keras_mobilenet.quantization.int8_arithmetic import (
    ADD_LEFT_SHIFT,
    add_multipliers,
    hard_swish,
    mean_multiplier,
    quantized_multiplier,
    requantize,
    rounded_average,
)
from keras_mobilenet.quantization.layers.base import GridReader, IntegerLayer, upstream_ranges
from keras_mobilenet.quantization.quantizer import QuantizationRange

_PACKAGE = "keras_mobilenet"


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedTensor(layers.Layer):
    """Rounds a tensor to int8: at the input of the model, and after a layer that stays float.

    Args:
        momentum: Of the moving average of the range; None keeps the extremes of all batches.
        learns_step: Whether the step of the grid is learned.
        **kwargs: Keras layer arguments.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> layer = QuantizedTensor()
        >>> tuple(layer(ops.ones((1, 2)), training=True).shape)
        (1, 2)
    """

    def __init__(self, momentum: float | None = 0.99, learns_step: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.output_range = QuantizationRange(momentum, learns_step, name="output_range")

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        self.output_range.build(input_shape)

    def call(self, inputs, training=None):
        """Computes the outputs."""
        return self.output_range(inputs, training=training)

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return input_shape

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "momentum": self.output_range.momentum,
            "learns_step": self.output_range.learns_step,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedMean(IntegerLayer):
    """Global average pooling as the int8 MEAN operator computes it, with a range of its own.

    Args:
        keepdims: Whether height and width stay, as ones.
        **kwargs: Keras layer arguments and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether the range follows this batch.

    Returns:
        Float tensor of shape (batch, channels) or (batch, 1, 1, channels), on an int8 grid.

    Example:
        >>> tuple(QuantizedMean(keepdims=True)(ops.ones((1, 4, 4, 8)), training=True).shape)
        (1, 1, 1, 8)
    """

    def __init__(self, keepdims: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.keepdims = keepdims

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        self.output_range.build(input_shape)

    def call(self, inputs, training=None):
        """Computes the outputs."""
        if not self.computes_integers(training):
            return self.finish(ops.mean(inputs, axis=(1, 2), keepdims=self.keepdims), training)
        (input_scale,) = self.input_scales()
        total = ops.sum(ops.round(inputs / input_scale), axis=(1, 2), keepdims=self.keepdims)
        ratio = ops.cast(input_scale, "float64") / ops.cast(self.output_range.scale(), "float64")
        count = inputs.shape[1] * inputs.shape[2]
        return self.finish_integers(total, *mean_multiplier(*quantized_multiplier(ratio), count))

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {"keepdims": self.keepdims}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedAdd(IntegerLayer):
    """The sum of two tensors and its ReLU as the int8 ADD operator computes them.

    Call arguments:
        inputs: Two float tensors of one shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape, on an int8 grid.

    Example:
        >>> tuple(QuantizedAdd("relu")([ops.ones((1, 4)), ops.ones((1, 4))], training=True).shape)
        (1, 4)
    """

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        self.output_range.build(self.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        """Computes the outputs."""
        first, second = inputs
        if not self.computes_integers(training):
            return self.finish(first + second, training)
        scales = self.input_scales()
        to_common_1, to_common_2, to_output = add_multipliers(
            *(ops.cast(s, "float64") for s in (*scales, self.output_range.scale()))
        )
        left_shift = 2.0**ADD_LEFT_SHIFT
        total = requantize(ops.round(first / scales[0]) * left_shift, *to_common_1)
        total = total + requantize(ops.round(second / scales[1]) * left_shift, *to_common_2)
        return self.finish_integers(total, *to_output)

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedConcatenate(layers.Layer):
    """Tensors side by side on one int8 grid: CONCATENATION moves values and never rescales them.

    The layers before it round their outputs to its grid.

    Args:
        axis: Along which the tensors are joined.
        learns_step: Whether the step of the grid is learned.
        **kwargs: Keras layer arguments.

    Call arguments:
        inputs: List of float tensors.
        training: Whether the range follows this batch.

    Returns:
        Float tensor on an int8 grid.

    Example:
        >>> x = [ops.ones((1, 2)), ops.zeros((1, 3))]
        >>> tuple(QuantizedConcatenate()(x, training=True).shape)
        (1, 5)
    """

    def __init__(self, axis: int = -1, learns_step: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.axis = axis
        self.output_range = QuantizationRange(learns_step=learns_step, name="output_range")

    def __call__(self, inputs, *args, **kwargs):
        for x in inputs:
            for found in upstream_ranges(x):
                if found.leader() is not self.output_range:
                    found.leader().follow(self.output_range)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        self.output_range.build(self.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        """Computes the outputs."""
        return self.output_range(ops.concatenate(inputs, axis=self.axis), training=training)

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return layers.Concatenate(self.axis).compute_output_shape(input_shape)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "axis": self.axis,
            "learns_step": self.output_range.learns_step,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedAveragePooling(GridReader):
    """Average pooling as the int8 AVERAGE_POOL_2D operator computes it: on the grid of its input.

    Args:
        pool_size: Two integers.
        strides: Two integers.
        padding: `"valid"` or `"same"`; padding does not count in the average.
        **kwargs: Keras layer arguments.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether this is a training step.

    Returns:
        Float tensor of shape (batch, height, width, channels).

    Example:
        >>> tuple(QuantizedAveragePooling((2, 2), (2, 2))(ops.ones((1, 4, 4, 8))).shape)
        (1, 2, 2, 8)
    """

    def __init__(self, pool_size, strides, padding: str = "valid", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = tuple(pool_size)
        self.strides = tuple(strides)
        self.padding = padding

    def call(self, inputs, training=None):
        """Computes the outputs."""
        if not self.computes_integers(training):
            pooled = self._pool(inputs)
            for found in self.input_ranges():
                low, high = (ops.stop_gradient(limit) for limit in found.limits())
                # Before the first batch there is no grid to keep.
                is_known = found.leader().num_batches > 0
                pooled = ops.where(is_known, fake_quant_activation(pooled, low, high), pooled)
            return pooled
        (found,) = self.input_ranges()
        scale, zero_point = found.scale(), found.zero_point()
        # The kernel averages the stored integers: ties round away from zero, not from the zero
        # point.
        stored = ops.round(inputs / scale) + zero_point
        counts = self._counts(inputs.shape[1:3])
        mean = rounded_average(ops.round(self._pool(stored) * counts), counts)
        return (ops.cast(mean, inputs.dtype) - zero_point) * scale

    def _pool(self, x):
        return ops.average_pool(x, self.pool_size, self.strides, self.padding, "channels_last")

    def _counts(self, shape) -> np.ndarray:
        """How many pixels each window holds, as (height, width, 1)."""
        sides = []
        for size, window, stride in zip(shape, self.pool_size, self.strides, strict=True):
            starts = np.arange(0, size - window + 1, stride)
            if self.padding == "same":
                steps = -(-size // stride)
                padding = max((steps - 1) * stride + window - size, 0)
                starts = np.arange(steps) * stride - padding // 2
            sides.append(np.minimum(starts + window, size) - np.maximum(starts, 0))
        return np.outer(*sides)[..., None].astype("float32")

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        pooling = layers.AveragePooling2D(
            self.pool_size, self.strides, self.padding, "channels_last"
        )
        return pooling.compute_output_shape(input_shape)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedActivation(IntegerLayer):
    """An activation that nothing before it could take in: an int8 operator of its own.

    Args:
        activation: `"relu"`, `"relu6"` or `"hard_swish"`.
        **kwargs: Keras layer arguments and `learns_step`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape, on an int8 grid.

    Example:
        >>> tuple(QuantizedActivation("hard_swish")(ops.ones((1, 4)), training=True).shape)
        (1, 4)
    """

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        self.output_range.build(input_shape)

    def call(self, inputs, training=None):
        """Computes the outputs."""
        if not self.computes_integers(training):
            return self.finish(inputs, training)
        (input_scale,) = self.input_scales()
        output_scale = self.output_range.scale()
        steps = ops.round(inputs / input_scale)
        if self.activation == "hard_swish":
            return self.on_grid(hard_swish(steps, input_scale, output_scale))
        ratio = ops.cast(input_scale, "float64") / ops.cast(output_scale, "float64")
        return self.finish_integers(steps, *quantized_multiplier(ratio))

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return input_shape
