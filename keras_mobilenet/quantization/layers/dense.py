"""The quantization-aware Dense layer: FULLY_CONNECTED."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.layers.base import PACKAGE, KernelLayer


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedDense(KernelLayer):
    """A Dense layer and its ReLU as int8 inference computes them, one scale for the kernel.

    Args:
        dense: The `Dense` layer; its weights are shared, not copied.
        activation: `"linear"`, `"relu"` or `"relu6"`.
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

    def __init__(self, dense: layers.Dense, activation: str = "linear", **kwargs):
        super().__init__(activation, **kwargs)
        self.dense = dense

    def build(self, input_shape: tuple) -> None:
        """Creates the weights of the wrapped layer and of the range."""
        if not self.dense.built:
            self.dense.build(input_shape)
        self.output_range.build(self.dense.compute_output_shape(input_shape))

    def compute_float(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Computes as the wrapped layer does."""
        x = self.sum_products(inputs, self.dense.kernel)
        return x + self.dense.bias if self.dense.use_bias else x

    def weights_of(self, read: Callable, operations: types.ModuleType) -> tuple[Any, Any]:
        """The kernel and the bias."""
        return read(self.dense.kernel), read(self.dense.bias) if self.dense.use_bias else None

    def sum_products(self, inputs: KerasTensor, kernel: KerasTensor) -> KerasTensor:
        """Multiplies the matrices."""
        return ops.matmul(inputs, kernel)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return self.dense.compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {"dense": keras.saving.serialize_keras_object(self.dense)}

    @classmethod
    def from_config(cls, config: dict) -> QuantizedDense:
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        config["dense"] = keras.saving.deserialize_keras_object(config["dense"])
        return cls(**config)
