"""The quantization-aware Dense layer: FULLY_CONNECTED."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import layers, ops

from keras_mobilenet.quantization.fake_quant import fake_quant_matrix, straight_through
from keras_mobilenet.quantization.layers.base import PACKAGE, Int8Weights, KernelLayer


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

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Multiplies with the rounded kernel, activates and quantizes."""
        kernel = ops.convert_to_tensor(self.dense.kernel)
        bias = self.dense.bias if self.dense.use_bias else None
        if not self.output_range.is_quantizing:
            x = ops.matmul(inputs, kernel)
            return self.finish(x if bias is None else x + bias, training)
        quantized, kernel_scale = fake_quant_matrix(kernel)
        if training:
            quantized = straight_through(kernel, quantized)
        return self.accumulate(
            inputs,
            kernel=quantized,
            kernel_scale=kernel_scale,
            bias=bias,
            sum_products=ops.matmul,
            training=training,
        )

    def int8_weights(self) -> Int8Weights:
        """The weights as inference uses them.

        Returns:
            The `Int8Weights`, with one scale.
        """
        quantized, scale = fake_quant_matrix(ops.convert_to_tensor(self.dense.kernel))
        return self.rounded_weights(
            quantized, scale, self.dense.bias if self.dense.use_bias else None
        )

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
