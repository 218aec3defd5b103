"""Quantization-aware layers: each wraps the float layers it stands for and shares their weights."""

from __future__ import annotations

import keras
from keras import layers, ops

from keras_mobilenet.quantization.fake_quant import (
    QuantizationRange,
    fake_quant_kernel,
    fake_quant_matrix,
    straight_through,
)
from keras_mobilenet.quantization.integer import (
    mean_multiplier,
    quantized_multiplier,
    requantize,
    to_int8_grid,
)

_PACKAGE = "keras_mobilenet"
_serialize = keras.saving.serialize_keras_object
_deserialize = keras.saving.deserialize_keras_object


def _upstream_range(tensor) -> QuantizationRange | None:
    """The range that set the grid of a symbolic tensor, looked up through layers that keep it."""
    while (history := getattr(tensor, "_keras_history", None)) is not None:
        layer = history.operation
        if hasattr(layer, "output_range"):
            return layer.output_range
        sources = layer._inbound_nodes[history.node_index].input_tensors
        if len(sources) != 1:
            return None
        (tensor,) = sources
    return None


class _IntegerLayer(layers.Layer):
    """A layer whose int8 kernel sums in int32: knows the range of its input and how sums round.

    In inference it computes what TFLite's reference kernel computes, rounding by rounding, so that
    `evaluate` and `predict` tell what the chip will answer. In training, and for the converter
    (`is_exporting`), it computes with fake quantization.
    """

    is_exporting = False

    def __init__(self, activation: str = "linear", **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.output_range = QuantizationRange(name="output_range")
        self._input_range = lambda: None

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, keras.KerasTensor):
            found = _upstream_range(inputs)
            # A closure: the range belongs to the layer upstream and must not be saved twice.
            self._input_range = lambda: found
        return super().__call__(inputs, *args, **kwargs)

    def _computes_integers(self, training) -> bool:
        return not training and not self.is_exporting and self._input_range() is not None

    def _finish(self, x, training):
        return self.output_range(_activate(x, self.activation), training=training)

    def _finish_integers(self, total, multiplier, shift):
        value = requantize(total, multiplier, shift)
        return to_int8_grid(
            value, self.output_range.scale(), self.output_range.zero_point(), self.activation
        )


class _WeightedLayer(_IntegerLayer):
    """An integer layer with a kernel and a bias."""

    def _accumulate(self, inputs, kernel, kernel_scale, bias, sum_products, training):
        """`sum_products(inputs, kernel) + bias`, activated, on the grid of the output range."""
        if not self._computes_integers(training):
            x = sum_products(inputs, kernel)
            return self._finish(x if bias is None else x + bias, training)
        input_scale = self._input_range().scale()
        # Whole numbers: float32 sums them without error up to 2**24, and within a few parts in
        # 2**24 beyond.
        steps = ops.round(kernel / self._per_channel(kernel_scale, kernel))
        total = sum_products(ops.round(inputs / input_scale), steps)
        bias_scale = ops.cast(input_scale, "float64") * ops.cast(kernel_scale, "float64")
        total = ops.cast(total, "float64")
        if bias is not None:
            total = total + ops.round(ops.cast(bias, "float64") / bias_scale)
        output_scale = ops.cast(self.output_range.scale(), "float64")
        return self._finish_integers(total, *quantized_multiplier(bias_scale / output_scale))

    def _per_channel(self, values, kernel):
        """`values` of shape (out,) or (), ready to broadcast over the kernel."""
        return values


