"""What the blocks of MobileNet share: stages that inference fuses, and zeros before the first."""

from __future__ import annotations

from keras import layers, ops

from keras_mobilenet.models.batch_norm import batch_normalized
from keras_mobilenet.models.padding import (
    ZeroPadding,
    checked_padding,
    output_side,
    resolved_padding,
)

ACTIVATIONS = ("relu", "relu6")
"""What both int8 TFLite and the MobileNet papers fuse into a convolution."""


class Block(layers.Layer):
    """Convolutions in a row, each with its batch normalization and its ReLU.

    Args:
        activation: What follows each convolution: `"relu"` or `"relu6"`.
        padding: `"same"` or `"valid"`.
        **kwargs: Keras layer arguments (`name`, `dtype`, `trainable`).

    Attributes:
        zero_padding: The zeros that go before the first convolution,
            ((above, below), (left, right)), or None; known once the layer is built.
    """

    def __init__(self, activation: str, padding: str, **kwargs):
        super().__init__(**kwargs)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}, got {activation!r}.")
        self.activation = activation
        self.padding = checked_padding(padding)
        self.zero_padding: ZeroPadding | None = None

    def fusable_stages(self) -> list[tuple[layers.Layer, ...]]:
        """The layers in call order, grouped as inference fuses them.

        Returns:
            A (convolution, batch normalization, activation) triple for each convolution.

        Raises:
            NotImplementedError: If the block's class does not say.
        """
        raise NotImplementedError

    def build(self, input_shape):
        """Creates the weights for inputs of a shape, and settles the padding for their sides."""
        (first, *_), *_ = stages = self.fusable_stages()
        rows, columns = _side_axes(first)
        sides = input_shape[rows], input_shape[columns]
        first.padding, self.zero_padding = resolved_padding(
            self.padding, sides, kernel_size=first.kernel_size, strides=first.strides
        )
        if self.padding == "valid" and max(first.strides) > 1:
            # Other sides would need other zeros.
            fixed = {axis: side for axis, side in zip((rows, columns), sides, strict=True) if side}
            self.input_spec = layers.InputSpec(ndim=4, axes=fixed)
        shape = self.padded_shape(input_shape)
        for stage in stages:
            for layer in stage:
                layer.build(shape)
                shape = layer.compute_output_shape(shape)

    def call(self, inputs, training=None):
        """Computes the outputs."""
        x = inputs
        if self.zero_padding is not None:
            rows, columns = _side_axes(self.fusable_stages()[0][0])
            widths = [(0, 0)] * 4
            widths[rows], widths[columns] = self.zero_padding
            x = ops.pad(x, widths)
        for convolution, batch_norm, relu in self.fusable_stages():
            x = relu(batch_normalized(batch_norm, convolution(x), training))
        return x

    def padded_shape(self, shape: tuple) -> tuple:
        """The shape that the first convolution of a built block reads.

        Args:
            shape: The shape of the block's input, batch first.

        Returns:
            The shape with the zeros around it, batch first.
        """
        padded = list(shape)
        if self.zero_padding is not None:
            axes = _side_axes(self.fusable_stages()[0][0])
            for axis, zeros in zip(axes, self.zero_padding, strict=True):
                padded[axis] = None if shape[axis] is None else shape[axis] + sum(zeros)
        return tuple(padded)

    def compute_output_shape(self, input_shape):
        """Shape of the output, batch first."""
        (first, *_), *_ = stages = self.fusable_stages()
        shape = list(input_shape)
        sides = zip(_side_axes(first), first.kernel_size, first.strides, strict=True)
        for axis, kernel_size, strides in sides:
            shape[axis] = output_side(shape[axis], self.padding, kernel_size, strides)
        shape[1 if first.data_format == "channels_first" else -1] = stages[-1][0].filters
        return tuple(shape)

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {"activation": self.activation, "padding": self.padding}


def _side_axes(convolution) -> tuple[int, int]:
    return (2, 3) if convolution.data_format == "channels_first" else (1, 2)
