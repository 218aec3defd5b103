"""MobileNetV1 as a Keras model, for every width and resolution multiplier."""

from __future__ import annotations

import os

import keras

from keras_mobilenet.models.ends import check_head, classifier, images, pooled, recorded
from keras_mobilenet.models.family import stacked
from keras_mobilenet.models.imagenet import imagenet_weights
from keras_mobilenet.models.padding import checked_padding
from keras_mobilenet.models.pretrained import MobileNetModel
from keras_mobilenet.models.stages import Stage, Stem
from keras_mobilenet.models.topology import BLOCKS, SMALLEST_SIDE, STEM_FILTERS
from keras_mobilenet.preprocessing.preprocessing import Preprocessing


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
    check_head(include_top, classes, pooling, dropout, classifier_activation)
    checked_padding(padding)
    inputs = images(
        input_shape, rho, input_tensor, smallest_side=SMALLEST_SIDE, channel_counts=(1, 3)
    )
    _, height, width, channels = inputs.shape
    x = stacked(
        recorded(inputs, preprocessing),
        Stem(STEM_FILTERS),
        [Stage(filters, strides=strides) for filters, strides in BLOCKS],
        alpha=alpha,
        activation=activation,
        padding=padding,
        depth_multiplier=depth_multiplier,
    )
    if include_top:
        x = classifier(x, classes, dropout, classifier_activation)
    elif pooling is not None:
        x = pooled(x, pooling)

    if name is None:
        name = f"mobilenet_v1_{alpha:g}_{height}x{width}".replace(".", "_")
    sources = keras.utils.get_source_inputs(inputs)
    model = MobileNetModel(sources[0] if len(sources) == 1 else sources, x, name=name)
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


def _checked_weights(weights: str | os.PathLike) -> str:
    path = os.fspath(weights)
    if not path.endswith((".h5", ".hdf5", ".keras")):
        raise ValueError(
            f"weights must be None, 'imagenet', or a .weights.h5, .keras or .h5 file, got {path!r}."
        )
    if not os.path.isfile(path):
        raise ValueError(f"No weights file at {path!r}.")
    return path
