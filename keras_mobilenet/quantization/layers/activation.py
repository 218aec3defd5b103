"""Activations that are int8 operators of their own."""

from __future__ import annotations

import keras
from keras import KerasTensor, ops

from keras_mobilenet.quantization.int8_arithmetic import hard_swish, quantized_multiplier
from keras_mobilenet.quantization.layers.base import PACKAGE, RequantizingLayer
from keras_mobilenet.quantization.precision import to_double


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedActivation(RequantizingLayer):
    """An activation that does not fuse into the layer before it: an int8 operator of its own.

    Args:
        activation: `"relu"`, `"relu6"` or `"hard_swish"`.
        **kwargs: The arguments of every Keras layer, and `learns_step`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape, quantized to int8.

    Example:
        >>> tuple(QuantizedActivation("hard_swish")(ops.ones((1, 4)), training=True).shape)
        (1, 4)
    """

    def build(self, input_shape: tuple) -> None:
        """Creates the range's weights."""
        self.output_range.build(input_shape)

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Activates the inputs and quantizes the result."""
        return self.finish(inputs, training)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Rescales and clamps, or computes HARD_SWISH."""
        (input_scale,) = self.input_scales()
        output_scale = self.output_range.scale()
        steps = ops.round(inputs / input_scale)
        if self.activation == "hard_swish":
            return self.dequantize(hard_swish(steps, input_scale, output_scale))
        ratio = to_double(input_scale) / to_double(output_scale)
        return self.finish_integers(steps, *quantized_multiplier(ratio))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape
