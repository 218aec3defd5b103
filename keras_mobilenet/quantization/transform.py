"""Turns a Keras model into its quantization-aware twin, which shares its weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import keras
from keras import layers

from keras_mobilenet.preprocessing.record import input_like
from keras_mobilenet.quantization.float_graph import Group, read_float_graph
from keras_mobilenet.quantization.layers.activation import QuantizedActivation
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution, has_trained_statistics
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.layers.merging import QuantizedAdd, QuantizedConcatenate
from keras_mobilenet.quantization.layers.pooling import QuantizedAveragePooling, QuantizedMean
from keras_mobilenet.quantization.layers.tensor import QuantizedTensor
from keras_mobilenet.quantization.quantizer import QuantizationRange
from keras_mobilenet.quantization.scheme import Role, activation_of, role_of

QUANTIZED_LAYERS = (
    QuantizedTensor,
    QuantizedConvolution,
    QuantizedDense,
    QuantizedAdd,
    QuantizedConcatenate,
    QuantizedMean,
    QuantizedAveragePooling,
    QuantizedActivation,
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
        `(layer name, range)`; ranges that follow another are left out.

    Example:
        >>> inputs = keras.Input((4,))
        >>> twin = quantize_model(keras.Model(inputs, layers.Dense(2, name="d")(inputs)))
        >>> [name for name, _ in model_ranges(twin)]
        ['quantized_input', 'quantized_d']
    """
    for layer in model.layers:
        tensor_range = getattr(layer, "output_range", None)
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
    others = (
        layer
        for layer in model.layers
        if not isinstance(layer, (*QUANTIZED_LAYERS, layers.InputLayer))
    )
    return [layer.name for layer in others if role_of(layer) not in (Role.KEEPS, Role.SOFTMAX)]


def set_exporting(model: keras.Model, is_exporting: bool) -> None:
    """Chooses between the fake quantization of a quantization-aware model and the chip's integers.

    Args:
        model: The quantization-aware Keras model.
        is_exporting: True for the fake-quantization operators, which gradients pass and which
            TensorFlow's converter reads, False for the integer arithmetic of the int8 kernels.

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
    model: keras.Model, *, ranges: str = "lsq", exclude: Collection[str] = ()
) -> keras.Model:
    """Builds the quantization-aware twin of a functional or Sequential model.

    Every convolution takes its batch normalization and ReLU into itself, found in the graph
    whatever their names; models nested in the model are taken apart. The twin shares the weights
    of the float layers: training one trains the other.

    Args:
        model: A built Keras model with one input and one output.
        ranges: `"lsq"` or `"moving_average"`, as in `QuantizationAwareTraining`.
        exclude: The names of layers that stay float, with what would fuse with them, to find out
            which layer loses accuracy. Such a model trains, but `edge.convert` refuses it.

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
    if ranges not in RANGES:
        raise ValueError(f"ranges must be one of {RANGES}, got {ranges!r}.")
    graph = read_float_graph(model, exclude)
    learns_step = ranges == "lsq"
    inputs, x = input_like(model)
    # Pixels have hard bounds: nothing to learn at the input.
    tensors = {graph.source: QuantizedTensor(momentum=None, name="quantized_input")(x)}
    for group in graph.groups:
        x = [tensors[source] for source in group.calls[0].sources]
        convert = _keep_float if group.is_float else _quantize
        tensors[group.calls[-1].result] = convert(group, x, learns_step)
    return keras.Model(inputs, tensors[graph.result], name=model.name)


def _keep_float(group: Group, x: list, learns_step: bool):
    for layer in group.layers:
        x = [layer(x if len(x) > 1 else x[0])]
    name = f"quantized_{group.layers[-1].name}"
    return QuantizedTensor(learns_step=learns_step, name=name)(x[0])


