"""How much each channel matters, by the criteria of the literature."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from keras_mobilenet.pruning.channel_groups import ChannelGroups
from keras_mobilenet.pruning.gradients import loss_gradients
from keras_mobilenet.pruning.masks import read_array

_EPSILON = 1e-12

Scores = Iterator[tuple[np.ndarray, np.ndarray]]
"""The channel numbers of one layer, and how much each of them matters."""


def bn_scale(channels: ChannelGroups) -> np.ndarray:
    """Scores channels by batch normalization's |gamma|, or else by the kernel's sum of magnitudes.

    Args:
        channels: The channels of the network.

    Returns:
        Float array by joint number, 1 on average in every layer.

    Example:
        >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Conv2D(2, 1),
        ...     keras.layers.BatchNormalization(), keras.layers.Conv2D(1, 1)])
        >>> _ = model.layers[1].gamma.assign([1.0, 3.0])
        >>> bn_scale(ChannelGroups(model))[1:3].tolist()
        [0.5, 1.5]

    Source: arXiv 1708.06519.
    """
    return _joined(channels, _magnitudes(channels))


def taylor(channels: ChannelGroups, model: keras.Model, data: tuple) -> np.ndarray:
    """Estimates how much the loss would change without a channel, to first order.

    The channel's gate is its batch normalization: `gamma * dL/dgamma + beta * dL/dbeta`; without
    one, its kernel and bias.

    Args:
        channels: The channels of the model, or of the float model that it was.
        model: The compiled model.
        data: One batch, `(inputs, labels)` arrays.

    Returns:
        Float array by joint number, 1 on average in every layer.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input((4,)), keras.layers.Dense(3), keras.layers.Dense(1)])
        >>> model.compile(loss="mse")
        >>> taylor(ChannelGroups(model), model, (np.ones((2, 4)), np.ones((2, 1)))).shape
        (8,)

    Source: arXiv 1906.10771, section 3.2.
    """
    return _joined(channels, _changes(channels, model, data))


def _joined(channels: ChannelGroups, scores: Scores) -> np.ndarray:
    values, counts = np.zeros(channels.count), np.zeros(channels.count)
    for numbers, score in scores:
        # Relative to the layer: gammas of different layers have no common unit.
        np.add.at(values, channels.roots(numbers), score / (score.mean() + _EPSILON))
        np.add.at(counts, channels.roots(numbers), 1)
    return values / np.maximum(counts, 1)


def _magnitudes(channels: ChannelGroups) -> Scores:
    for variable in channels.outputs.values():
        axis, numbers = channels.output_axis(variable)
        value = read_array(variable)
        if variable.name == "gamma":
            yield numbers, np.abs(value)
        elif value.ndim > 1 and not _is_normalized(channels, numbers):
            yield numbers, np.abs(value).sum(axis=tuple(range(axis)))


def _changes(channels: ChannelGroups, model: keras.Model, data: tuple) -> Scores:
    variables = list(channels.outputs.values())
    gradients = loss_gradients(model, data, variables)
    by_layer: dict[int, tuple] = {}
    for variable, gradient in zip(variables, gradients, strict=True):
        axis, numbers = channels.output_axis(variable)
        is_gate = variable.name in ("gamma", "beta") or not _is_normalized(channels, numbers)
        if gradient is not None and is_gate:
            product = read_array(variable) * gradient
            change = product.sum(axis=tuple(a for a in range(product.ndim) if a != axis))
            before = by_layer.get(id(numbers), (numbers, 0.0))[1]
            by_layer[id(numbers)] = numbers, before + change
    for numbers, change in by_layer.values():
        yield numbers, np.abs(change)


def _is_normalized(channels: ChannelGroups, numbers: np.ndarray) -> bool:
    return any(
        variable.name == "gamma" and channels.output_axis(variable)[1] is numbers
        for variable in channels.outputs.values()
    )
