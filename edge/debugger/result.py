"""What a comparison of a float and an int8 model found."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LayerError:
    """What int8 does to one layer's output.

    Attributes:
        operator: Index of the operator; -1 for the model's input.
        opcode: TFLite's name of the operator.
        name: Of the output tensor, as in the .tflite.
        keras_layer: The Keras layer that the operator begins with; in a block `"block/layer"`.
        sqnr_db: Signal to quantization noise of the int8 network up to here, in dB.
        saturation_rate: Share of the int8 values at -128 or 127 that the activation's own clamp
            does not explain.
        range_use: Share of the 256 steps between the smallest and the largest value observed.
        own_sqnr_db: Signal to noise that this operator alone brings about, in dB: on its float
            input, rounded to int8, against the float layer on the same input. What the input's
            grid cuts off counts where it was made, not here.
        cause: What most of the own noise comes from: `"weights"`, `"input"` (the rounding of its
            input) or `"output"` (the rounding and clipping of its output).
    """

    operator: int
    opcode: str
    name: str
    keras_layer: str
    sqnr_db: float
    saturation_rate: float
    range_use: float
    own_sqnr_db: float
    cause: str = "output"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """An int8 model beside its float network.

    Attributes:
        layers: The operators that have a float partner, in execution order.
        output_agreement: Share of the inputs on which the largest output is the same.
        advice: What to do first, most urgent first; empty if all is well.
        input: The model's input: what rounding the inputs to int8 does.
        unmatched: A sentence for each operator or Keras layer that has no partner.
        input_count: Number of inputs.
        is_random: Whether the inputs were noise, for want of data.
        reference: What the int8 model was compared with, in words.
    """

    layers: tuple[LayerError, ...]
    output_agreement: float
    advice: tuple[str, ...]
    input: LayerError
    unmatched: tuple[str, ...]
    input_count: int
    is_random: bool
    reference: str

    @property
    def worst(self) -> LayerError:
        """The layer that adds most noise of its own."""
        return min(self.layers, key=lambda layer: layer.own_sqnr_db)
