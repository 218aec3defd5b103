"""Turns a Keras model into its quantization-aware twin, which shares its weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

import keras
from keras import layers

from keras_mobilenet.preprocessing.first_layers import raw_pixels
from keras_mobilenet.preprocessing.record import input_like
from keras_mobilenet.quantization.float_graph import FloatGraph, Group, read_float_graph
from keras_mobilenet.quantization.group_layers import keep_float, quantized
from keras_mobilenet.quantization.layers.activation import QuantizedActivation
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.curve import QuantizedCurve, QuantizedLeakyReLU
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.layers.merging import QuantizedAdd, QuantizedConcatenate
from keras_mobilenet.quantization.layers.pooling import QuantizedAveragePooling, QuantizedMean
from keras_mobilenet.quantization.layers.tensor import QuantizedTensor
from keras_mobilenet.quantization.quantizer import QuantizationRange
from keras_mobilenet.quantization.scheme import Role, role_of
from keras_mobilenet.quantization.weight_bits import (
    AUTO,
    WeightBits,
    check_bits,
    made_with_bits,
    start_weight_bits,
)

QUANTIZED_LAYERS = (
    QuantizedTensor,
    QuantizedConvolution,
    QuantizedDense,
    QuantizedAdd,
    QuantizedConcatenate,
    QuantizedMean,
    QuantizedAveragePooling,
    QuantizedActivation,
    QuantizedCurve,
    QuantizedLeakyReLU,
)

RANGES = ("moving_average", "lsq")
"""How an activation's range is found: averaged over batches, or its scale learned (LSQ)."""


def is_quantized(model: keras.Model) -> bool:
    """Tells whether a model is already quantization-aware.

    Args:
        model: The Keras model.

    Returns:
        True if any of the model's layers carries an int8 range.

    Example:
        >>> is_quantized(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
        False
    """
    return any(isinstance(layer, QUANTIZED_LAYERS) for layer in model.layers)


def model_ranges(model: keras.Model) -> Iterator[tuple[str, QuantizationRange]]:
    """Lists the ranges of a quantization-aware model that set a scale and zero point.

    Args:
        model: The Keras model.

    Yields:
        `(layer name, range)`; ranges that follow another, or that TFLite fixes, are left out.

    Example:
        >>> inputs = keras.Input((4,))
        >>> twin = quantize_model(keras.Model(inputs, layers.Dense(2, name="d")(inputs)))
        >>> [name for name, _ in model_ranges(twin)]
        ['quantized_input', 'quantized_d']
    """
    for layer in model.layers:
        tensor_range = getattr(layer, "output_range", None)
        if isinstance(layer, QuantizedCurve):
            continue
        if tensor_range is not None and tensor_range.leader() is tensor_range:
            yield layer.name, tensor_range


def untrained_ranges(model: keras.Model) -> list[str]:
    """Lists the layers of a quantization-aware model whose range no training batch has set.

    Args:
        model: The Keras model.

    Returns:
        The layers' names, empty if every range is trained.

    Example:
        >>> untrained_ranges(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
        []
    """
    return [name for name, tensor_range in model_ranges(model) if not tensor_range.is_trained]


def excluded_layers(model: keras.Model) -> list[str]:
    """Lists the layers of a quantization-aware model that were left float.

    Args:
        model: The Keras model.

    Returns:
        The layers' names, empty if the model is pure int8, or not quantization-aware at all.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = keras.Model(inputs, layers.Dense(2, name="d")(inputs))
        >>> excluded_layers(quantize_model(model, exclude=["d"]))
        ['d']
    """
    if not is_quantized(model):
        return []
    passing = (Role.KEEPS, Role.SOFTMAX, Role.AUGMENTATION)
    others = (
        layer
        for layer in model.layers
        if not isinstance(layer, (*QUANTIZED_LAYERS, layers.InputLayer))
    )
    return [layer.name for layer in others if role_of(layer) not in passing]


