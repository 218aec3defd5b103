"""Batch normalization's momentum, as the number of steps allows."""

from __future__ import annotations

import keras

LONGEST, SHORTEST = 0.99, 0.5
"""Keras's own momentum, and that of a training of a few steps."""

WINDOWS = 30
"""A training is so many times as long as its moving averages look back: what they began with counts
for nothing after a quarter of it, where a search already compares."""


def momentum_for(steps: int) -> float:
    """Computes the momentum whose moving averages settle within a training.

    Args:
        steps: The number of steps of the training.

    Returns:
        The weight of the past, from 0.5 to 0.99, which is Keras's.

    Example:
        >>> [round(momentum_for(steps), 2) for steps in (10, 90, 300, 5000)]
        [0.5, 0.67, 0.9, 0.99]
    """
    return min(LONGEST, max(SHORTEST, 1.0 - WINDOWS / max(steps, 1)))


def settle_within(model: keras.Model, steps: int) -> None:
    """Lets a model's batch normalizations settle within a training of so many steps.

    With Keras's momentum of 0.99 their moving averages are still what they began with after 30
    steps, and the network, which learned well, is at chance where it infers. Set it before `fit`.

    Args:
        model: The built Keras model; momenta that are lower already stay.
        steps: The number of steps of the training, epochs times batches.

    Example:
        >>> norm = keras.layers.BatchNormalization()
        >>> settle_within(keras.Sequential([keras.Input((2,)), norm]), steps=150)
        >>> norm.momentum
        0.8
    """
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = min(layer.momentum, momentum_for(steps))
