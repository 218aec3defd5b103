"""What all quantization-aware layers share: ranges before and after, and exact int8 inference."""

from __future__ import annotations

from collections.abc import Iterator

import keras
from keras import layers, ops, tree

from keras_mobilenet.quantization.int8_arithmetic import requantize, to_int8_grid
from keras_mobilenet.quantization.quantizer import QuantizationRange


def upstream_ranges(tensor) -> Iterator[QuantizationRange]:
    """The range that set the grid of a symbolic tensor, looked up through layers that keep it.

    Args:
        tensor: Keras tensor.

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


class GridReader(layers.Layer):
    """A layer with an int8 kernel that has to know the grids of its inputs.

    In inference it computes what TFLite's reference kernel computes, rounding by rounding, so that
    `evaluate` and `predict` tell what the chip will answer. In training, and for the converter
    (`is_exporting`), it computes with fake quantization.

    Args:
        **kwargs: Keras layer arguments.
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
        """The ranges that set the grids of the inputs.

        Returns:
            One range for each input; none if an input is float.
        """
        return self._find_ranges()

    def computes_integers(self, training) -> bool:
        """Whether this call computes as the int8 kernel does.

        Args:
            training: The call's `training` argument.

        Returns:
            True in inference, if the grids of all inputs are known.
        """
        return not training and not self.is_exporting and bool(self.input_ranges())

    def input_scales(self) -> list:
        """The steps of the inputs' grids.

        Returns:
            Scalar float tensors, one for each input.
        """
        return [found.scale() for found in self.input_ranges()]


class IntegerLayer(GridReader):
    """A layer with an int8 kernel and a grid of its own for its output.

    Args:
        activation: What is computed on the result: `"linear"`, `"relu"` or `"relu6"`; where it is
            the whole layer, `"hard_swish"` too.
        learns_step: Whether the step of its output's grid is learned.
        **kwargs: Keras layer arguments.
    """

    def __init__(self, activation: str = "linear", learns_step: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.activation = activation
        self.output_range = QuantizationRange(learns_step=learns_step, name="output_range")

    def finish(self, x, training):
        """Activates a float result and rounds it to the output's grid.

        Args:
            x: Float tensor.
            training: Whether the range follows this batch.

        Returns:
            Float tensor of the same shape.
        """
        return self.output_range(activate(x, self.activation), training=training)

    def finish_integers(self, total, multiplier, shift):
        """Scales int32 sums to the output's grid as the int8 kernel does.

        Args:
            total: Float tensor of whole numbers.
            multiplier: Int64 tensor, () or (channels,).
            shift: Int64 tensor.

        Returns:
            Float tensor of the same shape, on the output's grid.
        """
        return self.on_grid(requantize(total, multiplier, shift))

    def on_grid(self, steps):
        """Whole steps, less the zero point, as real numbers of the output's grid.

        Args:
            steps: Float64 tensor of whole numbers.

        Returns:
            Float tensor of the same shape.
        """
        return to_int8_grid(
            steps, self.output_range.scale(), self.output_range.zero_point(), self.activation
        )

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "activation": self.activation,
            "learns_step": self.output_range.learns_step,
        }


def activate(x, activation: str):
    """Applies an activation that int8 TFLite has.

    Args:
        x: Float tensor.
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
