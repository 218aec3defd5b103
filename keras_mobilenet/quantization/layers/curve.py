"""Activations that are tables in int8: sigmoid, tanh and LeakyReLU."""

from __future__ import annotations

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_mobilenet.quantization.int8_arithmetic import quantized_multiplier, requantize
from keras_mobilenet.quantization.layers.base import PACKAGE, QuantizedLayer, RequantizingLayer
from keras_mobilenet.quantization.precision import to_double
from keras_mobilenet.quantization.quantizer import QuantizationRange

FIXED_RANGES = {"sigmoid": (0.0, 255 / 256), "tanh": (-1.0, 127 / 128)}
"""What int8 holds at the scales that TFLite's kernels make: 1/256 and 1/128."""


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedCurve(QuantizedLayer):
    """A sigmoid or tanh as the int8 LOGISTIC and TANH operators compute it.

    Its scale is fixed by TFLite. In training it does not round: a class that is all but certain
    would have no gradient.

    Args:
        activation: `"sigmoid"` or `"tanh"`.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether this is a training step.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> float(QuantizedCurve("sigmoid")(ops.zeros((1, 1)))[0, 0])
        0.5
    """

    def __init__(self, activation: str, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.output_range = QuantizationRange(momentum=None, name="output_range")

    def build(self, input_shape: tuple) -> None:
        """Creates the range, which no batch moves."""
        self.output_range.build(input_shape)
        self.output_range.set_limits(*FIXED_RANGES[self.activation])

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Computes in float."""
        return ops.sigmoid(inputs) if self.activation == "sigmoid" else ops.tanh(inputs)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Rounds what the kernel's table rounds, ties away from zero."""
        (input_scale,) = self.input_scales()
        x = to_double(ops.round(inputs / input_scale) * input_scale)
        if self.activation == "tanh":
            steps, lowest, per_unit = _to_nearest(ops.tanh(x) * 128.0), -128.0, 128.0
        else:
            # In float32 but for the exponential, as the kernel is.
            power = ops.cast(ops.exp(-ops.maximum(x, -80.0)), "float32")
            steps, lowest, per_unit = _to_nearest(256.0 / (1.0 + power)), 0.0, 256.0
        highest = lowest + 255.0
        return ops.cast(ops.clip(to_double(steps), lowest, highest) / per_unit, "float32")

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {"activation": self.activation}


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedLeakyReLU(RequantizingLayer):
    """A LeakyReLU as the int8 LEAKY_RELU operator computes it, with a range of its own.

    Args:
        negative_slope: The slope below zero.
        **kwargs: The arguments of every Keras layer, `learns_step` and `is_quantizing`.

    Call arguments:
        inputs: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape, quantized to int8.

    Example:
        >>> tuple(QuantizedLeakyReLU(0.1)(ops.ones((1, 4)), training=True).shape)
        (1, 4)
    """

    def __init__(self, negative_slope: float = 0.2, **kwargs):
        super().__init__(**kwargs)
        self.negative_slope = negative_slope

    def build(self, input_shape: tuple) -> None:
        """Creates the range's weights."""
        self.output_range.build(input_shape)

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Activates the inputs and quantizes the result."""
        return self.finish(ops.leaky_relu(inputs, self.negative_slope), training)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Requantizes what is above zero, and what is below at another scale."""
        (input_scale,) = self.input_scales()
        output_scale = self.output_range.scale()
        steps = ops.round(inputs / input_scale)
        # The kernel divides in float32, and so does this, whatever a compiler makes of it.
        ratio = to_double(input_scale) / to_double(output_scale)
        slope = float(np.float32(self.negative_slope))
        scaled = to_double(ops.cast(to_double(input_scale) * abs(slope), "float32"))
        below = scaled / to_double(output_scale)
        above, below = (
            requantize(steps, *quantized_multiplier(to_double(ops.cast(one, "float32"))))
            for one in (ratio, below)
        )
        return self.dequantize(ops.where(steps >= 0, above, below if slope >= 0 else -below))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        config = super().get_config() | {"negative_slope": self.negative_slope}
        del config["activation"]
        return config


def _to_nearest(values: KerasTensor) -> KerasTensor:
    return ops.sign(values) * ops.floor(ops.abs(values) + 0.5)
