"""The networks of others that the paper compares with, built far enough to be counted."""

from __future__ import annotations

import keras
from keras import layers

INCEPTIONS = (
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
"""1x1, 3x3's reduction, 3x3, 5x5's reduction, 5x5, pool's projection. Source: arXiv 1409.4842."""

POOLED_BEFORE = (2, 7)
FIRES = (
    *((16, 64), (16, 64), (32, 128), (32, 128)),
    *((48, 192), (48, 192), (64, 256), (64, 256)),
)
"""Squeezed and expanded channels. Source: arXiv 1602.07360, table 1."""


def googlenet() -> keras.Model:
    """GoogLeNet (Inception v1) for images of 224x224, without the auxiliary classifiers.

    Returns:
        An untrained model.

    Example:
        >>> googlenet().count_params()
        6998552

    Source: arXiv 1409.4842, table 1.
    """
    inputs = keras.Input((224, 224, 3))
    x = _conv(inputs, 64, 7, 2)
    x = _pool(x)
    x = _conv(_conv(x, 64, 1), 192, 3)
    x = _pool(x)
    for index, (one, three_in, three, five_in, five, pool) in enumerate(INCEPTIONS):
        if index in POOLED_BEFORE:
            x = _pool(x)
        branches = [
            _conv(x, one, 1),
            _conv(_conv(x, three_in, 1), three, 3),
            _conv(_conv(x, five_in, 1), five, 5),
            _conv(layers.MaxPooling2D(3, 1, "same")(x), pool, 1),
        ]
        x = layers.Concatenate()(branches)
    x = layers.Dense(1000)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x, name="googlenet")


def squeezenet() -> keras.Model:
    """SqueezeNet v1.0 for images of 224x224.

    Returns:
        An untrained model.

    Example:
        >>> squeezenet().count_params()
        1248424

    Source: arXiv 1602.07360, table 1.
    """
    inputs = keras.Input((224, 224, 3))
    x = layers.Conv2D(96, 7, 2, activation="relu")(layers.ZeroPadding2D(2)(inputs))
    x = layers.MaxPooling2D(3, 2)(x)
    for index, (squeezed, expanded) in enumerate(FIRES):
        if index in (3, 7):
            x = layers.MaxPooling2D(3, 2)(x)
        x = _conv(x, squeezed, 1)
        x = layers.Concatenate()([_conv(x, expanded, 1), _conv(x, expanded, 3)])
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(1000, 1, activation="relu")(x))
    return keras.Model(inputs, x, name="squeezenet")


def alexnet() -> keras.Model:
    """AlexNet for images of 227x227, with its two groups.

    Returns:
        An untrained model.

    Example:
        >>> alexnet().count_params()
        60965224

    Source: Krizhevsky, Sutskever, Hinton, NIPS 2012, section 3.5.
    """
    inputs = keras.Input((227, 227, 3))
    x = layers.MaxPooling2D(3, 2)(layers.Conv2D(96, 11, 4, activation="relu")(inputs))
    x = layers.Conv2D(256, 5, padding="same", groups=2, activation="relu")(x)
    x = layers.Conv2D(384, 3, padding="same", activation="relu")(layers.MaxPooling2D(3, 2)(x))
    x = layers.Conv2D(384, 3, padding="same", groups=2, activation="relu")(x)
    x = layers.Conv2D(256, 3, padding="same", groups=2, activation="relu")(x)
    x = layers.Flatten()(layers.MaxPooling2D(3, 2)(x))
    for units in (4096, 4096, 1000):
        x = layers.Dense(units)(x)
    return keras.Model(inputs, x, name="alexnet")


def vgg16() -> keras.Model:
    """VGG16 for images of 224x224.

    Returns:
        An untrained model, that of `keras.applications`.

    Example:
        >>> vgg16().count_params()  # doctest: +SKIP
        138357544

    Source: arXiv 1409.1556, table 1, column D.
    """
    return keras.applications.VGG16(weights=None)


def _conv(x, filters: int, size: int, strides: int = 1):
    return layers.Conv2D(filters, size, strides, padding="same", activation="relu")(x)


def _pool(x):
    return layers.MaxPooling2D(3, 2, "same")(x)
