"""The quantization of a single tensor, such as the model's input."""

from __future__ import annotations

import keras
from keras import KerasTensor, layers

from keras_mobilenet.quantization.layers.base import PACKAGE
from keras_mobilenet.quantization.quantizer import QuantizationRange


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedTensor(layers.Layer):
    """Quantizes a tensor to int8: at the input of the model, and after a layer that stays float.

    Args:
        momentum: The weight of the past in the moving average of the range; None keeps the extremes
            of all batches.
        learns_step: Whether the scale is learned.
        is_quantizing: Whether it rounds. Until then its range only observes.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> layer = QuantizedTensor()
        >>> tuple(layer(keras.ops.ones((1, 2)), training=True).shape)
        (1, 2)
    """

    def __init__(
        self,
        momentum: float | None = 0.99,
        learns_step: bool = False,
        is_quantizing: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.output_range = QuantizationRange(
            momentum, learns_step, is_quantizing, name="output_range"
        )

    def build(self, input_shape: tuple) -> None:
        """Creates the range's weights."""
        self.output_range.build(input_shape)

    def call(self, inputs: KerasTensor, training: bool | None = None) -> KerasTensor:
        """Quantizes the tensor."""
        return self.output_range(inputs, training=training)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "momentum": self.output_range.momentum,
            "learns_step": self.output_range.learns_step,
            "is_quantizing": self.output_range.is_quantizing,
        }
