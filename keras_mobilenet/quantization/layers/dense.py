"""The quantization-aware Dense layer: FULLY_CONNECTED."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.layers.base import PACKAGE
from keras_mobilenet.quantization.layers.folding import folded
from keras_mobilenet.quantization.layers.kernel import KernelLayer
from keras_mobilenet.quantization.precision import as_tensor


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedDense(KernelLayer):
    """A Dense layer, its batch normalization and its ReLU as int8 inference computes them.

    The kernel has one scale. In training with batch statistics it is rounded before the batch
    normalization is folded, in inference afterwards.

    Args:
        dense: The `Dense` layer; its weights are shared, not copied.
        activation: `"linear"`, `"relu"` or `"relu6"`.
        batch_norm: The `BatchNormalization` to fold, or None.
        is_batch_norm_frozen: Whether training uses the moving statistics.
        has_trained_statistics: Whether the batch normalization was trained before this layer took
            it: the callback freezes it from the start of quantization on.
        **kwargs: The arguments of every Keras layer, and `learns_step`.

    Call arguments:
        inputs: Float tensor of shape (batch, in).
        training: Whether the range follows this batch.

    Returns:
        Float tensor of shape (batch, units), quantized to int8.

    Example:
        >>> tuple(QuantizedDense(layers.Dense(3))(ops.ones((1, 8)), training=True).shape)
        (1, 3)
    """

    def __init__(
        self,
        dense: layers.Dense,
        activation: str = "linear",
        batch_norm: layers.BatchNormalization | None = None,
        is_batch_norm_frozen: bool = False,
        has_trained_statistics: bool = False,
        **kwargs,
    ):
        super().__init__(activation, **kwargs)
        self.dense = dense
        self.batch_norm = batch_norm
        self.is_batch_norm_frozen = is_batch_norm_frozen
        self.has_trained_statistics = has_trained_statistics

    def kernel_variable(self) -> keras.Variable:
        """The kernel of the wrapped layer."""
        return self.dense.kernel

    def build(self, input_shape: tuple) -> None:
        """Creates the weights of the wrapped layers and of the range."""
        if not self.dense.built:
            self.dense.build(input_shape)
        output_shape = self.dense.compute_output_shape(input_shape)
        if self.batch_norm is not None and not self.batch_norm.built:
            self.batch_norm.build(output_shape)
        self.output_range.build(output_shape)
        self.build_weight_steps(self.dense.kernel.shape)

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Multiplies with the rounded kernel, normalizes, activates and quantizes."""
        norm = self.batch_norm
        is_folded = norm is None or not norm.trainable or self.is_batch_norm_frozen
        if is_folded or not training or not self.output_range.is_quantizing:
            return super().compute(inputs, training)
        kernel = self.round_kernel(as_tensor(self.dense.kernel))
        return self.finish(self._normalized(inputs, kernel, training), training)

    def compute_float(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Computes as the wrapped layers do."""
        return self._normalized(inputs, self.dense.kernel, training)

    def _normalized(self, inputs, kernel, training):
        x = self.sum_products(inputs, kernel)
        x = x + self.dense.bias if self.dense.use_bias else x
        return x if self.batch_norm is None else self.batch_norm(x, training=training)

    def weights_of(self, read: Callable, operations: types.ModuleType) -> tuple[Any, Any]:
        """The kernel and the bias, batch normalization folded."""
        kernel = read(self.dense.kernel)
        bias = read(self.dense.bias) if self.dense.use_bias else None
        if self.batch_norm is None:
            return kernel, bias
        return folded(kernel, bias, self.batch_norm, read, operations)

    def sum_products(self, inputs: KerasTensor, kernel: KerasTensor) -> KerasTensor:
        """Multiplies the matrices."""
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return self.dense.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        norm = self.batch_norm
        return super().get_config() | {
            "dense": keras.saving.serialize_keras_object(self.dense),
            "batch_norm": None if norm is None else keras.saving.serialize_keras_object(norm),
            "is_batch_norm_frozen": self.is_batch_norm_frozen,
            "has_trained_statistics": self.has_trained_statistics,
        }

    @classmethod
    def from_config(cls, config: dict) -> QuantizedDense:
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        for name in ("dense", "batch_norm"):
            if config.get(name) is not None:
                config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
