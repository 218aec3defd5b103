"""Weights from elsewhere: keras.applications, Keras 2 files, and .tflite files of any origin."""

from __future__ import annotations

import dataclasses
import json
import os

import keras
import numpy as np

from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.models.pretrained import (
    Stage,
    TrainedWeights,
    assign_weights,
    open_h5,
    read_h5,
)
from keras_mobilenet.models.tflite_kernels import TfliteKernel, read_kernels
from keras_mobilenet.models.topology import BLOCKS, STEM_FILTERS, mobilenet_v1_filters

BATCH_NORM_EPSILON = 1e-3


def from_tflite(path: str | os.PathLike) -> keras.Model:
    """Rebuilds a float Keras model from any MobileNetV1 .tflite.

    Args:
        path: A file with float, int8 (per channel) or uint8 (per tensor) kernels; alpha, the
            resolution and the number of classes follow from its shapes.

    Returns:
        A `MobileNetV1` whose kernels are the file's numbers; its batch normalizations hold the
        biases. They are not trainable: the file has no statistics of batches, and those of a few
        batches in their place would ruin the network. Kernels and classifier train.

    Raises:
        ValueError: If the file is no .tflite, or its layers are not those of MobileNetV1.

    Example:
        >>> import pathlib
        >>> import edge
        >>> model = MobileNetV1((32, 32, 3), 0.25, classes=2, classifier_activation=None)
        >>> noise = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
        >>> _ = pathlib.Path("mobilenet.tflite").write_bytes(edge.convert(model, noise))
        >>> from_tflite("mobilenet.tflite").name
        'mobilenet_v1_0_25_32x32'
    """
    shape, kernels = read_kernels(path)
    where = os.fspath(path)
    if kernels and kernels[0].kind == "depthwise" and kernels[0].kernel.shape[2] == 1:
        # Of a gray image, a convolution is a depthwise convolution as well.
        kernels[0] = dataclasses.replace(kernels[0], kind="conv")
    if [k.kind for k in kernels[:-1]] != ["conv", *["depthwise", "conv"] * len(BLOCKS)]:
        raise ValueError(
            f"{where} is no MobileNetV1: it has {len(kernels)} kernels, "
            f"{', '.join(k.kind for k in kernels[:4])}, ..."
        )
    strides = [k.strides for k in kernels[:-1]]
    if strides != [2, *(step for _, s in BLOCKS for step in (s, 1))]:
        raise ValueError(f"{where} is no MobileNetV1: its strides are {strides}.")
    activations = {k.activation for k in kernels[:-1]}
    if len(activations) != 1 or None in activations:
        raise ValueError(f"{where} is no MobileNetV1: its activations are {activations}.")
    strided = [k for k in kernels if k.kind == "depthwise" and k.strides == 2]
    last = kernels[-1]
    model = MobileNetV1(
        shape,
        alpha_of([k.kernel.shape[-1] for k in kernels[:-1] if k.kind == "conv"], where),
        depth_multiplier=strided[0].kernel.shape[-1],
        classes=last.kernel.shape[-1],
        padding="same" if all(k.padding == "same" for k in strided) else "valid",
        activation=activations.pop(),
        preprocessing=None,  # the file does not say
    )
    stages = [_folded(k) for k in kernels[:-1]]
    assign_weights(model, TrainedWeights(where, stages, last.kernel, last.bias))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    return model


def from_h5(path: str | os.PathLike) -> keras.Model:
    """Rebuilds a MobileNetV1 from a whole model that Keras 2 saved, such as MLPerf Tiny's.

    Args:
        path: An `.h5` file with the model's configuration.

    Returns:
        A `MobileNetV1` with the file's weights and outputs.

    Raises:
        ValueError: If the file has no configuration, or is no MobileNetV1.

    Example:
        >>> official = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=2)
        >>> official.save("mobilenet.h5")
        >>> from_h5("mobilenet.h5").name
        'mobilenet_v1_0_25_32x32'
    """
    where = os.fspath(path)
    with open_h5(where) as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                f"{where} holds weights alone: build the model and load them with "
                "MobileNetV1(..., weights=path)."
            )
        config = json.loads(file.attrs["model_config"])
        trained = read_h5(file, where)
    layers = config["config"]["layers"]
    shape = layers[0]["config"].get("batch_input_shape") or layers[0]["config"]["batch_shape"]
    if trained.kernel is None:
        raise ValueError(f"{where} has no classifier.")
    # The stem, and the pointwise half of each block.
    convolutions = [trained.stages[0], *trained.stages[2::2]]
    model = MobileNetV1(
        tuple(shape[1:]),
        alpha_of([stage.kernel.shape[-1] for stage in convolutions], where),
        depth_multiplier=trained.stages[1].kernel.shape[-1],
        classes=trained.kernel.shape[-1],
        padding=_padding_of(layers),
        activation=_activation_of(layers),
        preprocessing=None,  # the file does not say
    )
    assign_weights(model, trained)
    return model


def _folded(kernel: TfliteKernel) -> Stage:
    """A batch normalization that adds the bias and nothing else."""
    ones = np.ones(kernel.bias.shape)
    return Stage(
        kernel=kernel.kernel,
        gamma=ones,
        beta=kernel.bias,
        mean=np.zeros(kernel.bias.shape),
        variance=ones - BATCH_NORM_EPSILON,
    )


def alpha_of(filters: list[int], where: str) -> float:
    """Finds the narrowest width multiplier that gives a MobileNetV1 these channels.

    Args:
        filters: The number of output channels of the stem and of each block.
        where: The path of their file, for messages.

    Returns:
        The width multiplier, 0 < alpha <= 1.

    Raises:
        ValueError: If no multiplier gives them.

    Example:
        >>> alpha_of([8, 16, 32, 32, 64, 64, 128, 128, 128, 128, 128, 128, 256, 256], "a.h5")
        0.25
    """
    base = (STEM_FILTERS, *(f for f, _ in BLOCKS))
    if len(filters) != len(base):
        raise ValueError(f"{where} is no MobileNetV1: it has {len(filters)} stages.")
    alpha = max(count / whole for count, whole in zip(filters, base, strict=True))
    if not 0 < alpha <= 1 or mobilenet_v1_filters(alpha) != list(filters):
        raise ValueError(f"{where} is no MobileNetV1 of one alpha: its channels are {filters}.")
    return alpha


def _padding_of(layers: list[dict]) -> str:
    """How the strided blocks pad."""
    depthwise = [one["config"] for one in layers if one["class_name"] == "DepthwiseConv2D"]
    strided = (config for config in depthwise if max(config["strides"]) > 1)
    return "same" if all(config["padding"] == "same" for config in strided) else "valid"


def _activation_of(layers: list[dict]) -> str:
    """Keras 2 has relu6 as a ReLU layer with a maximum."""
    for layer in layers:
        if layer["class_name"] == "ReLU":
            return "relu6" if layer["config"].get("max_value") == 6.0 else "relu"
    return "relu"
