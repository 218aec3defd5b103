"""Builds the smaller network that is left when channels go."""

from __future__ import annotations

import copy

import keras
import numpy as np
from keras import layers

from keras_mobilenet.models.block import Block
from keras_mobilenet.preprocessing.record import input_like
from keras_mobilenet.pruning.channel_groups import ChannelGroups, Key
from keras_mobilenet.pruning.masks import read_array
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense


def shrink(model: keras.Model, removed: set[Key]) -> keras.Model:
    """Builds the network without some channels; what they added must already be zero.

    Args:
        model: A built functional or Sequential model, float or quantization-aware.
        removed: The channels to remove, as the keys of the model's `ChannelGroups`.

    Returns:
        A functional model with weights, and ranges, of its own.

    Raises:
        ValueError: If a layer would lose channels that it must keep.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), layers.Conv2D(8, 3), layers.Conv2D(2, 1)])
        >>> kernel = model.layers[0].kernel
        >>> [tuple(w.shape) for w in shrink(model, {(id(kernel), 0), (id(kernel), 5)}).weights]
        [(3, 3, 3, 6), (6,), (1, 1, 6, 2), (2,)]
    """
    channels = ChannelGroups(model)
    kept = np.ones(channels.count, bool)
    keys = channels.keys()
    for key in removed:
        kept[keys[key]] = False
    lost = [key for key, number in keys.items() if not kept[number] and key not in removed]
    if lost:
        raise ValueError("Channels that an addition joins must be removed together.")
    inputs, first = input_like(model)
    tensors = {channels.source: first}
    for call in channels.calls:
        x = [tensors[tensor] for tensor in call.sources]
        layer = call.layer
        if not isinstance(layer, layers.Layer):
            tensors[call.result] = layer(*x)
            continue
        count = int(kept[channels.roots(channels.labels[call.result])].sum())
        smaller = type(layer).from_config(_config(layer, count))
        tensors[call.result] = smaller(x if len(x) > 1 else x[0])
        smaller.set_weights([_cut(variable, channels, kept) for variable in layer.weights])
    return keras.Model(inputs, tensors[channels.result], name=model.name)


def _config(layer, count: int) -> dict:
    """A layer's configuration with another number of output channels."""
    config = copy.deepcopy(layer.get_config())
    for part in ("convolution", "batch_norm", "dense"):
        if isinstance(config.get(part), dict):
            # It holds the shapes of before.
            config[part].pop("build_config", None)
    if isinstance(layer, QuantizedConvolution):
        if not layer.is_depthwise:
            config["convolution"]["config"]["filters"] = count
    elif isinstance(layer, QuantizedDense):
        config["dense"]["config"]["units"] = count
    elif isinstance(layer, layers.Dense):
        config["units"] = count
    elif isinstance(layer, Block):
        config |= {"filters": count, "alpha": 1.0}
    elif isinstance(layer, layers.DepthwiseConv2D):
        pass
    elif isinstance(layer, layers.Conv2D):
        config["filters"] = count
    elif isinstance(layer, layers.Reshape) and config["target_shape"][-1] != -1:
        config["target_shape"] = (*config["target_shape"][:-1], count)
    return config


def _cut(variable, channels: ChannelGroups, kept: np.ndarray) -> np.ndarray:
    value = read_array(variable)
    _, axes = channels.axes.get(id(variable), (variable, {}))
    for axis, numbers in axes.items():
        value = np.compress(kept[channels.roots(numbers)], value, axis)
    return value
