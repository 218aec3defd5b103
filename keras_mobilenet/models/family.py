"""MobileNet's family: a stem, stages of blocks, and a classifier, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers

from keras_mobilenet.models.ends import check_head, classifier, images, pooled, recorded
from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock, scaled_filters
from keras_mobilenet.models.padding import checked_padding
from keras_mobilenet.models.pretrained import MobileNetModel
from keras_mobilenet.models.stages import (
    Stage,
    Stem,
    check_strides,
    checked_stages,
    checked_stem,
)
from keras_mobilenet.preprocessing.preprocessing import Preprocessing

SMALLEST_SIDE = 16


def MobileNet(  # noqa: N802 - a builder named as Keras names its applications
    stages: Sequence[Sequence[int | str]],
    input_shape: tuple[int, int, int] = (96, 96, 3),
    alpha: float = 1.0,
    *,
    stem: Sequence[int] = (32, 3, 2),
    head: int | None = None,
    is_residual: bool = False,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    input_tensor: keras.KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    rho: float = 1.0,
    padding: str = "same",
    activation: str = "relu",
    preprocessing: Preprocessing | str | None = "default",
    name: str = "mobilenet",
) -> keras.Model:
    """A network of MobileNet's blocks, stage by stage.

    `MobileNetV1`, `ShallowMobileNet` and `ConvMobileNet` are networks of this family. Small images
    want fewer strides than those five: a map of one pixel has nothing to convolve.

    Args:
        stages: The stages behind the stem, each (filters, kernel, strides, repeats, kind): the
            number of output channels, the side of the kernel in pixels, the step of the stage's
            first block, the number of blocks, and `"separable"` or `"conv"`. What is left out at
            the end is 3, 1, 1 and `"separable"`.
        input_shape: The (height, width, channels) of the images, in pixels: from 16x16, 1 to 4
            channels. Not read with `input_tensor`.
        alpha: The width multiplier, 0 < alpha <= 1.
        stem: The (filters, kernel, strides) of the convolution that reads the image.
        head: The number of output channels of a 1x1 convolution in front of the classifier; None
            for none.
        is_residual: Whether a block that makes the shape that it reads is added to it, before its
            last activation.
        depth_multiplier: The number of depthwise kernels for each channel.
        dropout: The fraction of the pooled features dropped in training.
        include_top: Whether the classifier is part of the model.
        input_tensor: A Keras tensor (batch, height, width, channels) that the model reads in place
            of an input of its own.
        pooling: None, `"avg"` or `"max"`, without `include_top`.
        classes: The number of classes, with `include_top`.
        classifier_activation: `"softmax"`, or None for logits.
        rho: The resolution multiplier, 0 < rho <= 1; the model's input is `round(rho * side)`.
        padding: `"same"`, or `"valid"` for that of keras.applications' strided blocks.
        activation: `"relu"` or `"relu6"`.
        preprocessing: What images go through before the model: `"default"` for the whole image as
            `(pixel - 128) / 128` where it has 1 or 3 channels, a `Preprocessing` of the model's
            input size, or None to keep nothing.
        name: The model's name.

    Returns:
        A `keras.Model` from float (batch, height, width, channels) to float (batch, classes).

    Raises:
        ValueError: If an argument is out of range, or strides have no map left to step over.

    Example:
        >>> stages = [(48, 3, 2, 3), (96, 3, 2, 4), (128,)]
        >>> model = MobileNet(stages, (32, 32, 3), stem=(24, 3, 1), is_residual=True, classes=10)
        >>> model.count_params(), model.get_layer("block_7").output.shape
        (62138, (None, 8, 8, 96))

    Source: arXiv 1704.04861, sections 3.1 to 3.4; additions: arXiv 1512.03385, section 3.2.
    """
    check_head(include_top, classes, pooling, dropout, classifier_activation)
    checked_padding(padding)
    first, rest = checked_stem(stem), checked_stages(stages)
    inputs = images(
        input_shape,
        rho,
        input_tensor,
        smallest_side=SMALLEST_SIDE,
        channel_counts=(1, 2, 3, 4),
    )
    check_strides(min(inputs.shape[1:3]), first, rest)
    x = stacked(
        recorded(inputs, preprocessing),
        first,
        rest,
        alpha=alpha,
        activation=activation,
        padding=padding,
        depth_multiplier=depth_multiplier,
        is_residual=is_residual,
    )
    if head is not None:
        x = ConvBNReLU(head, 1, activation=activation, name="head")(x)
    if include_top:
        x = classifier(x, classes, dropout, classifier_activation)
    elif pooling is not None:
        x = pooled(x, pooling)
    sources = keras.utils.get_source_inputs(inputs)
    return MobileNetModel(sources[0] if len(sources) == 1 else sources, x, name=name)


def stacked(
    x: keras.KerasTensor,
    stem: Stem,
    stages: Sequence[Stage],
    *,
    alpha: float,
    activation: str,
    padding: str,
    depth_multiplier: int,
    is_residual: bool = False,
) -> keras.KerasTensor:
    """Stacks the stem and the blocks of all stages.

    Args:
        x: The images, a float tensor (batch, height, width, channels).
        stem: The stem, which pads "same".
        stages: The stages.
        alpha: The width multiplier.
        activation: `"relu"` or `"relu6"`.
        padding: The blocks' padding.
        depth_multiplier: The number of depthwise kernels for each channel.
        is_residual: Whether blocks are added to what they read.

    Returns:
        A float tensor (batch, height, width, channels).

    Example:
        >>> options = {"alpha": 1.0, "activation": "relu", "padding": "same"}
        >>> images = keras.Input((32, 32, 3))
        >>> stacked(images, Stem(8), [Stage(16)], depth_multiplier=1, **options).shape
        (None, 16, 16, 16)
    """
    x = ConvBNReLU(
        stem.filters, stem.kernel, stem.strides, alpha=alpha, activation=activation, name="conv1"
    )(x)
    blocks = [block for stage in stages for block in stage.blocks()]
    for number, (filters, kernel, strides, kind) in enumerate(blocks, start=1):
        is_added = is_residual and strides == 1 and scaled_filters(filters, alpha) == x.shape[-1]
        options = {"alpha": alpha, "activation": activation, "padding": padding}
        options |= {"is_linear": is_added, "name": f"block_{number}"}
        if kind == "separable":
            block = SeparableBlock(
                filters, kernel, strides, depth_multiplier=depth_multiplier, **options
            )
        else:
            block = ConvBNReLU(filters, kernel, strides, **options)
        if is_added:
            x = layers.Add(name=f"add_{number}")([x, block(x)])
            ceiling = 6.0 if activation == "relu6" else None
            x = layers.ReLU(ceiling, name=f"relu_{number}")(x)
        else:
            x = block(x)
    return x
