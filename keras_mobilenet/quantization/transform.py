"""Turns a functional Keras model into its quantization-aware twin, which shares its weights."""

from __future__ import annotations

import dataclasses

import keras
from keras import layers, tree

from keras_mobilenet.quantization.fake_quant import require_tensorflow_backend
from keras_mobilenet.quantization.layers import (
    QuantizedConvolution,
    QuantizedDense,
    QuantizedMean,
    QuantizedTensor,
)
from keras_mobilenet.quantization.scheme import Role, fused_activation, role_of, unsupported

QUANTIZED_LAYERS = (QuantizedTensor, QuantizedConvolution, QuantizedDense, QuantizedMean)


@dataclasses.dataclass(frozen=True)
class _Call:
    """One layer call of the float graph: `layer(source) -> result`, keyed by tensor identity."""

    layer: keras.layers.Layer
    source: int
    result: int


def is_quantized(model: keras.Model) -> bool:
    """Whether a model is already quantization-aware.

    Args:
        model: A Keras model.

    Returns:
        True if any of its layers carries an int8 range.

    Example:
        >>> is_quantized(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
        False
    """
    return any(isinstance(layer, QUANTIZED_LAYERS) for layer in model.layers)


def untrained_ranges(model: keras.Model) -> list[str]:
    """The layers of a quantization-aware model whose range no training batch has set.

    Args:
        model: A Keras model.

    Returns:
        Layer names, empty if every range is trained.

    Example:
        >>> untrained_ranges(keras.Sequential([keras.Input((4,)), layers.Dense(2)]))
        []
    """
    return [
        layer.name
        for layer in model.layers
        if isinstance(layer, QUANTIZED_LAYERS) and not layer.output_range.is_trained
    ]


