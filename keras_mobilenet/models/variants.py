"""The networks that the paper sets beside MobileNet, to show what its choices buy."""

from __future__ import annotations

import keras

from keras_mobilenet.models.family import MobileNet
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
    return _network("conv_mobilenet", BLOCKS, "conv", input_shape, alpha, classes)


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
    return _network("shallow_mobilenet", SHALLOW_BLOCKS, "separable", input_shape, alpha, classes)


def _network(name: str, blocks, kind: str, input_shape, alpha: float, classes: int) -> keras.Model:
    stages = [(filters, 3, strides, 1, kind) for filters, strides in blocks]
    return MobileNet(
        stages,
        input_shape,
        alpha,
        stem=(STEM_FILTERS, 3, 2),
        classes=classes,
        preprocessing=None,
        name=name,
    )
