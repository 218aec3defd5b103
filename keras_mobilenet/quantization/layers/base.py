"""What all quantization-aware layers share: ranges before and after, and exact int8 inference."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops, tree

from keras_mobilenet.quantization.int8_arithmetic import (
    clamp_and_dequantize,
    quantized_multiplier,
    requantize,
    sum_exactly,
)
from keras_mobilenet.quantization.quantizer import QuantizationRange

PACKAGE = "keras_mobilenet"
"""The package under which the layers are registered; saved `.keras` files name it."""


def upstream_ranges(tensor: keras.KerasTensor) -> Iterator[QuantizationRange]:
    """Finds the range that quantizes a symbolic tensor, through layers that only move values.

    Args:
        tensor: The symbolic tensor of a functional model.

    Yields:
        One `QuantizationRange`; none if the tensor is float.

    Example:
        >>> next(upstream_ranges(keras.Input((8, 8, 3))), "float")
        'float'
    """
    while (history := getattr(tensor, "_keras_history", None)) is not None:
        layer = history.operation
        if hasattr(layer, "output_range"):
            yield layer.output_range
            return
        sources = layer._inbound_nodes[history.node_index].input_tensors
        if len(sources) != 1:
            return
        (tensor,) = sources


@dataclasses.dataclass(frozen=True)
class Int8Weights:
    """The weights of a layer as inference uses them, batch normalization folded.

    Attributes:
        kernel: int8 array in TFLite's order: (out, height, width, in) of a convolution, (1, height,
            width, out) if it is depthwise, (out, in) of a Dense layer.
        scales: float32 array, one scale, or one for each output channel.
        bias: float32 array of shape (out,), in real values.
    """

    kernel: np.ndarray
    scales: np.ndarray
    bias: np.ndarray


class QuantizedLayer(layers.Layer):
    """A layer with an int8 kernel, which has to know the scales of its inputs.

    In inference it computes what TFLite's reference kernel computes, rounding by rounding, so that
    `evaluate` and `predict` tell what the chip will answer. In training, and for the converter
    (`is_exporting`), it computes with fake quantization.

    Args:
        **kwargs: The arguments of every Keras layer, such as `name`.
    """

    is_exporting = False

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._find_ranges = tuple

    def __call__(self, inputs, *args, **kwargs):
        flat = tree.flatten(inputs)
        if all(isinstance(x, keras.KerasTensor) for x in flat):
            found = tuple(r for x in flat for r in upstream_ranges(x))
            is_whole = len(found) == len(flat)
            # A closure: the ranges belong to the layers upstream and must not be saved twice.
            self._find_ranges = lambda: found if is_whole else ()
        return super().__call__(inputs, *args, **kwargs)

    def input_ranges(self) -> tuple[QuantizationRange, ...]:
        """The ranges that quantize the inputs.

        Returns:
            One range for each input; none if an input is float.
        """
        return self._find_ranges()

    def computes_integers(self, training: bool | None) -> bool:
        """Whether this call computes as the int8 kernel does.

        Args:
            training: The `training` argument of the call.

        Returns:
            True in inference, if the ranges of all inputs are known and round.
        """
        ranges = self.input_ranges()
        is_whole = bool(ranges) and all(found.is_quantizing for found in ranges)
        return not training and not self.is_exporting and is_whole

    def input_scales(self) -> list[tf.Tensor]:
        """The int8 scales of the inputs.

        Returns:
            Scalar float tensors, one for each input.
        """
        return [found.scale() for found in self.input_ranges()]


class RequantizingLayer(QuantizedLayer):
    """A layer with an int8 kernel whose output has a range of its own.

    Args:
        activation: The activation that is computed on the result: `"linear"`, `"relu"` or
            `"relu6"`; where it is the whole layer, `"hard_swish"` too.
        learns_step: Whether the scale of its output is learned.
        is_quantizing: Whether it rounds. Until then it computes in float, and its range observes.
        **kwargs: The arguments of every Keras layer, such as `name`.
    """

    def __init__(
        self,
        activation: str = "linear",
        learns_step: bool = False,
        is_quantizing: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.activation = activation
        self.output_range = QuantizationRange(
            learns_step=learns_step, is_quantizing=is_quantizing, name="output_range"
        )

    def finish(self, x: tf.Tensor, training: bool | None) -> tf.Tensor:
        """Activates a float result and fake-quantizes it.

        Args:
            x: The float tensor that the layer has computed.
            training: Whether the range follows this batch.

        Returns:
            Float tensor of the same shape.
        """
        return self.output_range(activate(x, self.activation), training=training)

    def finish_integers(
        self, total: tf.Tensor, multiplier: tf.Tensor, shift: tf.Tensor
    ) -> tf.Tensor:
        """Requantizes int32 sums to the output's scale as the int8 kernel does.

        Args:
            total: Float tensor of whole numbers.
            multiplier: Int64 tensor, () or (channels,), 31-bit fixed point.
            shift: Int64 tensor of the shape of `multiplier`.

        Returns:
            Float tensor of the same shape: the real values of the int8 output.
        """
        return self.dequantize(requantize(total, multiplier, shift))

    def dequantize(self, steps: tf.Tensor) -> tf.Tensor:
        """Clamps whole numbers to int8 and gives the real values that they stand for.

        Args:
            steps: Float64 tensor of whole numbers, in units of the output's scale, before the zero
                point is added.

        Returns:
            Float tensor of the same shape.
        """
        return clamp_and_dequantize(
            steps, self.output_range.scale(), self.output_range.zero_point(), self.activation
        )

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "activation": self.activation,
            "learns_step": self.output_range.learns_step,
            "is_quantizing": self.output_range.is_quantizing,
        }


class KernelLayer(RequantizingLayer):
    """A layer that multiplies its input with an int8 kernel and adds an int32 bias.

    Args:
        activation: `"linear"`, `"relu"` or `"relu6"`.
        **kwargs: The arguments of every Keras layer, and `learns_step`.
    """

    is_depthwise = False

    def accumulate(
        self,
        inputs: tf.Tensor,
        *,
        kernel: tf.Tensor,
        kernel_scale: tf.Tensor,
        bias: tf.Tensor | None,
        sum_products: Callable,
        training: bool | None,
    ) -> tf.Tensor:
        """Computes `sum_products(inputs, kernel) + bias`, activates and quantizes it.

        Args:
            inputs: Float tensor, channels last.
            kernel: Float tensor, the kernel rounded to its int8 scales.
            kernel_scale: Float tensor, () or (output channels,).
            bias: Float tensor of shape (output channels,), or None.
            sum_products: The convolution or matrix product.
            training: Whether the range follows this batch.

        Returns:
            Float tensor of the output's shape, the real values of the int8 output.
        """
        if not self.computes_integers(training):
            x = sum_products(inputs, kernel)
            return self.finish(x if bias is None else x + bias, training)
        (input_scale,) = self.input_scales()
        steps = ops.round(kernel / self.per_channel(kernel_scale, kernel))
        total = sum_exactly(sum_products, ops.round(inputs / input_scale), steps, self.is_depthwise)
        bias_scale = ops.cast(input_scale, "float64") * ops.cast(kernel_scale, "float64")
        if bias is not None:
            total = total + ops.round(ops.cast(bias, "float64") / bias_scale)
        output_scale = ops.cast(self.output_range.scale(), "float64")
        return self.finish_integers(total, *quantized_multiplier(bias_scale / output_scale))

    def rounded_weights(
        self, quantized: tf.Tensor, scale: tf.Tensor, bias: tf.Tensor | None
    ) -> Int8Weights:
        """The weights as the chip stores them, the kernel's last axis first.

        Args:
            quantized: Float tensor, the kernel rounded to its scales, output channels last.
            scale: Float tensor, () or (output channels,).
            bias: Float tensor of shape (output channels,), or None.

        Returns:
            The `Int8Weights`.
        """
        steps = ops.round(quantized / self.per_channel(scale, quantized))
        kernel = np.moveaxis(ops.convert_to_numpy(steps), -1, 0).astype(np.int8)
        scales = np.atleast_1d(ops.convert_to_numpy(scale)).astype(np.float32)
        if bias is None:
            return Int8Weights(kernel, scales, np.zeros(len(kernel), np.float32))
        return Int8Weights(kernel, scales, ops.convert_to_numpy(bias).astype(np.float32))

    def per_channel(self, values: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Shapes one value per output channel so that it broadcasts over the kernel.

        Args:
            values: Float tensor, () or (output channels,).
            kernel: The kernel, a float tensor.

        Returns:
            Float tensor; for a kernel whose last axis has the output channels, `values` itself.
        """
        return values


def activate(x: tf.Tensor, activation: str) -> tf.Tensor:
    """Applies an activation that int8 TFLite has.

    Args:
        x: Float tensor of any shape.
        activation: `"linear"`, `"relu"`, `"relu6"` or `"hard_swish"`.

    Returns:
        Float tensor of the same shape.

    Example:
        >>> [float(v) for v in activate(ops.convert_to_tensor([-1.0, 9.0]), "relu6")]
        [0.0, 6.0]
    """
    if activation == "relu":
        return ops.relu(x)
    if activation == "relu6":
        return ops.relu6(x)
    if activation == "hard_swish":
        # The form that the TFLite converter turns into HARD_SWISH.
        return x * ops.relu6(x + 3.0) * (1.0 / 6.0)
    return x
