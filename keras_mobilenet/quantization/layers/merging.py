"""Layers that merge tensors: ADD and CONCATENATION."""

from __future__ import annotations

import keras
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.int8_arithmetic import (
    ADD_LEFT_SHIFT,
    add_multipliers,
    requantize,
)
from keras_mobilenet.quantization.layers.base import PACKAGE, RequantizingLayer, upstream_ranges
from keras_mobilenet.quantization.precision import to_double
from keras_mobilenet.quantization.quantizer import QuantizationRange


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedAdd(RequantizingLayer):
    """The sum of two tensors and its ReLU as the int8 ADD operator computes them.

    Call arguments:
        inputs: Two float tensors of one shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the same shape, quantized to int8.

    Example:
        >>> tuple(QuantizedAdd("relu")([ops.ones((1, 4)), ops.ones((1, 4))], training=True).shape)
        (1, 4)
    """

    def build(self, input_shape: list[tuple]) -> None:
        """Creates the range's weights."""
        self.output_range.build(self.compute_output_shape(input_shape))

    def compute(self, inputs: list[KerasTensor], training: bool | None) -> KerasTensor:
        """Adds the inputs, activates and quantizes the sum."""
        first, second = inputs
        return self.finish(first + second, training)

    def compute_integers(self, inputs: list[KerasTensor]) -> KerasTensor:
        """Adds at a common scale, and rescales the sum."""
        first, second = inputs
        scales = self.input_scales()
        to_common_1, to_common_2, to_output = add_multipliers(
            *(to_double(scale) for scale in (*scales, self.output_range.scale()))
        )
        left_shift = 2.0**ADD_LEFT_SHIFT
        total = requantize(ops.round(first / scales[0]) * left_shift, *to_common_1)
        total = total + requantize(ops.round(second / scales[1]) * left_shift, *to_common_2)
        return self.finish_integers(total, *to_output)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """The shape of the output, batch first."""
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package=PACKAGE)
class QuantizedConcatenate(layers.Layer):
    """Tensors side by side with one int8 scale: CONCATENATION moves values and never rescales them.

    The layers before it quantize their outputs with its scale and zero point.

    Args:
        axis: The axis along which the tensors are joined.
        learns_step: Whether the scale is learned.
        is_quantizing: Whether it rounds. Until then its range only observes.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Call arguments:
        inputs: List of float tensors.
        training: Whether the range follows this batch.

    Returns:
        Float tensor, quantized to int8.

    Example:
        >>> x = [ops.ones((1, 2)), ops.zeros((1, 3))]
        >>> tuple(QuantizedConcatenate()(x, training=True).shape)
        (1, 5)
    """

    def __init__(
        self, axis: int = -1, learns_step: bool = False, is_quantizing: bool = True, **kwargs
    ):
        super().__init__(**kwargs)
        self.axis = axis
        self.output_range = QuantizationRange(
            learns_step=learns_step, is_quantizing=is_quantizing, name="output_range"
        )

    def __call__(self, inputs, *args, **kwargs):
        for x in inputs:
            for found in upstream_ranges(x):
                if found.leader() is not self.output_range:
                    found.leader().follow(self.output_range)
        return super().__call__(inputs, *args, **kwargs)

    def build(self, input_shape: list[tuple]) -> None:
        """Creates the range's weights."""
        self.output_range.build(self.compute_output_shape(input_shape))

    def call(self, inputs: list[KerasTensor], training: bool | None = None) -> KerasTensor:
        """Joins the inputs and quantizes the result."""
        return self.output_range(ops.concatenate(inputs, axis=self.axis), training=training)

    def compute_output_shape(self, input_shape: list[tuple]) -> tuple:
        """The shape of the output, batch first."""
        return layers.Concatenate(self.axis).compute_output_shape(input_shape)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "axis": self.axis,
            "learns_step": self.output_range.learns_step,
            "is_quantizing": self.output_range.is_quantizing,
        }
