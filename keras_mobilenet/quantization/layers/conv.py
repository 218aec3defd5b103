"""The quantization-aware convolution: CONV_2D and DEPTHWISE_CONV_2D."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.layers.base import PACKAGE
from keras_mobilenet.quantization.layers.folding import folded, normalized
from keras_mobilenet.quantization.layers.kernel import KernelLayer
from keras_mobilenet.quantization.layers.over_time import OverTime
from keras_mobilenet.quantization.precision import as_tensor

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

    def kernel_variable(self) -> keras.Variable:
        """The kernel of the wrapped layer."""
        wrapped = self.convolution
        return wrapped.convolution.kernel if isinstance(wrapped, OverTime) else wrapped.kernel

    def build(self, input_shape: tuple) -> None:
        """Creates the weights of the wrapped layers and of the range."""
        if not self.convolution.built:
            self.convolution.build(input_shape)
        output_shape = self.convolution.compute_output_shape(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build(output_shape)
        self.output_range.build(output_shape)
        self.build_weight_steps(self.convolution.kernel.shape)

    @property
    def scale_axes(self) -> tuple[int, ...]:
        """All axes of the kernel but those of the output channels."""
        # A depthwise kernel's output channel is its last two axes together.
        return (0, 1) if self.is_depthwise else (0, 1, 2)

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Convolves with the rounded kernel, normalizes, activates and quantizes."""
        batch_norm = self.batch_norm
        uses_batch_statistics = (
            bool(training)
            and self.output_range.is_quantizing
            and batch_norm is not None
            and batch_norm.trainable
            and not self.is_batch_norm_frozen
        )
        if not uses_batch_statistics:
            return super().compute(inputs, training)
        kernel = as_tensor(self.convolution.kernel)
        x = self._normalized(inputs, self.round_kernel(kernel), training)
        return self.finish(x, training)

    def compute_float(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Computes as the wrapped layers do."""
        return self._normalized(inputs, self.convolution.kernel, training)

    def _normalized(self, inputs, kernel, training):
        x = self.sum_products(inputs, kernel)
        if self.convolution.use_bias:
            x = x + self.convolution.bias
        return x if self.batch_norm is None else normalized(self.batch_norm, x, training)

    def weights_of(self, read: Callable, operations: types.ModuleType) -> tuple[Any, Any]:
        """The kernel and the bias, batch normalization folded."""
        kernel = read(self.convolution.kernel)
        bias = read(self.convolution.bias) if self.convolution.use_bias else None
        if self.batch_norm is None:
            return kernel, bias
        return folded(kernel, bias, self.batch_norm, read, operations)

    def sum_products(self, inputs: KerasTensor, kernel: KerasTensor) -> KerasTensor:
        """Convolves."""
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
