"""MobileNetV1 as a Keras functional model, for every width and resolution multiplier."""

from __future__ import annotations

import os

import keras
from keras import layers

from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.models.topology import BLOCKS, STEM_FILTERS, scaled_side
from keras_mobilenet.preprocessing.preprocessing import Preprocessing
from keras_mobilenet.preprocessing.record import PreprocessingRecord


def MobileNetV1(  # noqa: N802 - a builder named as Keras names its applications
    input_shape: tuple[int, int, int] = (224, 224, 3),
    alpha: float = 1.0,
    rho: float = 1.0,
    include_top: bool = True,
    classes: int = 1000,
    pooling: str | None = None,
    dropout: float = 1e-3,
    classifier_activation: str | None = "softmax",
    activation: str = "relu6",
    weights: str | os.PathLike | None = None,
    name: str | None = None,
    preprocessing: Preprocessing | str | None = "default",
) -> keras.Model:
    """MobileNetV1 with a width multiplier and a resolution multiplier.

    Topology, parameter count and outputs are those of `keras.applications.MobileNet`, with the
    layers grouped as the paper groups them. Padding is "same" throughout, so that no PAD operator
    (and no copy of a tensor) reaches the microcontroller; for sides that are a multiple of 32 this
    is the padding of `keras.applications`.

    Args:
        input_shape: Base (height, width, channels), in pixels; 1 or 3 channels.
        alpha: Width multiplier, 0 < alpha <= 1.
        rho: Resolution multiplier, 0 < rho <= 1; the model's input is `round(rho * side)`.
        include_top: Whether the classifier is part of the model.
        classes: Number of classes, with `include_top`.
        pooling: None, `"avg"` or `"max"`, without `include_top`.
        dropout: Fraction of the pooled features dropped in training.
        classifier_activation: `"softmax"`, or None for logits.
        activation: `"relu6"` (Keras, TF-Slim) or `"relu"` (the paper).
        weights: None for random ones, `"imagenet"` for those of keras.applications (downloaded
            once), or the path of a `.weights.h5` or `.keras` file of this same model, or of an
            `.h5` file of keras.applications or of Keras 2.
        name: Model name; by default tells alpha and resolution.
        preprocessing: What images go through before the model, kept with it up to the firmware:
            `"default"` for the whole image as `(pixel - 128) / 128`, a `Preprocessing` of the
            model's input size, or None to keep nothing. keras.applications' own weights were
            trained with `mean=127.5, std=127.5`.

    Returns:
        A `keras.Model` from float (batch, height, width, channels) to float (batch, classes).

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> MobileNetV1(alpha=0.25, input_shape=(128, 128, 3)).count_params()
        475544

    Source: arXiv 1704.04861, table 1 and sections 3.3, 3.4.
    """
    height, width, channels = _checked_input_shape(input_shape)
    height, width = scaled_side(height, rho), scaled_side(width, rho)
    _check_head(include_top, classes, pooling, dropout, classifier_activation)

    inputs = keras.Input((height, width, channels), name="image")
    x = inputs
    if preprocessing == "default":
        preprocessing = Preprocessing(height, width, channels)
    if preprocessing is not None:
        x = PreprocessingRecord(preprocessing, name="preprocessing")(x)
    x = ConvBNReLU(STEM_FILTERS, 3, 2, alpha, activation, name="conv1")(x)
    for index, (filters, strides) in enumerate(BLOCKS, start=1):
        x = SeparableBlock(filters, strides, alpha, activation, name=f"block_{index}")(x)

    if include_top:
        x = classifier(x, classes, dropout, classifier_activation)
    elif pooling == "avg":
        x = layers.GlobalAveragePooling2D(name="global_average_pooling")(x)
    elif pooling == "max":
        x = layers.GlobalMaxPooling2D(name="global_max_pooling")(x)

    if name is None:
        name = f"mobilenet_v1_{alpha:g}_{height}x{width}".replace(".", "_")
    model = keras.Model(inputs, x, name=name)
    if weights == "imagenet":
        weights = _imagenet_file(alpha, height, width, channels, include_top, classes)
    if weights is not None:
        _load_weights(model, weights)
    return model


def _imagenet_file(alpha, height, width, channels, include_top, classes) -> str:
    if channels != 3 or (include_top and (classes != 1000 or height != width)):
        raise ValueError(
            "weights='imagenet' are for RGB and, with include_top, for square images and 1000 "
            "classes; use include_top=False for others."
        )
    # Imported here: that module builds models of this one.
    from keras_mobilenet.models.pretrained import imagenet_file

    side = height if height == width and height in (128, 160, 192, 224) else 224
    return imagenet_file(alpha, height if include_top else side, include_top)


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


def _checked_input_shape(input_shape) -> tuple[int, int, int]:
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}.")
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "MobileNetV1 is channels_last; call "
            "keras.config.set_image_data_format('channels_last') first."
        )
    if input_shape[2] not in (1, 3):
        raise ValueError(
            f"input_shape must have 1 (gray) or 3 (RGB) channels, last, got {input_shape!r}."
        )
    return input_shape[0], input_shape[1], input_shape[2]


def _check_head(include_top, classes, pooling, dropout, classifier_activation) -> None:
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


def _load_weights(model: keras.Model, weights: str | os.PathLike) -> None:
    path = os.fspath(weights)
    if not path.endswith((".h5", ".keras")):
        raise ValueError(
            f"weights must be None, 'imagenet', or a .weights.h5, .keras or .h5 file, got {path!r}."
        )
    if not os.path.isfile(path):
        raise ValueError(f"No weights file at {path!r}.")
    if path.endswith((".weights.h5", ".keras")):
        model.load_weights(path)
    else:
        # Imported here: that module builds models of this one.
        from keras_mobilenet.models.pretrained import load_applications_h5

        load_applications_h5(model, path)