def set_exporting(model: keras.Model, is_exporting: bool) -> None:
    """Chooses between the fake quantization of a quantization-aware model and the chip's integers.

    Args:
        model: The quantization-aware Keras model.
        is_exporting: True for fake quantization in float, which gradients pass, False for the
            integer arithmetic of the int8 kernels.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = quantize_model(keras.Model(inputs, layers.Dense(2)(inputs)))
        >>> set_exporting(model, True)
        >>> model.layers[-1].is_exporting
        True
    """
    for layer in model.layers:
        if hasattr(layer, "is_exporting"):
            layer.is_exporting = is_exporting


def is_quantizing(model: keras.Model) -> bool:
    """Tells whether a quantization-aware model rounds, or still computes in float.

    Args:
        model: The Keras model.

    Returns:
        True if it is quantization-aware and rounds.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = quantize_model(keras.Model(inputs, layers.Dense(2)(inputs)))
        >>> set_quantizing(model, False)
        >>> is_quantized(model), is_quantizing(model)
        (True, False)
    """
    return any(tensor_range.is_quantizing for _, tensor_range in model_ranges(model))


def set_quantizing(model: keras.Model, is_quantizing: bool) -> None:
    """Switches the rounding of a quantization-aware model on or off.

    What is switched off computes what the float layers compute, and in training its ranges observe.
    Functions that were traced before keep what they had: see `retrace`.

    Args:
        model: The quantization-aware Keras model.
        is_quantizing: Whether it rounds.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = quantize_model(keras.Model(inputs, layers.Dense(2)(inputs)))
        >>> set_quantizing(model, False)
        >>> bool(model(keras.ops.zeros((1, 4)))[0, 0] == 0.0)
        True
    """
    for layer in model.layers:
        if isinstance(layer, QUANTIZED_LAYERS) and hasattr(layer, "output_range"):
            layer.output_range.is_quantizing = is_quantizing


def quantize_model(
    model: keras.Model,
    *,
    ranges: str = "lsq",
    exclude: Collection[str] = (),
    weight_bits: WeightBits = 8,
) -> keras.Model:
    """Builds the quantization-aware twin of a functional or Sequential model.

    Every convolution takes its batch normalization and ReLU into itself, found in the graph
    whatever their names; models nested in the model are taken apart. The twin shares the weights
    of the float layers: training one trains the other. Layers of one dimension compute on images of
    a single pixel's width. Augmentation stays in training, and a Rescaling or Normalization becomes
    a convolution: the int8 model reads what the float model reads, such as raw pixels.

    Args:
        model: A built Keras model with one input and one output.
        ranges: `"lsq"` or `"moving_average"`, as in `QuantizationAwareTraining`.
        exclude: The names of layers that stay float, with what would fuse with them, to find out
            which layer loses accuracy. Such a model trains, but `edge.convert` refuses it.
        weight_bits: The bits of a weight: 8, 4, or a dict of them by layer name. Steps of four
            bits start where they err least, and are learned. With `"auto"` they are chosen, and
            the model rounds, once `start_weight_bits` is called.

    Returns:
        A functional `keras.Model` with the same input and output shapes.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model is subclassed, not built, or has several inputs or outputs, or an
            argument is out of range.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> model = keras.Model(inputs, layers.ReLU()(layers.Conv2D(4, 3, name="c")(inputs)))
        >>> [layer.name for layer in quantize_model(model).layers[1:]]
        ['quantized_input', 'quantized_c']
    """
    twin = quantized_twin(model, ranges=ranges, exclude=exclude, weight_bits=weight_bits)
    if weight_bits != AUTO:
        start_weight_bits(twin)
    return twin