def _activate(x, activation: str):
    if activation == "relu":
        return ops.relu(x)
    return ops.relu6(x) if activation == "relu6" else x


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedTensor(layers.Layer):
    """Rounds a tensor to int8: at the input of the model, and after a layer that rescales.

    Args:
        momentum: Of the moving average of the range; None keeps the extremes of all batches.
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

    def __init__(self, momentum: float | None = 0.99, **kwargs):
        super().__init__(**kwargs)
        self.output_range = QuantizationRange(momentum, name="output_range")

    def build(self, input_shape):
        self.output_range.build(input_shape)

    def call(self, inputs, training=None):
        return self.output_range(inputs, training=training)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"momentum": self.output_range.momentum}


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedConvolution(_WeightedLayer):
    """A convolution, its batch normalization and its ReLU as int8 inference computes them.

    In inference, and wherever the batch normalization is frozen, the kernel is folded
    (`kernel * gamma / sqrt(variance + epsilon)`) and rounded per output channel. In training with
    batch statistics the kernel is rounded unfolded and normalized after: a per-channel scale
    commutes with the fold, so both are the same function, at one convolution a step.

    Args:
        convolution: `Conv2D` or `DepthwiseConv2D`; its weights are shared, not copied.
        batch_norm: `BatchNormalization` to fold, or None.
        activation: `"linear"`, `"relu"` or `"relu6"`.
        **kwargs: Keras layer arguments.

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

    def __init__(self, convolution, batch_norm=None, activation: str = "linear", **kwargs):
        super().__init__(activation, **kwargs)
        self.convolution = convolution
        self.batch_norm = batch_norm

    @property
    def is_depthwise(self) -> bool:
        """Whether the wrapped convolution is depthwise."""
        return isinstance(self.convolution, layers.DepthwiseConv2D)

    def build(self, input_shape):
        if not self.convolution.built:
            self.convolution.build(input_shape)
        output_shape = self.convolution.compute_output_shape(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build(output_shape)
        self.output_range.build(output_shape)

    def call(self, inputs, training=None):
        kernel = ops.convert_to_tensor(self.convolution.kernel)
        bias = self.convolution.bias if self.convolution.use_bias else None
        batch_norm = self.batch_norm
        uses_batch_statistics = bool(training) and batch_norm is not None and batch_norm.trainable

        if batch_norm is not None and not uses_batch_statistics:
            kernel, bias = self._folded(kernel, bias)
        quantized, kernel_scale = fake_quant_kernel(kernel, self.is_depthwise)
        if training:
            quantized = straight_through(kernel, quantized)
        if uses_batch_statistics:
            x = self._convolve(inputs, quantized)
            x = batch_norm(x if bias is None else x + bias, training=True)
            return self._finish(x, training)
        return self._accumulate(inputs, quantized, kernel_scale, bias, self._convolve, training)

    def _folded(self, kernel, bias):
        norm = self.batch_norm
        factor = ops.rsqrt(norm.moving_variance + norm.epsilon)
        if norm.scale:
            factor = factor * norm.gamma
        offset = -norm.moving_mean if bias is None else bias - norm.moving_mean
        folded_bias = offset * factor
        if norm.center:
            folded_bias = folded_bias + norm.beta
        return kernel * self._per_channel(factor, kernel), folded_bias

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
        return self.convolution.compute_output_shape(input_shape)

    def get_config(self):
        return super().get_config() | {
            "convolution": _serialize(self.convolution),
            "batch_norm": None if self.batch_norm is None else _serialize(self.batch_norm),
            "activation": self.activation,
        }

    @classmethod
    def from_config(cls, config):
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
        **kwargs: Keras layer arguments.

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
        if not self.dense.built:
            self.dense.build(input_shape)
        self.output_range.build(self.dense.compute_output_shape(input_shape))

    def call(self, inputs, training=None):
        kernel = ops.convert_to_tensor(self.dense.kernel)
        quantized, kernel_scale = fake_quant_matrix(kernel)
        if training:
            quantized = straight_through(kernel, quantized)
        bias = self.dense.bias if self.dense.use_bias else None
        return self._accumulate(inputs, quantized, kernel_scale, bias, ops.matmul, training)

    def compute_output_shape(self, input_shape):
        return self.dense.compute_output_shape(input_shape)

    def get_config(self):
        return super().get_config() | {
            "dense": _serialize(self.dense),
            "activation": self.activation,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        config["dense"] = _deserialize(config["dense"])
        return cls(**config)


@keras.saving.register_keras_serializable(package=_PACKAGE)
class QuantizedMean(_IntegerLayer):
    """Global average pooling as the int8 MEAN operator computes it, with a range of its own.

    Args:
        keepdims: Whether height and width stay, as ones.
        **kwargs: Keras layer arguments.

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
        self.output_range.build(input_shape)

    def call(self, inputs, training=None):
        if not self._computes_integers(training):
            return self._finish(ops.mean(inputs, axis=(1, 2), keepdims=self.keepdims), training)
        input_scale = self._input_range().scale()
        total = ops.sum(ops.round(inputs / input_scale), axis=(1, 2), keepdims=self.keepdims)
        ratio = ops.cast(input_scale, "float64") / ops.cast(self.output_range.scale(), "float64")
        count = inputs.shape[1] * inputs.shape[2]
        return self._finish_integers(total, *mean_multiplier(*quantized_multiplier(ratio), count))

    def compute_output_shape(self, input_shape):
        batch, _, _, channels = input_shape
        return (batch, 1, 1, channels) if self.keepdims else (batch, channels)

    def get_config(self):
        return super().get_config() | {"keepdims": self.keepdims}
