"""What the quantization-aware layers with weights share: rounded kernels of eight bits or four."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops

from keras_mobilenet.quantization.fake_quant import fake_quant_kernel, rounded_kernel
from keras_mobilenet.quantization.int8_arithmetic import quantized_multiplier, sum_exactly
from keras_mobilenet.quantization.layers.base import RequantizingLayer
from keras_mobilenet.quantization.precision import (
    ON_HOST,
    WITH_TENSORS,
    Arithmetic,
    as_tensor,
    to_double,
)
from keras_mobilenet.quantization.quantizer import with_zero_gradient
from keras_mobilenet.quantization.weight_steps import (
    STEP_LIMITS,
    best_factors,
    bits_of_new_layer,
    learned_fake_quant_kernel,
)


@dataclasses.dataclass(frozen=True)
class Int8Weights:
    """The weights of a layer as inference uses them, batch normalization folded.

    Attributes:
        kernel: int8 array in TFLite's order: (out, height, width, in) of a convolution, (1, height,
            width, out) if it is depthwise, (out, in) of a Dense layer.
        scales: float32 array, one scale, or one for each output channel.
        bias: float32 array of shape (out,), in real values.
        bits: The bits that a weight takes, 8 or 4.
    """

    kernel: np.ndarray
    scales: np.ndarray
    bias: np.ndarray
    bits: int = 8


class KernelLayer(RequantizingLayer):
    """A layer that multiplies its input with an int8 kernel and adds an int32 bias.

    Args:
        activation: `"linear"`, `"relu"` or `"relu6"`.
        weight_bits: The bits of a weight, 8 or 4; 0 where they are still to be chosen, and 8 until
            then. None takes what `layers_of_bits` says.
        has_weight_steps: Whether the steps of its weights can be learned, as those of four bits
            are; by default where they may be.
        **kwargs: The arguments of every Keras layer, and `learns_step`.
    """

    is_depthwise = False

    def __init__(
        self,
        activation: str = "linear",
        weight_bits: int | None = None,
        has_weight_steps: bool | None = None,
        **kwargs,
    ):
        super().__init__(activation, **kwargs)
        self.weight_bits = bits_of_new_layer(self.name) if weight_bits is None else weight_bits
        is_free = self.weight_bits != 8
        self.has_weight_steps = is_free if has_weight_steps is None else has_weight_steps

    def kernel_variable(self) -> keras.Variable:
        """The kernel that training changes.

        Returns:
            The variable of the wrapped layer.
        """
        raise NotImplementedError

    def build_weight_steps(self, kernel_shape: tuple) -> None:
        """Creates the logarithms of the steps' factors, and a place for the bits to be kept.

        Args:
            kernel_shape: The shape of the kernel.
        """
        if self.has_weight_steps:
            axes = self.scale_axes
            shape = () if axes is None else tuple(kernel_shape)[len(axes) :]
            self.log_weight_factors = self.add_weight(
                shape=shape, initializer="zeros", aggregation="mean", name="log_weight_factors"
            )
            # A checkpoint of weights alone tells what was chosen.
            self.chosen_bits = self.add_weight(
                shape=(), initializer="zeros", trainable=False, name="chosen_bits"
            )

    def choose_weight_bits(self, bits: int) -> None:
        """Sets the bits of a weight, and starts the steps of four where they err least.

        Args:
            bits: 8 or 4. Steps that were learned already stay.

        Raises:
            ValueError: If the layer has no steps to learn and is to have four bits.
        """
        self.weight_bits = bits
        if not self.has_weight_steps:
            if bits != 8:
                raise ValueError(f"{self.name!r} was made for weights of eight bits.")
            return
        self.chosen_bits.assign(float(bits))
        if bits == 8 or ON_HOST.double(self.log_weight_factors).any():
            return
        kernel, _ = self._single_weights(ON_HOST)
        factors = best_factors(kernel, self.scale_axes, STEP_LIMITS[bits])
        self.log_weight_factors.assign(np.log(factors).astype("float32"))

    @property
    def has_learned_steps(self) -> bool:
        """Whether the steps of its weights are learned."""
        return self.has_weight_steps and self.weight_bits == 4

    def round_kernel(self, kernel: KerasTensor) -> KerasTensor:
        """Rounds a kernel as training does.

        Args:
            kernel: The kernel, a float tensor.

        Returns:
            Float tensor of the same shape.
        """
        if not self.has_learned_steps:
            return self.with_idle_steps(fake_quant_kernel(kernel, self.scale_axes))
        factors = as_tensor(self.log_weight_factors)
        limit = STEP_LIMITS[self.weight_bits]
        return learned_fake_quant_kernel(kernel, factors, self.scale_axes, limit)

    def with_idle_steps(self, x: KerasTensor) -> KerasTensor:
        """Gives steps that nothing is rounded with a gradient of zero.

        Args:
            x: A tensor that the loss depends on.

        Returns:
            The tensor as it is.
        """
        is_idle = self.has_weight_steps and not (
            self.has_learned_steps and self.output_range.is_quantizing
        )
        return with_zero_gradient(x, as_tensor(self.log_weight_factors)) if is_idle else x

    def rounded(self, kernel: Any, arithmetic: Arithmetic) -> tuple[Any, Any]:
        """Rounds a kernel as the chip has it.

        Args:
            kernel: The kernel in double precision.
            arithmetic: Where to compute.

        Returns:
            `(steps, scale)`, as `rounded_kernel` returns them.
        """
        if not self.has_learned_steps:
            return rounded_kernel(kernel, self.scale_axes, arithmetic)
        # Each compiler has its own exponential: in single precision they agree.
        factors = arithmetic.operations.exp(arithmetic.double(self.log_weight_factors))
        return rounded_kernel(
            kernel,
            self.scale_axes,
            arithmetic,
            limit=STEP_LIMITS[self.weight_bits],
            factors=arithmetic.double(arithmetic.single(factors)),
        )

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        bits = {"weight_bits": self.weight_bits, "has_weight_steps": self.has_weight_steps}
        return super().get_config() | bits

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
            x = self.with_idle_steps(self.compute_float(inputs, training))
            return self.finish(x, training)
        if training:
            kernel, bias = self.weights_of(as_tensor, ops)
        else:
            kernel, bias = self._single_weights(WITH_TENSORS)
        x = self.sum_products(inputs, self.round_kernel(kernel))
        return self.finish(x if bias is None else x + bias, training)

    def compute_integers(self, inputs: KerasTensor) -> KerasTensor:
        """Multiplies with the int8 kernel and requantizes the sums."""
        (input_scale,) = self.input_scales()
        kernel, bias = self._single_weights(WITH_TENSORS)
        kernel, kernel_scale = self.rounded(to_double(kernel), WITH_TENSORS)
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
        steps, scale = self.rounded(ON_HOST.double(kernel), ON_HOST)
        steps = steps.astype(np.int8)
        if self.is_depthwise:
            # Of each input channel come its outputs, side by side.
            steps = steps.reshape(1, *steps.shape[:2], -1)
        else:
            steps = np.moveaxis(steps, -1, 0)
        outputs = len(steps) if not self.is_depthwise else steps.shape[-1]
        if bias is None:
            bias = np.zeros(outputs, np.float32)
        bits = self.weight_bits or 8
        return Int8Weights(np.ascontiguousarray(steps), scale.reshape(-1), bias, bits)

    def _single_weights(self, arithmetic: Arithmetic) -> tuple[Any, Any]:
        # Computed in double precision: a graph optimizer that reorders the factors must not move a
        # weight across a rounding boundary.
        kernel, bias = self.weights_of(arithmetic.double, arithmetic.operations)
        return arithmetic.single(kernel), None if bias is None else arithmetic.single(bias)
