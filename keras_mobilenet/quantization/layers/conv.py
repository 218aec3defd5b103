"""The quantization-aware convolution: CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_mobilenet.quantization.fake_quant import fake_quant_kernel, straight_through
from keras_mobilenet.quantization.layers.base import PACKAGE, Int8Weights, KernelLayer

_serialize = keras.saving.serialize_keras_object
_deserialize = keras.saving.deserialize_keras_object


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedConvolution(KernelLayer):
    """A convolution, its batch normalization and its ReLU as int8 inference computes them.

    In inference, and wherever the batch normalization is frozen, the kernel is folded
    (`kernel * gamma / sqrt(variance + epsilon)`) and rounded per output channel. In training with
    batch statistics the kernel is rounded unfolded and normalized after: a per-channel scale
    commutes with the fold, so both are the same function, at one convolution a step. Where
    `is_batch_norm_frozen`, training uses the moving statistics, as inference does; gamma and beta
    train on.

    Args:
        convolution: The `Conv2D` or `DepthwiseConv2D`; its weights are shared, not copied.
        batch_norm: The `BatchNormalization` to fold, or None.
        activation: `"linear"`, `"relu"` or `"relu6"`.
        is_batch_norm_frozen: Whether training uses the moving statistics.
        has_trained_statistics: Whether the batch normalization was trained before this layer took
            it: the callback freezes it from the start of quantization on.
        **kwargs: The arguments of every Keras layer, and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether batch statistics are used and the range follows this batch.

    Returns:
        Float tensor of the convolution's output shape, quantized to int8.

    Example:
        >>> layer = QuantizedConvolution(layers.Conv2D(4, 3), layers.BatchNormalization(), "relu6")
        >>> tuple(layer(ops.ones((1, 8, 8, 3)), training=True).shape)
        (1, 6, 6, 4)

    Source: arXiv 1806.08342, section 3.2 (folding); TFLite 8-bit quantization specification.
    """

    def __init__(
        self,
        convolution: layers.Layer,
        batch_norm: layers.BatchNormalization | None = None,
        activation: str = "linear",
        is_batch_norm_frozen: bool = False,
        has_trained_statistics: bool = False,
        **kwargs,
    ):
        super().__init__(activation, **kwargs)
        self.convolution = convolution
        self.batch_norm = batch_norm
        self.is_batch_norm_frozen = is_batch_norm_frozen
        self.has_trained_statistics = has_trained_statistics

    @property
    def is_depthwise(self) -> bool:
        """Whether the wrapped convolution is depthwise."""
        return isinstance(self.convolution, layers.DepthwiseConv2D)

    def build(self, input_shape: tuple) -> None:
        """Creates the weights of the wrapped layers and of the range."""
        if not self.convolution.built:
            self.convolution.build(input_shape)
        output_shape = self.convolution.compute_output_shape(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build(output_shape)
        self.output_range.build(output_shape)

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Convolves with the rounded kernel, normalizes, activates and quantizes."""
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        bias = self.convolution.bias if self.convolution.use_bias else None
        batch_norm = self.batch_norm
        if not self.output_range.is_quantizing:
            return self._float(inputs, kernel, bias, training)
        uses_batch_statistics = (
            bool(training)
            and batch_norm is not None
            and batch_norm.trainable
            and not self.is_batch_norm_frozen
        )

        if batch_norm is not None and not uses_batch_statistics:
            kernel, bias = self._folded(kernel, bias)
        quantized, kernel_scale = fake_quant_kernel(kernel, self.is_depthwise)
        if training:
            quantized = straight_through(kernel, quantized)
        if uses_batch_statistics:
            x = self._convolve(inputs, quantized)
            x = batch_norm(x if bias is None else x + bias, training=True)
            return self.finish(x, training)
        return self.accumulate(
            inputs,
            kernel=quantized,
            kernel_scale=kernel_scale,
            bias=bias,
            sum_products=self._convolve,
            training=training,
        )

    def _float(self, inputs, kernel, bias, training):
        """Computes as the wrapped layers do."""
        x = self._convolve(inputs, kernel)
        x = x if bias is None else x + bias
        if self.batch_norm is not None:
            x = self.batch_norm(x, training=training)
        return self.finish(x, training)

    def int8_weights(self) -> Int8Weights:
        """The weights as inference uses them.

        Returns:
            The `Int8Weights`, batch normalization folded.
        """
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        bias = self.convolution.bias if self.convolution.use_bias else None
        if self.batch_norm is not None:
            kernel, bias = self._folded(kernel, bias)
        quantized, scale = fake_quant_kernel(kernel, self.is_depthwise)
        if not self.is_depthwise:
            return self.rounded_weights(quantized, scale, bias)
        # Of each input channel come its outputs, side by side.
        height, width, channels, multiplier = quantized.shape
        flat = ops.reshape(quantized, (height, width, 1, channels * multiplier))
        weights = self.rounded_weights(flat, scale, bias)
        return dataclasses.replace(
            weights, kernel=np.moveaxis(weights.kernel, 0, -1)[..., 0, :][None]
        )

    def _folded(self, kernel, bias):
        # In double precision: a graph optimizer that reorders the factors must not move a weight
        # across a rounding boundary.
        norm = self.batch_norm
        factor = ops.rsqrt(_to_double(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            factor = factor * _to_double(norm.gamma)
        offset = -_to_double(norm.moving_mean)
        if bias is not None:
            offset = offset + _to_double(bias)
        folded_bias = offset * factor
        if norm.center:
            folded_bias = folded_bias + _to_double(norm.beta)
        folded = _to_double(kernel) * self.per_channel(factor, kernel)
        return ops.cast(folded, "float32"), ops.cast(folded_bias, "float32")

    def per_channel(self, values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Shapes one value per output channel so that it broadcasts over the kernel.

        Args:
            values: Float tensor of shape (output channels,).
            kernel: The kernel, a float tensor.

        Returns:
            Float tensor.
        """
        # A depthwise kernel's output channel is its last two axes together.
        return ops.reshape(values, kernel.shape[2:]) if self.is_depthwise else values

    def _convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        convolution = self.convolution
        convolve = ops.depthwise_conv if self.is_depthwise else ops.conv
        return convolve(
            inputs,
            kernel,
            strides=convolution.strides,
            padding=convolution.padding,
            data_format=convolution.data_format,
            dilation_rate=convolution.dilation_rate,
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "convolution": _serialize(self.convolution),
            "batch_norm": None if self.batch_norm is None else _serialize(self.batch_norm),
            "is_batch_norm_frozen": self.is_batch_norm_frozen,
            "has_trained_statistics": self.has_trained_statistics,
        }

    @classmethod
    def from_config(cls, config: dict) -> QuantizedConvolution:
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        config["convolution"] = _deserialize(config["convolution"])
        if config["batch_norm"] is not None:
            config["batch_norm"] = _deserialize(config["batch_norm"])
        return cls(**config)


def has_trained_statistics(norm: layers.BatchNormalization) -> bool:
    """Tells whether a batch normalization is no more as it was made.

    Args:
        norm: The layer, built.

    Returns:
        Whether its moving statistics, or its scale and offset, are not those at the beginning.

    Example:
        >>> norm = layers.BatchNormalization()
        >>> norm.build((None, 4))
        >>> has_trained_statistics(norm)
        False
    """
    ones = [norm.moving_variance, *([norm.gamma] if norm.scale else [])]
    zeros = [norm.moving_mean, *([norm.beta] if norm.center else [])]
    at_first = [(variable, 1.0) for variable in ones] + [(variable, 0.0) for variable in zeros]
    return any(
        bool((ops.convert_to_numpy(variable) != value).any()) for variable, value in at_first
    )


def _to_double(value: tf.Tensor) -> tf.Tensor:
    return ops.cast(value, "float64")