def set_exporting(model: keras.Model, is_exporting: bool) -> None:
    """Chooses between the converter's view of a quantization-aware model and the chip's.

    Args:
        model: A quantization-aware Keras model.
        is_exporting: True for the fake-quantization operators that the TFLite converter reads,
            False for the integer arithmetic of the int8 kernels.

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


def check_quantizable(model: keras.Model) -> None:
    """Raises the error that `quantize_model` would raise, without building anything.

    Args:
        model: A functional Keras model.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model is not functional with one input and one output.
        RuntimeError: If Keras does not run on TensorFlow.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> check_quantizable(keras.Model(inputs, layers.Conv2D(4, 3)(inputs)))
    """
    _fused_groups(model)


def quantize_model(model: keras.Model) -> keras.Model:
    """The quantization-aware twin of a functional model.

    Every convolution takes its batch normalization and ReLU into itself, found in the graph
    whatever their names. The twin shares the weights of the float layers: training one trains the
    other.

    Args:
        model: A functional Keras model with one input and one output.

    Returns:
        A functional `keras.Model` with the same input and output shapes.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model is not functional with one input and one output.
        RuntimeError: If Keras does not run on TensorFlow.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> model = keras.Model(inputs, layers.ReLU()(layers.Conv2D(4, 3, name="c")(inputs)))
        >>> [layer.name for layer in quantize_model(model).layers[1:]]
        ['quantized_input', 'quantized_c']
    """
    groups = _fused_groups(model)
    (source,) = model.inputs
    inputs = keras.Input(batch_shape=source.shape, dtype=source.dtype, name=source.name)
    x = QuantizedTensor(momentum=None, name="quantized_input")(inputs)
    tensors = {id(source): x}
    for group in groups:
        tensors[group[-1].result] = _apply_group(
            [call.layer for call in group], tensors[group[0].source]
        )
    return keras.Model(inputs, tensors[id(model.outputs[0])], name=model.name)


def _calls(model: keras.Model) -> list[_Call]:
    """The calls of the graph in topological order, each with one input and one output."""
    require_tensorflow_backend()
    if isinstance(model, keras.Sequential):
        raise ValueError(
            "A Sequential model cannot be quantized in place; build it with the functional API: "
            "keras.Model(model.inputs, model.outputs)."
        )
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"Model {model.name!r} is subclassed, so its graph is hidden; build it with the "
            "functional API."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(f"Model {model.name!r} must have one input and one output.")

    calls = []
    seen = set()
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = node.operation
            if layer in seen:
                raise unsupported(layer, "it is called more than once; give each call a layer.")
            seen.add(layer)
            role_of(layer)
            if len(node.input_tensors) != 1 or len(tree.flatten(node.output_tensors)) != 1:
                raise unsupported(layer, "it has several inputs or outputs.")
            (source,), (result,) = node.input_tensors, tree.flatten(node.output_tensors)
            calls.append(_Call(layer, id(source), id(result)))
    return calls


def _fused_groups(model: keras.Model) -> list[list[_Call]]:
    """The calls grouped as int8 inference fuses them: convolution, batch norm, activation."""
    calls = _calls(model)
    consumers: dict[int, list[_Call]] = {}
    for call in calls:
        consumers.setdefault(call.source, []).append(call)

    def sole_consumer(call: _Call, role: Role) -> _Call | None:
        found = consumers.get(call.result, [])
        is_model_output = call.result == id(model.outputs[0])
        if len(found) == 1 and not is_model_output and role_of(found[0].layer) is role:
            return found[0]
        return None

    groups: list[list[_Call]] = []
    absorbed: set[int] = set()
    for call in calls:
        if call.result in absorbed:
            continue
        group = [call]
        role = role_of(call.layer)
        if role is Role.BATCH_NORM:
            raise unsupported(
                call.layer, "a batch normalization folds only into a linear convolution before it."
            )
        has_own_activation = False
        if role in (Role.CONVOLUTION, Role.DENSE):
            has_own_activation = _own_activation(call.layer) != "linear"
            if (
                role is Role.CONVOLUTION
                and not has_own_activation
                and (batch_norm := sole_consumer(group[-1], Role.BATCH_NORM))
            ):
                group.append(batch_norm)
            if not has_own_activation and (activation := sole_consumer(group[-1], Role.ACTIVATION)):
                group.append(activation)
        if role is Role.ACTIVATION:
            fused_activation(call.layer)
        for member in group[1:]:
            absorbed.add(member.result)
            if role_of(member.layer) is Role.ACTIVATION:
                fused_activation(member.layer)
        groups.append(group)
    return groups


def _own_activation(layer) -> str:
    if getattr(layer, "activation", None) is None:
        return "linear"
    name = fused_activation(layer)
    if name == "softmax":
        raise unsupported(layer, "put the softmax in a layer of its own: Activation('softmax').")
    return name


def _apply_group(group: list, x):
    first = group[0]
    role = role_of(first)
    if role is Role.BLOCK:
        for stage in first.fusable_stages():
            if stage[0].data_format != "channels_last":
                raise unsupported(first, "int8 kernels read channels_last: build it that way.")
            x = _convolution(list(stage), f"{first.name}_{stage[0].name}")(x)
        return x
    if role is Role.CONVOLUTION:
        return _convolution(group, first.name)(x)
    if role is Role.DENSE:
        activation = fused_activation(group[1]) if len(group) > 1 else _own_activation(first)
        return QuantizedDense(first, activation, name=f"quantized_{first.name}")(x)
    if role is Role.MEAN:
        return QuantizedMean(first.keepdims, name=f"quantized_{first.name}")(x)
    # A layer without weights gets a fresh copy, so that no node of the float graph stays on it.
    x = type(first).from_config(first.get_config())(x)
    if role is Role.ACTIVATION:
        x = QuantizedTensor(name=f"quantized_{first.name}")(x)
    return x


def _convolution(group: list, name: str) -> QuantizedConvolution:
    convolution, rest = group[0], group[1:]
    batch_norm = None
    if rest and isinstance(rest[0], layers.BatchNormalization):
        batch_norm, rest = rest[0], rest[1:]
    activation = fused_activation(rest[0]) if rest else _own_activation(convolution)
    return QuantizedConvolution(convolution, batch_norm, activation, name=f"quantized_{name}")


_GRAPH_ATTRIBUTES = (
    "_inputs",
    "_outputs",
    "_inputs_struct",
    "_outputs_struct",
    "_nodes",
    "_nodes_by_depth",
    "_operations",
    "_operations_by_depth",
    "output_names",
)


def quantize_in_place(model: keras.Model) -> None:
    """Makes a functional model quantization-aware while it keeps its identity.

    The model object, its optimizer with all its state, its metrics and its compiled loss stay;
    only the graph of layers between input and output is exchanged.

    Args:
        model: A functional Keras model with one input and one output.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model is not functional with one input and one output.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> model = keras.Model(inputs, layers.Conv2D(4, 3)(inputs))
        >>> quantize_in_place(model)
        >>> is_quantized(model)
        True
    """
    trained = [id(variable) for variable in model.trainable_variables]
    twin = quantize_model(model)
    if [id(variable) for variable in twin.trainable_variables] != trained:
        raise ValueError(
            f"Model {model.name!r} orders its weights otherwise once fused, so its optimizer "
            "state could not be saved; quantize it before compile with quantize_model(model)."
        )
    with keras.src.utils.tracking.DotNotTrackScope():
        for attribute in _GRAPH_ATTRIBUTES:
            setattr(model, attribute, getattr(twin, attribute))
    tracker = model._tracker
    for layer in list(model._layers):
        tracker.untrack(layer)
    for layer in twin.layers:
        tracker.track(layer)
    # The traced steps still hold the float graph.
    model.test_function = None
    model.predict_function = None
    if model.train_function is not None:
        model.make_train_function(force=True)