def quantized_twin(
    model: keras.Model, *, ranges: str, exclude: Collection[str], weight_bits: WeightBits
) -> keras.Model:
    """`quantize_model` without the start of weights of four bits: `start_weight_bits` is to come.

    Args:
        model: A built Keras model with one input and one output.
        ranges: `"lsq"` or `"moving_average"`.
        exclude: The names of layers that stay float.
        weight_bits: The bits of a weight.

    Returns:
        A functional `keras.Model`.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If `quantize_model` refuses the model or an argument.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model = keras.Model(inputs, layers.Dense(2)(inputs))
        >>> twin = quantized_twin(model, ranges="lsq", exclude=(), weight_bits=4)
        >>> twin.layers[-1].weight_bits
        4
    """
    if ranges not in RANGES:
        raise ValueError(f"ranges must be one of {RANGES}, got {ranges!r}.")
    check_bits(weight_bits)
    return made_with_bits(lambda: _twin(model, ranges, exclude), weight_bits)


def _twin(model: keras.Model, ranges: str, exclude: Collection[str]) -> keras.Model:
    graph = read_float_graph(model, exclude)
    learns_step = ranges == "lsq"
    inputs, x = input_like(model)
    names = _Names()
    leading = _leading(graph)
    for group in leading:
        x = quantized(group, [x], learns_step, names.of(group))
    # Pixels have hard bounds: nothing to learn at the input.
    first = QuantizedTensor(momentum=None, name="quantized_input")
    x = first(x)
    if raw_pixels(model) is not None:
        # Augmentation blends pixels, and may never show the brightest.
        first.output_range.set_limits(0.0, 255.0)
    source = leading[-1].calls[-1].result if leading else graph.source
    flows = {source: _flow(x, "quantized_input")}
    for group in graph.groups[len(leading) :]:
        name = names.of(group)
        read = [flows[source] for source in group.calls[0].sources]
        if group.is_float or isinstance(group.layers[0], layers.Dense):
            read = [_Flow(_as_given(flow, f"{name}_input{n}")) for n, flow in enumerate(read)]
        x = [flow.tensor for flow in read]
        if group.is_float:
            y = keep_float(group, x, learns_step, name)
        else:
            y = quantized(group, x, learns_step, name, is_over_time=read[0].is_over_time)
        stays = read[0].is_over_time and not isinstance(group.layers[0], layers.Reshape)
        flows[group.calls[-1].result] = _flow(y, name, stays)
    return keras.Model(inputs, _as_given(flows[graph.result], "output"), name=model.name)


class _Names:
    """A name for the layers of each group, also where a layer is called twice."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, group: Group) -> str:
        layer = group.layers[-1] if group.is_float else group.layers[0]
        name = first = f"quantized_{layer.name}"
        number = 1
        while name in self._taken:
            number += 1
            name = f"{first}_call{number}"
        self._taken.add(name)
        return name


@dataclasses.dataclass(frozen=True)
class _Flow:
    """A tensor of the twin; one over time is an image of a single pixel's width."""

    tensor: keras.KerasTensor
    is_over_time: bool = False


def _flow(x: keras.KerasTensor, name: str, is_over_time: bool = False) -> _Flow:
    if len(x.shape) != 3:
        return _Flow(x, is_over_time and len(x.shape) == 4)
    return _Flow(layers.Reshape((-1, 1, x.shape[-1]), name=f"{name}_image")(x), True)


def _as_given(flow: _Flow, name: str) -> keras.KerasTensor:
    """The tensor in the shape that it has in the float model."""
    if not flow.is_over_time:
        return flow.tensor
    return layers.Reshape((-1, flow.tensor.shape[-1]), name=f"{name}_sequence")(flow.tensor)


def _leading(graph: FloatGraph) -> tuple[Group, ...]:
    """The augmentation right behind the input: what it makes is what int8 holds."""
    tensor = graph.source
    for number, group in enumerate(graph.groups):
        readers = [other for other in graph.groups if tensor in other.calls[0].sources]
        is_first = readers == [group] and role_of(group.layers[0]) is Role.AUGMENTATION
        if not is_first or group.is_float or tensor == graph.result:
            return graph.groups[:number]
        tensor = group.calls[-1].result
    return graph.groups
