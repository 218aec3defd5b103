"""Layers that average: MEAN and AVERAGE_POOL_2D."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.fake_quant import fake_quant_activation
from keras_mobilenet.quantization.int8_arithmetic import (
    mean_multiplier,
    quantized_multiplier,
    rounded_average,
)
from keras_mobilenet.quantization.layers.base import PACKAGE, QuantizedLayer, RequantizingLayer
from keras_mobilenet.quantization.precision import to_double


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedMean(RequantizingLayer):
    """Global average pooling as the int8 MEAN operator computes it, with a range of its own.

    Args:
        keepdims: Whether height and width stay, as ones.
        **kwargs: The arguments of every Keras layer, and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether the range follows this batch.

    Returns:
        Float tensor of shape (batch, channels) or (batch, 1, 1, channels), quantized to int8.

    Example:
        >>> tuple(QuantizedMean(keepdims=True)(ops.ones((1, 4, 4, 8)), training=True).shape)
        (1, 1, 1, 8)
    """

    def __init__(self, keepdims: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.keepdims = keepdims

    def build(self, input_shape: tuple) -> None:
        """Creates the range's weights."""
        self.output_range.build(input_shape)

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Averages over height and width and quantizes the result."""
        return self.finish(ops.mean(inputs, axis=(1, 2), keepdims=self.keepdims), training)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Sums over height and width; the division is in the multiplier."""
        (input_scale,) = self.input_scales()
        total = ops.sum(ops.round(inputs / input_scale), axis=(1, 2), keepdims=self.keepdims)
        ratio = to_double(input_scale) / to_double(self.output_range.scale())
        count = inputs.shape[1] * inputs.shape[2]
        return self.finish_integers(total, *mean_multiplier(*quantized_multiplier(ratio), count))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {"keepdims": self.keepdims}


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedAveragePooling(QuantizedLayer):
    """Average pooling as the int8 AVERAGE_POOL_2D operator computes it: at the scale of its input.

    Args:
        pool_size: The height and width of the window, in pixels.
        strides: The vertical and horizontal stride, in pixels.
        padding: `"valid"` or `"same"`; padding does not count in the average.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether this is a training step.

    Returns:
        Float tensor of shape (batch, height, width, channels).

    Example:
        >>> tuple(QuantizedAveragePooling((2, 2), (2, 2))(ops.ones((1, 4, 4, 8))).shape)
        (1, 2, 2, 8)
    """

    def __init__(
        self, pool_size: Sequence[int], strides: Sequence[int], padding: str = "valid", **kwargs
    ):
        super().__init__(**kwargs)
        self.pool_size = tuple(pool_size)
        self.strides = tuple(strides)
        self.padding = padding

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Averages over each window and rounds to the input's scale."""
        pooled = self._pool(inputs)
        for found in self.input_ranges():
            if not found.is_quantizing:
                continue
            rounded = fake_quant_activation(pooled, *found.trained_limits())
            # Before the first batch the input has no range.
            pooled = ops.where(found.leader().num_batches > 0, rounded, pooled)
        return pooled

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Sums over each window and divides as the kernel does."""
        (found,) = self.input_ranges()
        scale, zero_point = found.scale(), found.zero_point()
        # The kernel averages the stored integers: ties round away from zero, not from the zero
        # point.
        stored = ops.round(inputs / scale) + zero_point
        counts = self._counts(inputs.shape[1:3])
        mean = rounded_average(ops.round(self._pool(stored) * counts), counts)
        return (ops.cast(mean, inputs.dtype) - zero_point) * scale

    def _pool(self, x: KerasTensor) -> KerasTensor:
        return ops.average_pool(
            x,
            self.pool_size,
            strides=self.strides,
            padding=self.padding,
            data_format="channels_last",
        )

    def _counts(self, shape: tuple[int, int]) -> np.ndarray:
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

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        pooling = layers.AveragePooling2D(
            self.pool_size, self.strides, self.padding, "channels_last"
        )
        return pooling.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }
