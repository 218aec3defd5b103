"""The networks that the paper sets beside MobileNet, to show what its choices buy."""

from __future__ import annotations

import keras

from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.models.mobilenet_v1 import classifier
from keras_mobilenet.models.topology import BLOCKS, STEM_FILTERS

SHALLOW_BLOCKS = BLOCKS[:6] + BLOCKS[11:]
"""Without the five blocks of 512 filters at 14x14."""


def ConvMobileNet(  # noqa: N802 - a builder named as Keras names its applications
    input_shape: tuple[int, int, int] = (224, 224, 3), alpha: float = 1.0, classes: int = 1000
) -> keras.Model:
    """MobileNet with full convolutions in place of depthwise separable ones.

    Args:
        input_shape: (height, width, channels), in pixels.
        alpha: Width multiplier, 0 < alpha <= 1.
        classes: Number of classes.

    Returns:
        A `keras.Model` from float (batch, height, width, channels) to float (batch, classes).

    Example:
        >>> ConvMobileNet((32, 32, 3), alpha=0.25, classes=2).name
        'conv_mobilenet'

    Source: arXiv 1704.04861, table 4.
    """
    blocks = [
        ConvBNReLU(filters, strides=strides, alpha=alpha, name=f"block_{index}")
        for index, (filters, strides) in enumerate(BLOCKS, start=1)
    ]
    return _model("conv_mobilenet", input_shape, alpha, classes, blocks)


def ShallowMobileNet(  # noqa: N802 - a builder named as Keras names its applications
    input_shape: tuple[int, int, int] = (224, 224, 3), alpha: float = 1.0, classes: int = 1000
) -> keras.Model:
    """MobileNet without its five blocks of 14x14x512.

    Args:
        input_shape: (height, width, channels), in pixels.
        alpha: Width multiplier, 0 < alpha <= 1.
        classes: Number of classes.

    Returns:
        A `keras.Model` from float (batch, height, width, channels) to float (batch, classes).

    Example:
        >>> ShallowMobileNet((32, 32, 3), alpha=0.25, classes=2).name
        'shallow_mobilenet'

    Source: arXiv 1704.04861, table 5.
    """
    blocks = [
        SeparableBlock(filters, strides=strides, alpha=alpha, name=f"block_{index}")
        for index, (filters, strides) in enumerate(SHALLOW_BLOCKS, start=1)
    ]
    return _model("shallow_mobilenet", input_shape, alpha, classes, blocks)


def _model(name: str, input_shape, alpha: float, classes: int, blocks) -> keras.Model:
    """MobileNet's stem and classifier around other blocks."""
    inputs = keras.Input(input_shape, name="image")
    x = ConvBNReLU(STEM_FILTERS, strides=2, alpha=alpha, name="conv1")(inputs)
    for block in blocks:
        x = block(x)
    return keras.Model(inputs, classifier(x, classes), name=name)
