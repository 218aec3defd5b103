"""From a group of float layers to the quantization-aware layers that share its weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import KerasTensor, layers

from keras_mobilenet.preprocessing.first_layers import affine_of
from keras_mobilenet.quantization.float_graph import Group
from keras_mobilenet.quantization.layers.activation import QuantizedActivation
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution, has_trained_statistics
from keras_mobilenet.quantization.layers.curve import (
    FIXED_RANGES,
    QuantizedCurve,
    QuantizedLeakyReLU,
)
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.layers.merging import QuantizedAdd, QuantizedConcatenate
from keras_mobilenet.quantization.layers.over_time import over_time
from keras_mobilenet.quantization.layers.pooling import QuantizedAveragePooling, QuantizedMean
from keras_mobilenet.quantization.layers.tensor import QuantizedTensor
from keras_mobilenet.quantization.scheme import (
    Role,
    activation_of,
    negative_slope_of,
    role_of,
    unsupported,
)

FUSED = ("linear", "relu", "relu6")
"""What an int8 operator computes besides its own; other activations are operators of their own."""


def keep_float(group: Group, x: list[KerasTensor], learns_step: bool, name: str) -> KerasTensor:
    """Calls the layers of a group that is excluded from quantization.

    Args:
        group: The group.
        x: The tensors that it reads.
        learns_step: Whether the scale of its output is learned.
        name: The name of the layer that quantizes its output.

    Returns:
        The group's output, quantized.

    Example:
        >>> import keras
        >>> from keras_mobilenet.quantization.float_graph import Call
        >>> group = Group((Call(layers.ELU(), (1,), 2),), is_float=True)
        >>> tuple(keep_float(group, [keras.Input((4,))], True, "quantized_elu").shape)
        (None, 4)
    """
    for layer in group.layers:
        x = [layer(x if len(x) > 1 else x[0])]
    return QuantizedTensor(learns_step=learns_step, name=name)(x[0])


def quantized(
    group: Group,
    x: list[KerasTensor],
    learns_step: bool,
    name: str,
    *,
    is_over_time: bool = False,
) -> KerasTensor:
    """Calls the quantization-aware layers of a group.

    Args:
        group: The group.
        x: The tensors that it reads; one of a single dimension is an image one pixel wide.
        learns_step: Whether the scale of its output is learned.
        name: What the names of the layers begin with.
        is_over_time: Whether the tensors are such images.

    Returns:
        The group's output.

    Raises:
        UnsupportedLayerError: If a layer does in inference what int8 has no rule for.

    Example:
        >>> import keras
        >>> from keras_mobilenet.quantization.float_graph import Call
        >>> group = Group((Call(layers.LeakyReLU(), (1,), 2),), is_float=False)
        >>> tuple(quantized(group, [keras.Input((4,))], True, "quantized_leaky_relu").shape)
        (None, 4)
    """
    first, *rest = group.layers
    role = role_of(first)
    if role is Role.BLOCK:
        return _block(first, name, x[0], learns_step)
    if role is Role.SEPARABLE:
        depthwise, pointwise = separated(first)
        y = _convolution([depthwise], f"{name}_depthwise", x[0], learns_step)
        return _convolution([pointwise, *rest], f"{name}_pointwise", y, learns_step)
    if role is Role.CONVOLUTION:
        return _convolution([first, *rest], name, x[0], learns_step)
    if role in (Role.AFFINE, Role.BATCH_NORM):
        return _affine([first, *rest], name, x[0], learns_step)
    if role is Role.DENSE:
        return _dense([first, *rest], name, x[0], learns_step)
    if role is Role.ADD:
        return _sum(rest, name, x, learns_step)
    if role is Role.ACTIVATION:
        return _activated(x[0], activation_of(first), name, learns_step, first)
    (layer,) = over_time(first) if is_over_time else (first,)
    if role is Role.CONCATENATE:
        return QuantizedConcatenate(layer.axis, learns_step, name=name)(x)
    if role is Role.MEAN:
        return QuantizedMean(layer.keepdims, learns_step=learns_step, name=name)(x[0])
    if role is Role.AVERAGE_POOL:
        pooling = QuantizedAveragePooling(layer.pool_size, layer.strides, layer.padding, name=name)
        return pooling(x[0])
    # A layer without weights gets a fresh copy, so that no node of the float graph stays on it.
    config = layer.get_config() | {"name": name.removeprefix("quantized_")}
    y = type(layer).from_config(config)(x[0])
    if role is Role.AUGMENTATION and y.shape != x[0].shape:
        raise unsupported(
            first,
            f"in inference it makes {tuple(y.shape[1:])} of {tuple(x[0].shape[1:])}: crop before "
            "the model.",
        )
    return y


def _block(block: layers.Layer, name: str, x: KerasTensor, learns_step: bool) -> KerasTensor:
    if block.zero_padding is not None:
        x = layers.ZeroPadding2D(block.zero_padding, name=f"{name}_padding")(x)
    for stage in block.fusable_stages():
        x = _convolution(list(stage), f"{name}_{stage[0].name}", x, learns_step)
    return x


def _convolution(
    group: list, name: str, x: KerasTensor, learns_step: bool, weight_bits: int | None = None
) -> KerasTensor:
    *before, convolution = over_time(group[0])
    for layer in before:
        x = layer(x)
    batch_norm, activating = _folded(group)
    activation = activation_of(activating)
    convolve = QuantizedConvolution(
        convolution,
        batch_norm,
        activation if activation in FUSED else "linear",
        has_trained_statistics=batch_norm is not None and has_trained_statistics(batch_norm),
        learns_step=learns_step,
        weight_bits=weight_bits,
        name=name,
    )
    return _activated_apart(convolve(x), activation, name, learns_step, activating)


def _folded(group: list) -> tuple[layers.BatchNormalization | None, Any]:
    """The batch normalization that a layer takes into itself, and who says what is activated."""
    first, *rest = group
    batch_norm = None
    if rest and isinstance(rest[0], layers.BatchNormalization):
        batch_norm, *rest = rest
    return batch_norm, rest[0] if rest else first


def _affine(group: list, name: str, x: KerasTensor, learns_step: bool) -> KerasTensor:
    """A factor and an offset per channel, with a range of their own."""
    first, *rest = group
    channels = x.shape[-1]
    is_norm = isinstance(first, layers.BatchNormalization)
    scaling = layers.DepthwiseConv2D(
        1, use_bias=not is_norm, depthwise_initializer="ones", trainable=False, name="scaling"
    )
    scaling.build((None, None, None, channels))
    if not is_norm:
        factor, offset = affine_of(first)
        scaling.kernel.assign(np.broadcast_to(factor.reshape(-1), channels).reshape(1, 1, -1, 1))
        scaling.bias.assign(np.broadcast_to(offset.reshape(-1), channels))
    shape = x.shape[1:]
    if len(shape) == 1:
        x = layers.Reshape((1, 1, channels), name=f"{name}_image")(x)
    group = [scaling, *([first] if is_norm else []), *rest]
    y = _convolution(group, name, x, learns_step, weight_bits=8)
    return layers.Reshape(shape, name=f"{name}_vector")(y) if len(shape) == 1 else y


def _dense(group: list, name: str, x: KerasTensor, learns_step: bool) -> KerasTensor:
    batch_norm, activating = _folded(group)
    activation = activation_of(activating)
    fused = activation if activation in FUSED else "linear"
    multiply = QuantizedDense(
        group[0],
        fused,
        batch_norm,
        has_trained_statistics=batch_norm is not None and has_trained_statistics(batch_norm),
        learns_step=learns_step,
        name=name,
    )
    return _activated_apart(multiply(x), activation, name, learns_step, activating)


def _sum(rest: list, name: str, x: list[KerasTensor], learns_step: bool) -> KerasTensor:
    activation = activation_of(rest[0]) if rest else "linear"
    total, *terms = x
    for i, term in enumerate(terms, 1):
        is_last = i == len(terms)
        total = QuantizedAdd(
            activation if is_last and activation in FUSED else "linear",
            learns_step,
            name=name if is_last else f"{name}_{i}",
        )([total, term])
    return _activated_apart(total, activation, name, learns_step, rest[0] if rest else None)


def _activated_apart(
    x: KerasTensor, activation: str, name: str, learns_step: bool, layer: Any
) -> KerasTensor:
    """What does not fuse into the operator before it."""
    if activation in FUSED:
        return x
    return _activated(x, activation, f"{name}_{activation}", learns_step, layer)


def _activated(
    x: KerasTensor, activation: str, name: str, learns_step: bool, layer: Any
) -> KerasTensor:
    if activation == "softmax":
        return layers.Softmax(name=name)(x)
    if activation in FIXED_RANGES:
        return QuantizedCurve(activation, name=name)(x)
    if activation == "leaky_relu":
        slope = negative_slope_of(layer)
        return QuantizedLeakyReLU(slope, learns_step=learns_step, name=name)(x)
    return QuantizedActivation(activation, learns_step, name=name)(x)


def separated(separable: layers.Layer) -> tuple[layers.Layer, layers.Layer]:
    """Splits a SeparableConv1D or SeparableConv2D into its convolutions, which share its weights.

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
    is_image = isinstance(separable, layers.SeparableConv2D)
    depthwise = (layers.DepthwiseConv2D if is_image else layers.DepthwiseConv1D)(
        separable.kernel_size,
        strides=separable.strides,
        padding=separable.padding,
        depth_multiplier=separable.depth_multiplier,
        dilation_rate=separable.dilation_rate,
        use_bias=False,
        data_format="channels_last",
        name="depthwise",
    )
    pointwise = (layers.Conv2D if is_image else layers.Conv1D)(
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