def _quantize(group: Group, x: list, learns_step: bool):
    first, *rest = group.layers
    role = role_of(first)
    name = f"quantized_{first.name}"
    if role is Role.BLOCK:
        x = x[0]
        if first.zero_padding is not None:
            x = layers.ZeroPadding2D(first.zero_padding, name=f"{name}_padding")(x)
        for stage in first.fusable_stages():
            x = _convolution(list(stage), f"{name}_{stage[0].name}", x, learns_step)
        return x
    if role is Role.SEPARABLE:
        depthwise, pointwise = separated(first)
        x = _convolution([depthwise], f"{name}_depthwise", x[0], learns_step)
        return _convolution([pointwise, *rest], f"{name}_pointwise", x, learns_step)
    if role is Role.CONVOLUTION:
        return _convolution([first, *rest], name, x[0], learns_step)
    if role is Role.DENSE:
        fused, after = _split_activation(activation_of(rest[0] if rest else first))
        x = QuantizedDense(first, fused, learns_step=learns_step, name=name)(x[0])
        return _activated(x, after, name, learns_step)
    if role is Role.ADD:
        fused, after = _split_activation(activation_of(rest[0])) if rest else ("linear", None)
        total, *terms = x
        for i, term in enumerate(terms, 1):
            is_last = i == len(terms)
            total = QuantizedAdd(
                fused if is_last else "linear",
                learns_step,
                name=name if is_last else f"{name}_{i}",
            )([total, term])
        return _activated(total, after, name, learns_step)
    if role is Role.CONCATENATE:
        return QuantizedConcatenate(first.axis, learns_step, name=name)(x)
    if role is Role.MEAN:
        return QuantizedMean(first.keepdims, learns_step=learns_step, name=name)(x[0])
    if role is Role.AVERAGE_POOL:
        pooling = QuantizedAveragePooling(first.pool_size, first.strides, first.padding, name=name)
        return pooling(x[0])
    if role is Role.ACTIVATION:
        return QuantizedActivation(activation_of(first), learns_step, name=name)(x[0])
    # A layer without weights gets a fresh copy, so that no node of the float graph stays on it.
    return type(first).from_config(first.get_config())(x[0])


def _convolution(group: list, name: str, x, learns_step: bool):
    convolution, *rest = group
    batch_norm = None
    if rest and isinstance(rest[0], layers.BatchNormalization):
        batch_norm, *rest = rest
    fused, after = _split_activation(activation_of(rest[0] if rest else convolution))
    quantized = QuantizedConvolution(
        convolution,
        batch_norm,
        fused,
        has_trained_statistics=batch_norm is not None and has_trained_statistics(batch_norm),
        learns_step=learns_step,
        name=name,
    )
    return _activated(quantized(x), after, name, learns_step)


def _split_activation(activation: str) -> tuple[str, str | None]:
    """What fuses into an int8 operator, and what needs one of its own after it."""
    return (
        (activation, None) if activation in ("linear", "relu", "relu6") else ("linear", activation)
    )


def _activated(x, activation: str | None, name: str, learns_step: bool):
    if activation is None:
        return x
    if activation == "softmax":
        return layers.Softmax(name=f"{name}_softmax")(x)
    return QuantizedActivation(activation, learns_step, name=f"{name}_{activation}")(x)


def separated(separable: layers.SeparableConv2D) -> tuple[layers.Layer, layers.Layer]:
    """Splits a SeparableConv2D into its two convolutions, which share its weights.

    Args:
        separable: The layer, built.

    Returns:
        `(depthwise, pointwise)`: the second has the bias and the activation.

    Example:
        >>> layer = layers.SeparableConv2D(4, 3)
        >>> layer.build((None, 8, 8, 2))
        >>> [type(part).__name__ for part in separated(layer)]
        ['DepthwiseConv2D', 'Conv2D']
    """
    depthwise = layers.DepthwiseConv2D(
        separable.kernel_size,
        strides=separable.strides,
        padding=separable.padding,
        depth_multiplier=separable.depth_multiplier,
        dilation_rate=separable.dilation_rate,
        use_bias=False,
        data_format="channels_last",
        name="depthwise",
    )
    pointwise = layers.Conv2D(
        separable.filters,
        1,
        use_bias=separable.use_bias,
        activation=separable.activation,
        data_format="channels_last",
        name="pointwise",
    )
    depthwise.kernel, depthwise.bias = separable.depthwise_kernel, None
    pointwise._kernel = separable.pointwise_kernel
    pointwise.bias = separable.bias if separable.use_bias else None
    for layer in (depthwise, pointwise):
        layer.built = True
    return depthwise, pointwise
