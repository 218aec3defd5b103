"""What all quantization-aware layers share: ranges before and after, and exact int8 inference."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops, tree

from keras_mobilenet.quantization.fake_quant import fake_quant_kernel, rounded_kernel
from keras_mobilenet.quantization.int8_arithmetic import (
    clamp_and_dequantize,
    quantized_multiplier,
    requantize,
    sum_exactly,
)
from keras_mobilenet.quantization.precision import (
    ON_HOST,
    WITH_TENSORS,
    Arithmetic,
    as_tensor,
    double_precision,
    to_double,
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

    def call(self, inputs: Any, training: bool | None = None) -> KerasTensor:
        """Computes with fake quantization, or in inference as the int8 kernel does.

        Args:
            inputs: Float tensor, or a list of them.
            training: Whether the ranges follow this batch.

        Returns:
            Float tensor: the real values of the int8 output.
        """
        if training:
            return self.compute(inputs, training)
        with double_precision():
            if self.computes_integers(training):
                return self.compute_integers(inputs)
            return self.compute(inputs, training)

    def compute(self, inputs: Any, training: bool | None) -> KerasTensor:
        """Computes with fake quantization.

        Args:
            inputs: Float tensor, or a list of them.
            training: Whether the ranges follow this batch; else the arithmetic is exact.

        Returns:
            Float tensor.
        """
        raise NotImplementedError

    def compute_integers(self, inputs: Any) -> KerasTensor:
        """Computes as the int8 kernel does.

        Args:
            inputs: Float tensor, or a list of them.

        Returns:
            Float tensor: the real values of the int8 output.
        """
        raise NotImplementedError

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

    def input_scales(self) -> list[KerasTensor]:
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

    def finish(self, x: KerasTensor, training: bool | None) -> KerasTensor:
        """Activates a float result and fake-quantizes it.

        Args:
            x: The float tensor that the layer has computed.
            training: Whether the range follows this batch.

        Returns:
            Float tensor of the same shape.
        """
        return self.output_range(activate(x, self.activation), training=training)

    def finish_integers(
        self, total: KerasTensor, multiplier: KerasTensor, shift: KerasTensor
    ) -> KerasTensor:
        """Requantizes int32 sums to the output's scale as the int8 kernel does.

        Args:
            total: Float tensor of whole numbers.
            multiplier: Int64 tensor, () or (channels,), 31-bit fixed point.
            shift: Int64 tensor of the shape of `multiplier`.

        Returns:
            Float tensor of the same shape: the real values of the int8 output.
        """
        return self.dequantize(requantize(total, multiplier, shift))

    def dequantize(self, steps: KerasTensor) -> KerasTensor:
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

    scale_axes: tuple[int, ...] | None = None
    """The axes of the kernel that share one scale, all if None."""

    def compute_float(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Computes as the wrapped layers do, as long as nothing is rounded.

        Args:
            inputs: Float tensor, channels last.
            training: Whether batch statistics are used.

        Returns:
            Float tensor of the output's shape, before the activation.
        """
        raise NotImplementedError

    def weights_of(self, read: Callable, operations: types.ModuleType) -> tuple[Any, Any]:
        """The kernel and the bias as inference uses them, not rounded yet.

        Args:
            read: The function that reads a variable, in the precision to compute in.
            operations: `keras.ops`, or `numpy` where `read` gives arrays.

        Returns:
            `(kernel, bias)`; the bias, of shape (output channels,), may be None.
        """
        raise NotImplementedError

    def sum_products(self, inputs: KerasTensor, kernel: KerasTensor) -> KerasTensor:
        """Multiplies and sums: the convolution or the matrix product.

        Args:
            inputs: Float tensor, channels last.
            kernel: Float tensor.

        Returns:
            Float tensor of the output's shape.
        """
        raise NotImplementedError

    def compute(self, inputs: KerasTensor, training: bool | None) -> KerasTensor:
        """Multiplies with the rounded kernel, activates and quantizes, in float arithmetic."""
        if not self.output_range.is_quantizing:
            return self.finish(self.compute_float(inputs, training), training)
        if training:
            kernel, bias = self.weights_of(as_tensor, ops)
        else:
            kernel, bias = self._single_weights(WITH_TENSORS)
        x = self.sum_products(inputs, fake_quant_kernel(kernel, self.scale_axes))
        return self.finish(x if bias is None else x + bias, training)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Multiplies with the int8 kernel and requantizes the sums."""
        (input_scale,) = self.input_scales()
        kernel, bias = self._single_weights(WITH_TENSORS)
        kernel, kernel_scale = rounded_kernel(to_double(kernel), self.scale_axes)
        total = sum_exactly(
            self.sum_products,
            ops.round(inputs / input_scale),
            WITH_TENSORS.single(kernel),
            self.is_depthwise,
        )
        if self.scale_axes is not None:
            kernel_scale = ops.reshape(kernel_scale, (-1,))
        bias_scale = to_double(input_scale) * to_double(kernel_scale)
        if bias is not None:
            total = total + ops.round(to_double(bias) / bias_scale)
        output_scale = to_double(self.output_range.scale())
        return self.finish_integers(total, *quantized_multiplier(bias_scale / output_scale))

    def int8_weights(self) -> Int8Weights:
        """The weights as the chip stores them.

        They are computed on the host: the same weights give the same bytes on every machine.

        Returns:
            The `Int8Weights`, batch normalization folded.
        """
        kernel, bias = self._single_weights(ON_HOST)
        steps, scale = rounded_kernel(ON_HOST.double(kernel), self.scale_axes, ON_HOST)
        steps = steps.astype(np.int8)
        if self.is_depthwise:
            # Of each input channel come its outputs, side by side.
            steps = steps.reshape(1, *steps.shape[:2], -1)
        else:
            steps = np.moveaxis(steps, -1, 0)
        outputs = len(steps) if not self.is_depthwise else steps.shape[-1]
        if bias is None:
            bias = np.zeros(outputs, np.float32)
        return Int8Weights(np.ascontiguousarray(steps), scale.reshape(-1), bias)

    def _single_weights(self, arithmetic: Arithmetic) -> tuple[Any, Any]:
        # Computed in double precision: a graph optimizer that reorders the factors must not move a
        # weight across a rounding boundary.
        kernel, bias = self.weights_of(arithmetic.double, arithmetic.operations)
        return arithmetic.single(kernel), None if bias is None else arithmetic.single(bias)


def activate(x: KerasTensor, activation: str) -> KerasTensor:
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
