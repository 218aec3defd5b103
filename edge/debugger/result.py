"""The result of comparing an int8 model with its float model."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class LayerError:
    """The quantization error of one layer.

    Attributes:
        operator: The index of the operator; -1 stands for the model's input.
        opcode: TFLite's name of the operator.
        name: The name of the output tensor in the .tflite.
        keras_layer: The Keras layer that the operator begins with; in a block `"block/layer"`.
        sqnr_db: The signal-to-quantization-noise ratio of the int8 network up to this layer, in dB.
        saturation_rate: The share of the output's int8 values at -128 or 127 that the activation's
            own clamp does not explain, 0 to 1.
        range_use: The share of the 256 int8 values that lies between the smallest and the largest
            value observed, 0 to 1.
        own_sqnr_db: The signal-to-quantization-noise ratio of this operator alone, in dB: it reads
            the float input rounded to int8, and is compared with the float layer on the same input.
            What the input's range clips counts at the layer that made it, not here.
        cause: Where most of the layer's own noise comes from: `"weights"`, `"input"` (rounding the
            input) or `"output"` (rounding and clipping the output).
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
    """An int8 model compared with its float model, layer by layer.

    Attributes:
        layers: The operators that have a float counterpart, in execution order.
        output_agreement: The share of the inputs for which the largest output is the same, 0 to 1.
        advice: Sentences that say what to do, the most urgent first; empty if no layer stands out.
        input: The quantization error of the model's input.
        unmatched: A sentence for each operator or Keras layer that has no counterpart.
        input_count: The number of inputs that were run.
        is_random: Whether the inputs were random noise because none were given.
        reference: A phrase that names the float model.
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
        """The layer with the most noise of its own."""
        return min(self.layers, key=lambda layer: layer.own_sqnr_db)
