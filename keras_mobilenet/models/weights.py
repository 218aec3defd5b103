"""Weights from elsewhere: keras.applications, Keras 2 files, and .tflite files of any origin."""

from __future__ import annotations

import json
import os

import keras
import numpy as np

from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.models.pretrained import Stage, assign_stages, open_h5, read_h5
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
        biases.

    Raises:
        ValueError: If the file is no .tflite, or its layers are not those of MobileNetV1.

    Example:
        >>> import edge
        >>> model = MobileNetV1((32, 32, 3), 0.25, classes=2, classifier_activation=None)
        >>> noise = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
        >>> _ = pathlib.Path("mobilenet.tflite").write_bytes(edge.convert(model, noise))
        >>> from_tflite("mobilenet.tflite").name
        'mobilenet_v1_0_25_32x32'
    """
    shape, kernels = read_kernels(path)
    where = os.fspath(path)
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
    stages = [_folded(k) for k in kernels[:-1]]
    last = kernels[-1]
    model = MobileNetV1(
        shape,
        _alpha_of([k.kernel.shape[-1] for k in kernels[:-1] if k.kind == "conv"], where),
        classes=last.kernel.shape[-1],
        activation=activations.pop(),
        preprocessing=None,  # the file does not say
    )
    assign_stages(model, stages, last.kernel, last.bias)
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
        stages, kernel, bias = read_h5(file, where)
    layers = config["config"]["layers"]
    shape = layers[0]["config"].get("batch_input_shape") or layers[0]["config"]["batch_shape"]
    if kernel is None:
        raise ValueError(f"{where} has no classifier.")
    model = MobileNetV1(
        tuple(shape[1:]),
        _alpha_of([stages[0].kernel.shape[-1], *(s.kernel.shape[-1] for s in stages[2::2])], where),
        classes=kernel.shape[-1],
        activation=_activation_of(layers),
        preprocessing=None,  # the file does not say
    )
    assign_stages(model, stages, kernel, bias)
    return model


def _folded(kernel: TfliteKernel) -> Stage:
    """A batch normalization that adds the bias and nothing else."""
    ones = np.ones(kernel.bias.shape)
    variance = ones - BATCH_NORM_EPSILON
    return Stage(kernel.kernel, ones, kernel.bias, np.zeros(kernel.bias.shape), variance)


def _alpha_of(filters: list[int], where: str) -> float:
    """The narrowest multiplier that gives these channels."""
    base = (STEM_FILTERS, *(f for f, _ in BLOCKS))
    if len(filters) != len(base):
        raise ValueError(f"{where} is no MobileNetV1: it has {len(filters)} stages.")
    alpha = max(count / whole for count, whole in zip(filters, base, strict=True))
    if not 0 < alpha <= 1 or mobilenet_v1_filters(alpha) != list(filters):
        raise ValueError(f"{where} is no MobileNetV1 of one alpha: its channels are {filters}.")
    return alpha


def _activation_of(layers: list[dict]) -> str:
    """Keras 2 has relu6 as a ReLU layer with a maximum."""
    for layer in layers:
        if layer["class_name"] == "ReLU":
            return "relu6" if layer["config"].get("max_value") == 6.0 else "relu"
    return "relu"
