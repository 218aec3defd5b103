"""What belongs to keras.applications' MobileNet of ImageNet: its weights, inputs and classes."""

from __future__ import annotations

import os

import keras
import numpy as np
from keras.applications import mobilenet
from keras.src.applications.mobilenet import BASE_WEIGHT_PATH

ALPHAS = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
"""Width multiplier -> how file names write it."""

SIDES = (128, 160, 192, 224)


def imagenet_weights(
    shape: tuple[int, int, int],
    alpha: float,
    *,
    depth_multiplier: int = 1,
    classes: int | None = 1000,
) -> str:
    """Downloads the official ImageNet weights for a model, or finds them in Keras's cache.

    Args:
        shape: The (height, width, channels) of the model's images.
        alpha: The width multiplier: 0.25, 0.5, 0.75 or 1.0.
        depth_multiplier: The number of depthwise kernels for each channel; there are weights for
            1.
        classes: The number of classes, of which there are 1000; None for a model without its
            classifier, whose images may have any size.

    Returns:
        The path of the file.

    Raises:
        ValueError: If there are no weights for such a model, or they could not be downloaded.

    Example:
        >>> imagenet_weights((128, 128, 3), 0.3)
        Traceback (most recent call last):
        ValueError: weights='imagenet' exist for alpha 0.25, 0.5, 0.75 and 1.0 at ...
    """
    height, width, channels = shape
    has_top = classes is not None
    if channels != 3 or (has_top and (classes != 1000 or height != width)):
        raise ValueError(
            "weights='imagenet' are for RGB and, with include_top, for square images and 1000 "
            "classes; use include_top=False for others."
        )
    if depth_multiplier != 1:
        raise ValueError(
            f"weights='imagenet' are for depth_multiplier 1, got {depth_multiplier!r}."
        )
    side = height if has_top or (height == width and height in SIDES) else SIDES[-1]
    if alpha not in ALPHAS or side not in SIDES:
        raise ValueError(
            "weights='imagenet' exist for alpha 0.25, 0.5, 0.75 and 1.0 at 128, 160, 192 and 224 "
            f"pixels, not for alpha {alpha} at {side}."
        )
    name = f"mobilenet_{ALPHAS[alpha]}_{side}_tf{'' if has_top else '_no_top'}.h5"
    try:
        return keras.utils.get_file(name, BASE_WEIGHT_PATH + name, cache_subdir="models")
    except Exception as error:  # Keras raises no narrower one
        folder = os.path.join(os.environ.get("KERAS_HOME", "~/.keras"), "models")
        raise ValueError(
            f"weights='imagenet' could not be downloaded. Without a network, put {name} of "
            f"keras.applications into {folder}, from a machine that has one."
        ) from error


def preprocess_input(x, data_format: str | None = None):
    """Scales pixels to what the ImageNet weights were trained with, as keras.applications does.

    Args:
        x: Array or tensor of pixels from 0 to 255, (height, width, 3) or
            (batch, height, width, 3). A float array is changed in place.
        data_format: `"channels_last"`, `"channels_first"`, or None for Keras's setting.

    Returns:
        Float array or tensor of the same shape, from -1 to 1.

    Example:
        >>> preprocess_input(np.array([[[0.0, 127.5, 255.0]]])).tolist()
        [[[-1.0, 0.0, 1.0]]]
    """
    return mobilenet.preprocess_input(x, data_format=data_format)


def decode_predictions(preds: np.ndarray, top: int = 5) -> list[list[tuple[str, str, float]]]:
    """Names the likeliest of the 1000 ImageNet classes, as keras.applications does.

    The names are downloaded once, into Keras's cache.

    Args:
        preds: Float array of scores, (batch, 1000).
        top: The number of classes to name for each image.

    Returns:
        For each image a list of (WordNet number, name, score), the likeliest first.

    Raises:
        ValueError: If `preds` has another shape.

    Example:
        >>> decode_predictions(np.zeros((1, 10)))
        Traceback (most recent call last):
        ValueError: `decode_predictions` expects a batch of predictions ...
    """
    return mobilenet.decode_predictions(preds, top=top)
