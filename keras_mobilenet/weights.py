"""Weights from elsewhere: keras.applications, Keras 2 files, and .tflite files of any origin."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib

import h5py
import keras
import numpy as np

from keras_mobilenet.mobilenet_v1 import BLOCKS, STEM_FILTERS, MobileNetV1, mobilenet_v1_filters
from keras_mobilenet.tflite_kernels import TfliteKernel, read_kernels

BATCH_NORM_EPSILON = 1e-3
KERNELS = 2 + 2 * len(BLOCKS)
"""The stem, two of each block, and the classifier."""


@dataclasses.dataclass(frozen=True)
class _Stage:
    """A convolution with what normalizes it, as Keras keeps them."""

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


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
    _assign(model, stages, last.kernel, last.bias)
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
    with _open(where) as file:
        if "model_config" not in file.attrs:
            raise ValueError(
                f"{where} holds weights alone: build the model and load them with "
                "MobileNetV1(..., weights=path)."
            )
        config = json.loads(file.attrs["model_config"])
        stages, kernel, bias = _read_h5(file, where)
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
    _assign(model, stages, kernel, bias)
    return model


def load_applications_h5(model: keras.Model, path: str | os.PathLike) -> None:
    """Loads an `.h5` file of keras.applications' MobileNet into ours.

    Args:
        model: A `MobileNetV1` of the same alpha, with or without its classifier.
        path: The file.

    Raises:
        ValueError: If the file's shapes are not the model's.

    Example:
        >>> official = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=2)
        >>> official.save("mobilenet.h5")
        >>> model = MobileNetV1((32, 32, 3), alpha=0.25, classes=2)
        >>> load_applications_h5(model, "mobilenet.h5")
        >>> ours, theirs = (m.get_layer("conv_preds").kernel for m in (model, official))
        >>> np.array_equal(np.ravel(ours), np.ravel(theirs))
        True
    """
    where = os.fspath(path)
    with _open(where) as file:
        stages, kernel, bias = _read_h5(file, where)
    has_top = any(layer.name == "conv_preds" for layer in model.layers)
    if has_top and kernel is None:
        raise ValueError(f"{where} has no classifier; build the model with include_top=False.")
    _assign(model, stages, kernel if has_top else None, bias)


def imagenet_file(alpha: float, side: int, include_top: bool) -> str:
    """Downloads the official ImageNet weights, or finds them in Keras's cache.

    Args:
        alpha: 0.25, 0.5, 0.75 or 1.0.
        side: 128, 160, 192 or 224, in pixels.
        include_top: Whether the classifier's weights are wanted.

    Returns:
        Path of the file.

    Raises:
        ValueError: If there are no weights for these.

    Example:
        >>> imagenet_file(0.3, 128, include_top=True)
        Traceback (most recent call last):
        ValueError: weights='imagenet' exist for alpha 0.25, 0.5, 0.75 and 1.0 at ...
    """
    from keras.src.applications.mobilenet import BASE_WEIGHT_PATH

    texts = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}
    if alpha not in texts or side not in (128, 160, 192, 224):
        raise ValueError(
            "weights='imagenet' exist for alpha 0.25, 0.5, 0.75 and 1.0 at 128, 160, 192 and 224 "
            f"pixels, not for alpha {alpha} at {side}."
        )
    name = f"mobilenet_{texts[alpha]}_{side}_tf{'' if include_top else '_no_top'}.h5"
    return keras.utils.get_file(name, BASE_WEIGHT_PATH + name, cache_subdir="models")


def _folded(kernel: TfliteKernel) -> _Stage:
    """A batch normalization that adds the bias and nothing else."""
    ones = np.ones(kernel.bias.shape)
    variance = ones - BATCH_NORM_EPSILON
    return _Stage(kernel.kernel, ones, kernel.bias, np.zeros(kernel.bias.shape), variance)


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


def _open(where: str) -> h5py.File:
    if not pathlib.Path(where).is_file():
        raise ValueError(f"No weights file at {where!r}.")
    try:
        return h5py.File(where, "r")
    except OSError as error:
        raise ValueError(f"{where} is not an HDF5 file.") from error


def _read_h5(file: h5py.File, where: str):
    """Stages in the order of the layers, and the classifier's kernel and bias, None if absent."""
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs:
        raise ValueError(f"{where} is not a weights file of Keras 2 or of keras.applications.")
    stages: list[_Stage] = []
    kernel, shift = None, 0.0
    for layer in group.attrs["layer_names"]:
        part = group[layer]
        arrays = [np.asarray(part[name]) for name in part.attrs["weight_names"]]
        if not arrays:
            continue
        if arrays[0].ndim == 1:
            gamma, beta, mean, variance = arrays
            # A bias before the normalization moves its mean.
            stages.append(_Stage(kernel, gamma, beta, mean - shift, variance))
            kernel, shift = None, 0.0
        elif kernel is None:
            kernel = arrays[0]
            shift = arrays[1] if len(arrays) > 1 else np.zeros(kernel.shape[-1])
        else:
            raise ValueError(f"{where} is no MobileNetV1: two kernels without a normalization.")
    if len(stages) != KERNELS - 1:
        raise ValueError(f"{where} is no MobileNetV1: it has {len(stages)} normalized kernels.")
    return stages, kernel, shift


def _assign(model: keras.Model, stages: list[_Stage], kernel, bias) -> None:
    targets = [
        stage
        for layer in model.layers
        if hasattr(layer, "fusable_stages")
        for stage in layer.fusable_stages()
    ]
    for (convolution, batch_norm, _), stage in zip(targets, stages, strict=True):
        expected = tuple(convolution.kernel.shape)
        if stage.kernel.shape != expected:
            raise ValueError(
                f"{convolution.name} takes a kernel of {expected}, the file has "
                f"{stage.kernel.shape}: another alpha, or another number of input channels."
            )
        convolution.set_weights([stage.kernel])
        batch_norm.set_weights([stage.gamma, stage.beta, stage.mean, stage.variance])
    if kernel is not None:
        target = model.get_layer("conv_preds")
        if kernel.shape[-1] != target.kernel.shape[-1]:
            raise ValueError(
                f"The file has {kernel.shape[-1]} classes, the model {target.kernel.shape[-1]}."
            )
        target.set_weights([kernel.reshape(target.kernel.shape), bias])
