"""What all quantization-aware layers share: ranges before and after, and exact int8 inference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
from keras import KerasTensor, layers, ops, tree

from keras_mobilenet.quantization.int8_arithmetic import clamp_and_dequantize, requantize
from keras_mobilenet.quantization.precision import double_precision
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


class QuantizedLayer(layers.Layer):
    """A layer with an int8 kernel, which has to know the scales of its inputs.

    In inference it computes what TFLite's reference kernel computes, rounding by rounding, so that
    `evaluate` and `predict` tell what the chip will answer. In training, and where gradients
    are wanted (`is_exporting`), it computes with fake quantization.

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
