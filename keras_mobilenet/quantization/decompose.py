"""Decomposes what a model computes in float into the steps that int8 operators are made of."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import layers, ops

from keras_mobilenet.preprocessing.first_layers import affine_of
from keras_mobilenet.quantization.float_graph import Call, flat_calls
from keras_mobilenet.quantization.group_layers import separated
from keras_mobilenet.quantization.layers.activation import QuantizedActivation
from keras_mobilenet.quantization.layers.base import activate
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.curve import QuantizedCurve, QuantizedLeakyReLU
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.layers.merging import QuantizedAdd, QuantizedConcatenate
from keras_mobilenet.quantization.layers.pooling import QuantizedAveragePooling, QuantizedMean
from keras_mobilenet.quantization.layers.tensor import QuantizedTensor
from keras_mobilenet.quantization.scheme import (
    Role,
    UnsupportedLayerError,
    activation_of,
    negative_slope_of,
    role_of,
    unsupported,
)

OTHER = "other"
"""The kind of a layer that the int8 scheme has no rule for: it is computed, but not compared."""


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """One step, `compute(*sources) -> result`; tensors are named by their identity.

    Attributes:
        kind: What the step computes: `"convolution"`, `"depthwise"`, `"dense"`, `"batch_norm"`,
            `"relu"`, `"relu6"`, `"leaky_relu"`, `"hard_swish"`, `"sigmoid"`, `"tanh"`,
            `"softmax"`, `"add"`, `"concatenate"`, `"mean"`,
            `"average_pool"`, `"max_pool"`, `"pad"`, `"reshape"`, or `OTHER`.
        layer: The name of the Keras layer; inside a block `"block/layer"`.
        sources: The identities (`id`) of the tensors that the step reads.
        result: The identity of the tensor that the step writes.
        compute: The function from float tensors to a float tensor, as inference computes it.
        weights: The kernel as (output channels, weights of one channel); for a batch normalization
            the factor (channels,) that folding multiplies a kernel with; else None.
    """

    kind: str
    layer: str
    sources: tuple[int, ...]
    result: int
    compute: Callable
    weights: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class FloatNodes:
    """A model's steps in topological order; layers that inference leaves out are gone.

    Attributes:
        nodes: The steps in topological order.
        source: The identity of the model's input tensor.
        result: The identity of the model's output tensor.
    """

    nodes: tuple[Node, ...]
    source: int
    result: int


def float_nodes(model: keras.Model) -> FloatNodes:
    """Decomposes a model; a quantization-aware one gives its float weights, and no rounding.

    Args:
        model: A built functional or Sequential model with one input and one output.

    Returns:
        The `FloatNodes`.

    Raises:
        UnsupportedLayerError: If a layer has several outputs, or an operation takes constants.
        ValueError: If the model's graph is hidden.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = layers.Conv2D(4, 3, activation="relu", name="c")(layers.Dropout(0.1)(inputs))
        >>> [node.kind for node in float_nodes(keras.Model(inputs, x)).nodes]
        ['convolution', 'relu']
    """
    calls, source, result = flat_calls(model)
    aliases: dict[int, int] = {}
    # Identities of objects are positive.
    fresh = itertools.count(-1, -1)
    nodes: list[Node] = []
    for call in calls:
        steps = list(_steps(call.layer, call))
        sources = tuple(aliases.get(one, one) for one in call.sources)
        if not steps:
            aliases[call.result] = sources[0]
        for number, step in enumerate(steps, start=1):
            made = call.result if number == len(steps) else next(fresh)
            kind, name, compute, weights = step
            if kind == "add":
                # TFLite adds two at a time.
                for term in sources[1:-1]:
                    partial = next(fresh)
                    nodes.append(
                        Node(
                            kind=kind,
                            layer=name,
                            sources=(sources[0], term),
                            result=partial,
                            compute=compute,
                        )
                    )
                    sources = (partial, *sources[2:])
            nodes.append(
                Node(
                    kind=kind,
                    layer=name,
                    sources=sources,
                    result=made,
                    compute=compute,
                    weights=weights,
                )
            )
            sources = (made,)
    return FloatNodes(tuple(nodes), source, aliases.get(result, result))


Step = tuple[str, str, Callable, np.ndarray | None]


def _steps(layer, call: Call) -> Iterator[Step]:
    name = layer.name
    if isinstance(layer, QuantizedTensor):
        return
    if isinstance(layer, QuantizedConvolution):
        yield from _stage(name, layer.convolution, layer.batch_norm, is_linear=True)
        yield from _activation(name, layer.activation)
        return
    if isinstance(layer, QuantizedDense):
        yield from _stage(name, layer.dense, layer.batch_norm, is_linear=True)
        yield from _activation(name, layer.activation)
        return
    if isinstance(layer, QuantizedAdd):
        yield "add", name, ops.add, None
        yield from _activation(name, layer.activation)
        return
    if isinstance(layer, (QuantizedActivation, QuantizedCurve)):
        yield from _activation(name, layer.activation)
        return
    if isinstance(layer, QuantizedLeakyReLU):
        yield _leaky_relu(name, layer.negative_slope)
        return
    if isinstance(layer, QuantizedConcatenate):
        yield "concatenate", name, _joined(layer.axis), None
        return
    if isinstance(layer, QuantizedMean):
        yield "mean", name, layers.GlobalAveragePooling2D(keepdims=layer.keepdims), None
        return
    if isinstance(layer, QuantizedAveragePooling):
        pooling = layers.AveragePooling2D(layer.pool_size, layer.strides, layer.padding)
        yield "average_pool", name, pooling, None
        return
    try:
        role = role_of(layer)
    except UnsupportedLayerError:
        if not isinstance(layer, layers.Layer):
            raise
        yield OTHER, name, _as_it_is(layer), None
        return
    yield from _float_steps(layer, role, call)


def _float_steps(layer, role: Role, call: Call) -> Iterator[Step]:
    name = layer.name
    if isinstance(layer, (layers.Conv1D, layers.DepthwiseConv1D, layers.SeparableConv1D)):
        # The int8 model has another shape there.
        yield OTHER, name, layer, None
    elif role is Role.BLOCK:
        if layer.zero_padding is not None:
            yield "pad", f"{name}/padding", layers.ZeroPadding2D(layer.zero_padding), None
        for convolution, norm, relu in layer.fusable_stages():
            yield from _stage(f"{name}/{convolution.name}", convolution, norm)
            yield from _layer_activation(relu)
    elif role is Role.SEPARABLE:
        depthwise, pointwise = separated(layer)
        yield from _stage(f"{name}/depthwise", depthwise, None)
        yield from _stage(f"{name}/pointwise", pointwise, None)
    elif role in (Role.CONVOLUTION, Role.DENSE):
        yield from _stage(name, layer, None)
    elif role is Role.BATCH_NORM:
        yield _batch_norm(layer)
    elif role is Role.AFFINE:
        channels = layer._inbound_nodes[0].output_tensors[0].shape[-1]
        factor, _ = affine_of(layer)
        yield "batch_norm", name, layer, np.broadcast_to(factor.reshape(-1), channels)
    elif role is Role.ADD:
        if len(call.sources) < 2:
            raise unsupported(layer, "it joins a tensor with a constant; fold that into a bias.")
        yield "add", name, ops.add, None
    elif role is Role.CONCATENATE:
        yield "concatenate", name, _joined(layer.axis), None
    elif role in (Role.ACTIVATION, Role.SOFTMAX):
        yield from _layer_activation(layer)
    elif role in (Role.MEAN, Role.AVERAGE_POOL):
        yield role.name.lower(), name, layer, None
    else:
        kind = _MOVING.get(type(layer))
        if kind is not None:
            yield kind, name, layer, None


_MOVING = {
    layers.MaxPooling2D: "max_pool",
    layers.GlobalMaxPooling2D: "max_pool",
    layers.MaxPooling1D: "max_pool",
    layers.GlobalMaxPooling1D: "max_pool",
    layers.ZeroPadding1D: "pad",
    layers.ZeroPadding2D: "pad",
    layers.Flatten: "reshape",
    layers.Reshape: "reshape",
}
"""The layers that move or select values; others of their role pass their input on in inference."""


def _stage(name: str, layer, batch_norm, is_linear: bool = False) -> Iterator[Step]:
    """A layer with a kernel, its batch normalization, and its own activation."""
    kernel = np.asarray(layer.kernel)
    bias = layer.bias if layer.use_bias else 0.0
    if isinstance(layer, layers.Dense):
        kind, flat = "dense", kernel.T
    elif isinstance(layer, layers.DepthwiseConv2D):
        kind, flat = "depthwise", kernel.reshape(-1, kernel.shape[2] * kernel.shape[3]).T
    else:
        kind, flat = "convolution", kernel.transpose(3, 0, 1, 2).reshape(kernel.shape[3], -1)

    def compute(x):
        if kind == "dense":
            return ops.matmul(x, layer.kernel) + bias
        convolve = ops.depthwise_conv if kind == "depthwise" else ops.conv
        y = convolve(
            x,
            layer.kernel,
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
        return y + bias

    yield kind, name, compute, flat
    if batch_norm is not None:
        yield _batch_norm(batch_norm)
    if not is_linear:
        yield from _layer_activation(layer)


def _batch_norm(norm: layers.BatchNormalization) -> Step:
    deviation = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    factor = (np.asarray(norm.gamma) if norm.scale else 1.0) / deviation
    return "batch_norm", norm.name, lambda x: norm(x, training=False), factor


def _layer_activation(layer) -> Iterator[Step]:
    try:
        if activation_of(layer) == "leaky_relu":
            yield _leaky_relu(layer.name, negative_slope_of(layer))
            return
        yield from _activation(layer.name, activation_of(layer))
    except UnsupportedLayerError:
        has_kernel = hasattr(layer, "kernel")
        yield OTHER, layer.name, layer.activation if has_kernel else layer, None


def _activation(name: str, activation: str) -> Iterator[Step]:
    curves = {"softmax": ops.softmax, "sigmoid": ops.sigmoid, "tanh": ops.tanh}
    if activation in curves:
        yield activation, name, curves[activation], None
    elif activation != "linear":
        yield activation, name, lambda x: activate(x, activation), None


def _leaky_relu(name: str, negative_slope: float) -> Step:
    return "leaky_relu", name, lambda x: ops.leaky_relu(x, negative_slope), None


def _joined(axis: int) -> Callable:
    return lambda *tensors: ops.concatenate(tensors, axis=axis)


def _as_it_is(layer: layers.Layer) -> Callable:
    return lambda *tensors: layer(list(tensors) if len(tensors) > 1 else tensors[0])
