"""Networks of others, in plain Keras layers: what quantization must take as it comes."""

from __future__ import annotations

import keras
import pytest
from keras import layers


def mobilenet_v1():
    """keras.applications.MobileNet, alpha 0.25, 64x64x3."""
    return keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, classes=4)


def mobilenet_v2():
    """keras.applications.MobileNetV2, alpha 0.35, 64x64x3, with its residual additions."""
    return keras.applications.MobileNetV2((64, 64, 3), 0.35, weights=None, classes=4)


def ds_cnn():
    """MLPerf Tiny's keyword spotting network, arXiv 1711.07128: Sequential, rectangular."""
    stages = [
        keras.Input((49, 10, 1)),
        layers.Conv2D(64, (10, 4), 2, padding="same"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Dropout(0.2),
    ]
    for _ in range(4):
        stages += [
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Conv2D(64, 1, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]
    stages += [
        layers.Dropout(0.4),
        layers.AveragePooling2D((25, 5)),
        layers.Flatten(),
        layers.Dense(4, activation="softmax"),
    ]
    return keras.Sequential(stages)


def resnet8():
    """MLPerf Tiny's image classification network for CIFAR-10."""
    inputs = keras.Input((32, 32, 3))

    def conv(x, filters, size, strides=1):
        return layers.Conv2D(filters, size, strides, padding="same", kernel_regularizer="l2")(x)

    x = layers.ReLU()(layers.BatchNormalization()(conv(inputs, 16, 3)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(conv(x, filters, 3, strides)))
        y = layers.BatchNormalization()(conv(y, filters, 3))
        if strides != 1:
            x = conv(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(8)(x)
    x = layers.Dense(4, activation="softmax")(layers.Flatten()(x))
    return keras.Model(inputs, x)


def mixture():
    """One of each operator that the networks above leave out."""
    inputs = keras.Input((32, 32, 3))
    x = layers.SeparableConv2D(8, 3, padding="same", name="separable")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("hard_silu")(x)
    y = layers.Conv2D(8, 1, activation="relu6")(x)
    z = layers.AveragePooling2D(3, 1, padding="same")(x)
    x = layers.Concatenate()([y, z])
    x = layers.MaxPooling2D()(x)
    x = layers.ReLU()(layers.Conv2D(8, 3)(x)) + layers.Conv2D(8, 3, activation="hard_silu")(x)
    x = layers.SpatialDropout2D(0.1)(x)
    x = layers.ReLU(6.0)(layers.MaxPooling2D()(x))
    inner = keras.Sequential([keras.Input((7, 7, 8)), layers.Conv2D(8, 1), layers.ReLU()])
    x = inner(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(x))
    return keras.Model(inputs, layers.Activation("softmax")(x))


@pytest.fixture(scope="session")
def networks():
    """The networks' builders by name."""
    return {f.__name__: f for f in (mobilenet_v1, mobilenet_v2, ds_cnn, resnet8, mixture)}
