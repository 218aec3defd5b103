"""MobileNetV1 as a Keras model, for every width and resolution multiplier."""

from __future__ import annotations

import os

import keras
from keras import layers

from keras_mobilenet.models.imagenet import imagenet_weights
from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.models.padding import checked_padding
from keras_mobilenet.models.pretrained import MobileNetModel
from keras_mobilenet.models.topology import BLOCKS, STEM_FILTERS, scaled_side
from keras_mobilenet.preprocessing.preprocessing import Preprocessing
from keras_mobilenet.preprocessing.record import PreprocessingRecord


def MobileNetV1(  # noqa: N802 - a builder named as Keras names its applications
    input_shape: tuple[int, int, int] = (224, 224, 3),
    alpha: float = 1.0,
    depth_multiplier: int = 1,
    dropout: float = 1e-3,
    include_top: bool = True,
    weights: str | os.PathLike | None = None,
    input_tensor: keras.KerasTensor | None = None,
    pooling: str | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    *,
    rho: float = 1.0,
    padding: str = "valid",
    activation: str = "relu6",
    preprocessing: Preprocessing | str | None = "default",
    name: str | None = None,
) -> keras.Model:
    """MobileNetV1 with a width multiplier and a resolution multiplier.

    Arguments, parameter count and, at every size, outputs are those of
    `keras.applications.MobileNet`; the layers are grouped as the paper groups them.

    What `padding="valid"` costs on the chip: nothing where the sides of a feature map before
    strides are both even (as at all multiples of 32) or both odd; there, the convolution's own
    padding does it. One even and one odd side take a PAD operator, which copies the tensor.
    `padding="same"` never takes one, and keeps more of small images: from 48x48 pixels it ends
    with 2x2, `"valid"` with 1x1.

    Args:
        input_shape: The (height, width, channels) of the images, in pixels; 1 or 3 channels. Not
            read with `input_tensor`.
        alpha: The width multiplier, 0 < alpha <= 1.
        depth_multiplier: The number of depthwise kernels for each channel.
        dropout: The fraction of the pooled features dropped in training.
        include_top: Whether the classifier is part of the model.
        weights: None for random ones, `"imagenet"` for those of keras.applications (downloaded
            once), or the path of a `.weights.h5`, `.keras` or `.h5` file of this same model, of
            `keras.applications.MobileNet`, or (`.h5`) of a MobileNetV1 of Keras 2.
        input_tensor: A Keras tensor (batch, height, width, channels) that the model reads in place
            of an input of its own.
        pooling: None, `"avg"` or `"max"`, without `include_top`.
        classes: The number of classes, with `include_top`.
        classifier_activation: `"softmax"`, or None for logits.
        rho: The resolution multiplier, 0 < rho <= 1; the model's input is `round(rho * side)`.
        padding: `"valid"` for that of keras.applications, `"same"` for that of TF-slim, which
            Google's `.tflite` files have.
        activation: `"relu6"` (Keras, TF-slim) or `"relu"` (the paper).
        preprocessing: What images go through before the model, kept with it up to the firmware:
            `"default"` for the whole image as `(pixel - 128) / 128`, a `Preprocessing` of the
            model's input size, or None to keep nothing, as behind other layers of an
            `input_tensor`. keras.applications' own weights were trained with
            `mean=127.5, std=127.5`.
        name: The model's name; by default it tells alpha and resolution.

    Returns:
        A `keras.Model` from float (batch, height, width, channels) to float (batch, classes).

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> MobileNetV1(alpha=0.25, input_shape=(128, 128, 3)).count_params()
        475544

    Source: arXiv 1704.04861, table 1 and sections 3.3, 3.4.
    """
    _check_head(include_top, classes, pooling, dropout, classifier_activation)
    checked_padding(padding)
    images = _images(input_shape, rho, input_tensor)
    _, height, width, channels = images.shape
    x = _recorded(images, preprocessing)
    # The stem pads "same" there too.
    x = ConvBNReLU(STEM_FILTERS, strides=2, alpha=alpha, activation=activation, name="conv1")(x)
    for index, (filters, strides) in enumerate(BLOCKS, start=1):
        x = SeparableBlock(
            filters,
            strides=strides,
            alpha=alpha,
            activation=activation,
            padding=padding,
            depth_multiplier=depth_multiplier,
            name=f"block_{index}",
        )(x)
    if include_top:
        x = classifier(x, classes, dropout, classifier_activation)
    elif pooling is not None:
        x = _pooled(x, pooling)

    if name is None:
        name = f"mobilenet_v1_{alpha:g}_{height}x{width}".replace(".", "_")
    inputs = keras.utils.get_source_inputs(images)
    model = MobileNetModel(inputs[0] if len(inputs) == 1 else inputs, x, name=name)
    if weights == "imagenet":
        weights = imagenet_weights(
            (height, width, channels),
            alpha,
            depth_multiplier=depth_multiplier,
            classes=classes if include_top else None,
        )
    if weights is not None:
        model.load_weights(_checked_weights(weights))
    return model


def _images(input_shape, rho: float, input_tensor):
    """The tensor that the model reads, its sides checked."""
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "MobileNetV1 is channels_last; call "
            "keras.config.set_image_data_format('channels_last') first."
        )
    if input_tensor is not None:
        if not isinstance(input_tensor, keras.KerasTensor):
            raise ValueError(
                "input_tensor must be a Keras tensor, such as keras.Input((96, 96, 3)), got "
                f"{type(input_tensor).__name__}."
            )
        input_shape = tuple(input_tensor.shape[1:])
    height, width, channels = _checked_input_shape(input_shape)
    height, width = scaled_side(height, rho), scaled_side(width, rho)
    if input_tensor is None:
        return keras.Input((height, width, channels), name="image")
    if (height, width) != input_shape[:2]:
        raise ValueError(f"rho={rho} cannot scale an input_tensor; leave it at 1.")
    return input_tensor


def _recorded(images, preprocessing: Preprocessing | str | None):
    """The images with the record behind them of what they went through."""
    is_input = isinstance(images._keras_history.operation, layers.InputLayer)
    if preprocessing == "default":
        # Behind layers of the caller's own, only the caller knows.
        preprocessing = Preprocessing(*images.shape[1:]) if is_input else None
    if preprocessing is None:
        return images
    return PreprocessingRecord(preprocessing, name="preprocessing")(images)


def _pooled(x, pooling: str):
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


def _checked_input_shape(input_shape) -> tuple[int, int, int]:
    if not isinstance(input_shape, (tuple, list)) or len(input_shape) != 3:
        raise ValueError(f"input_shape must be (height, width, channels), got {input_shape!r}.")
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


def _checked_weights(weights: str | os.PathLike) -> str:
    path = os.fspath(weights)
    if not path.endswith((".h5", ".hdf5", ".keras")):
        raise ValueError(
            f"weights must be None, 'imagenet', or a .weights.h5, .keras or .h5 file, got {path!r}."
        )
    if not os.path.isfile(path):
        raise ValueError(f"No weights file at {path!r}.")
    return path
