"""Quantization-aware layers with weights: each wraps the float layers it stands for."""

from __future__ import annotations

import keras
from keras import layers, ops

from keras_mobilenet.quantization.fake_quant import (
    fake_quant_kernel,
    fake_quant_matrix,
    straight_through,
)
from keras_mobilenet.quantization.int8_arithmetic import quantized_multiplier, sum_exactly
from keras_mobilenet.quantization.layers.base import IntegerLayer

_PACKAGE = "keras_mobilenet"
_serialize = keras.saving.serialize_keras_object
_deserialize = keras.saving.deserialize_keras_object


def _wide(value):
    return ops.cast(value, "float64")


class _WeightedLayer(IntegerLayer):
    """An integer layer with a kernel and a bias."""

    is_depthwise = False

    def _accumulate(self, inputs, kernel, kernel_scale, bias, sum_products, training):
        """`sum_products(inputs, kernel) + bias`, activated, on the grid of the output range."""
        if not self.computes_integers(training):
            x = sum_products(inputs, kernel)
            return self.finish(x if bias is None else x + bias, training)
        (input_scale,) = self.input_scales()
        steps = ops.round(kernel / self._per_channel(kernel_scale, kernel))
        total = sum_exactly(sum_products, ops.round(inputs / input_scale), steps, self.is_depthwise)
        bias_scale = ops.cast(input_scale, "float64") * ops.cast(kernel_scale, "float64")
        if bias is not None:
            total = total + ops.round(ops.cast(bias, "float64") / bias_scale)
        output_scale = ops.cast(self.output_range.scale(), "float64")
        return self.finish_integers(total, *quantized_multiplier(bias_scale / output_scale))

    def _per_channel(self, values, kernel):
        """`values` of shape (out,) or (), ready to broadcast over the kernel."""
        return values


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedConvolution(_WeightedLayer):
    """A convolution, its batch normalization and its ReLU as int8 inference computes them.

    In inference, and wherever the batch normalization is frozen, the kernel is folded
    (`kernel * gamma / sqrt(variance + epsilon)`) and rounded per output channel. In training with
    batch statistics the kernel is rounded unfolded and normalized after: a per-channel scale
    commutes with the fold, so both are the same function, at one convolution a step. Where
    `is_batch_norm_frozen`, training uses the moving statistics, as inference does; gamma and beta
    train on.

    Args:
        convolution: `Conv2D` or `DepthwiseConv2D`; its weights are shared, not copied.
        batch_norm: `BatchNormalization` to fold, or None.
        activation: `"linear"`, `"relu"` or `"relu6"`.
        **kwargs: Keras layer arguments and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether batch statistics are used and the range follows this batch.

    Returns:
        Float tensor of the convolution's output shape, on an int8 grid.

    Example:
        >>> layer = QuantizedConvolution(layers.Conv2D(4, 3), layers.BatchNormalization(), "relu6")
        >>> tuple(layer(ops.ones((1, 8, 8, 3)), training=True).shape)
        (1, 6, 6, 4)

    Source: arXiv 1806.08342, section 3.2 (folding); TFLite 8-bit quantization specification.
    """

    is_batch_norm_frozen = False

    def __init__(self, convolution, batch_norm=None, activation: str = "linear", **kwargs):
        super().__init__(activation, **kwargs)
        self.convolution = convolution
        self.batch_norm = batch_norm

    @property
    def is_depthwise(self) -> bool:
        """Whether the wrapped convolution is depthwise."""
        return isinstance(self.convolution, layers.DepthwiseConv2D)

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        if not self.convolution.built:
            self.convolution.build(input_shape)
        output_shape = self.convolution.compute_output_shape(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build(output_shape)
        self.output_range.build(output_shape)

    def call(self, inputs, training=None):
        """Computes the outputs."""
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        bias = self.convolution.bias if self.convolution.use_bias else None
        batch_norm = self.batch_norm
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
        return self._accumulate(inputs, quantized, kernel_scale, bias, self._convolve, training)

    def _folded(self, kernel, bias):
        # In double precision: a graph optimizer that reorders the factors must not move a weight
        # across a rounding boundary.
        norm = self.batch_norm
        factor = ops.rsqrt(_wide(norm.moving_variance) + norm.epsilon)
        if norm.scale:
            factor = factor * _wide(norm.gamma)
        offset = -_wide(norm.moving_mean)
        if bias is not None:
            offset = offset + _wide(bias)
        folded_bias = offset * factor
        if norm.center:
            folded_bias = folded_bias + _wide(norm.beta)
        folded = _wide(kernel) * self._per_channel(factor, kernel)
        return ops.cast(folded, "float32"), ops.cast(folded_bias, "float32")

    def _per_channel(self, values, kernel):
        # A depthwise kernel's output channel is its last two axes together.
        return ops.reshape(values, kernel.shape[2:]) if self.is_depthwise else values

    def _convolve(self, inputs, kernel):
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

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "convolution": _serialize(self.convolution),
            "batch_norm": None if self.batch_norm is None else _serialize(self.batch_norm),
        }

    @classmethod
    def from_config(cls, config):
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        config["convolution"] = _deserialize(config["convolution"])
        if config["batch_norm"] is not None:
            config["batch_norm"] = _deserialize(config["batch_norm"])
        return cls(**config)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedDense(_WeightedLayer):
    """A Dense layer and its ReLU as int8 inference computes them, one scale for the kernel.

    Args:
        dense: `Dense` layer; its weights are shared, not copied.
        activation: `"linear"`, `"relu"` or `"relu6"`.
        **kwargs: Keras layer arguments and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, in).
        training: Whether the range follows this batch.

    Returns:
        Float tensor of shape (batch, units), on an int8 grid.

    Example:
        >>> tuple(QuantizedDense(layers.Dense(3))(ops.ones((1, 8)), training=True).shape)
        (1, 3)
    """

    def __init__(self, dense, activation: str = "linear", **kwargs):
        super().__init__(activation, **kwargs)
        self.dense = dense

    def build(self, input_shape):
        """Creates the weights for inputs of a shape."""
        if not self.dense.built:
            self.dense.build(input_shape)
        self.output_range.build(self.dense.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        """Computes the outputs."""
        kernel = ops.convert_to_tensor(self.dense.kernel)
        quantized, kernel_scale = fake_quant_matrix(kernel)
        if training:
            quantized = straight_through(kernel, quantized)
        bias = self.dense.bias if self.dense.use_bias else None
        return self._accumulate(inputs, quantized, kernel_scale, bias, ops.matmul, training)

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        return self.dense.compute_output_shape(input_shape)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {"dense": _serialize(self.dense)}

    @classmethod
    def from_config(cls, config):
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        config["dense"] = _deserialize(config["dense"])
        return cls(**config)
