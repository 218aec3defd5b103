"""Both ends of a MobileNet: the images that it reads, and the classifier."""

from __future__ import annotations

import keras
from keras import layers

from keras_mobilenet.models.topology import scaled_side
from keras_mobilenet.preprocessing.preprocessing import Preprocessing
from keras_mobilenet.preprocessing.record import PreprocessingRecord


def images(
    input_shape: tuple[int, int, int],
    rho: float,
    input_tensor: keras.KerasTensor | None,
    *,
    smallest_side: int,
    channel_counts: tuple[int, ...],
) -> keras.KerasTensor:
    """Makes the tensor that a model reads, its sides checked.

    Args:
        input_shape: The (height, width, channels) of the images before `rho`, in pixels.
        rho: The resolution multiplier.
        input_tensor: The caller's tensor, in place of an input of the model's own; None otherwise.
        smallest_side: The smallest height and width after `rho`, in pixels.
        channel_counts: The numbers of channels that the model takes.

    Returns:
        A Keras tensor (batch, height, width, channels).

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> images((64, 64, 3), 0.5, None, smallest_side=32, channel_counts=(1, 3)).shape
        (None, 32, 32, 3)
    """
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "MobileNets are channels_last; call "
            "keras.config.set_image_data_format('channels_last') first."
        )
    if input_tensor is not None:
        if not isinstance(input_tensor, keras.KerasTensor):
            raise ValueError(
                "input_tensor must be a Keras tensor, such as keras.Input((96, 96, 3)), got "
                f"{type(input_tensor).__name__}."
            )
        input_shape = tuple(input_tensor.shape[1:])
    height, width, channels = _checked_input_shape(input_shape, channel_counts)
    height, width = (scaled_side(side, rho, smallest_side) for side in (height, width))
    if input_tensor is None:
        return keras.Input((height, width, channels), name="image")
    if (height, width) != input_shape[:2]:
        raise ValueError(f"rho={rho} cannot scale an input_tensor; leave it at 1.")
    return input_tensor


def recorded(x: keras.KerasTensor, preprocessing: Preprocessing | str | None) -> keras.KerasTensor:
    """Puts the record of what images went through behind them.

    Args:
        x: The tensor that the model reads.
        preprocessing: The preprocessing, `"default"`, or None for no record.

    Returns:
        The same images, behind a `PreprocessingRecord` or as they were.

    Example:
        >>> recorded(keras.Input((32, 32, 3)), "default").shape
        (None, 32, 32, 3)
    """
    if preprocessing == "default":
        # Behind layers of the caller's own, only the caller knows; and images are gray or RGB.
        is_input = isinstance(x._keras_history.operation, layers.InputLayer)
        is_image = is_input and x.shape[-1] in (1, 3)
        preprocessing = Preprocessing(*x.shape[1:]) if is_image else None
    if preprocessing is None:
        return x
    return PreprocessingRecord(preprocessing, name="preprocessing")(x)


def pooled(x: keras.KerasTensor, pooling: str) -> keras.KerasTensor:
    """Pools each channel's map to one number.

    Args:
        x: A float tensor (batch, height, width, channels).
        pooling: `"avg"` or `"max"`.

    Returns:
        A float tensor (batch, channels).

    Example:
        >>> pooled(keras.Input((4, 4, 8)), "max").shape
        (None, 8)
    """
    if pooling == "avg":
        return layers.GlobalAveragePooling2D(name="global_average_pooling")(x)
    return layers.GlobalMaxPooling2D(name="global_max_pooling")(x)


def classifier(x, classes: int, dropout: float = 1e-3, activation: str | None = "softmax"):
    """MobileNet's end: pooling, and a 1x1 convolution in place of a Dense layer.

    Args:
        x: Float tensor (batch, height, width, channels).
        classes: Number of classes.
        dropout: Fraction of the pooled features dropped in training.
        activation: `"softmax"`, or None for logits.

    Returns:
        Float tensor (batch, classes).

    Example:
        >>> tuple(classifier(keras.Input((3, 3, 256)), classes=10).shape)
        (None, 10)

    Source: arXiv 1704.04861, table 1, last rows.
    """
    x = layers.GlobalAveragePooling2D(keepdims=True, name="global_average_pooling")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    x = layers.Conv2D(classes, 1, padding="same", name="conv_preds")(x)
    x = layers.Reshape((classes,), name="reshape")(x)
    return x if activation is None else layers.Activation(activation, name="predictions")(x)


def _checked_input_shape(input_shape, channel_counts: tuple[int, ...]) -> tuple[int, int, int]:
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}.")
    height, width, channels = input_shape
    if isinstance(channels, bool) or channels not in channel_counts:
        counts = {(1, 3): "1 (gray) or 3 (RGB)", (1, 2, 3, 4): "1 to 4"}[channel_counts]
        raise ValueError(f"input_shape must have {counts} channels, last, got {input_shape!r}.")
    return height, width, channels


def check_head(
    include_top: bool,
    classes: int,
    pooling: str | None,
    dropout: float,
    classifier_activation: str | None,
) -> None:
    """Refuses arguments of a network's end that are out of range.

    Args:
        include_top: Whether the classifier is part of the model.
        classes: The number of classes.
        pooling: The pooling without a classifier.
        dropout: The fraction of the pooled features dropped in training.
        classifier_activation: `"softmax"` or None.

    Raises:
        ValueError: If one is out of range; the message names it.

    Example:
        >>> check_head(True, 1, None, 0.0, None)
        Traceback (most recent call last):
        ValueError: classes must be an integer of at least 2, got 1.
    """
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling must be None, 'avg' or 'max', got {pooling!r}.")
    if include_top and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 2):
        raise ValueError(f"classes must be an integer of at least 2, got {classes!r}.")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout!r}.")
    if classifier_activation not in ("softmax", None):
        raise ValueError(
            f"classifier_activation must be 'softmax' or None, got {classifier_activation!r}."
        )
