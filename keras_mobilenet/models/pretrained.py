"""Pretrained weights from files of keras.applications and of Keras 2."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import h5py
import keras
import numpy as np

from keras_mobilenet.models.topology import BLOCKS

KERNELS = 2 + 2 * len(BLOCKS)
"""The stem, two of each block, and the classifier."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A convolution with what normalizes it, as Keras keeps them."""

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


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
    with open_h5(where) as file:
        stages, kernel, bias = read_h5(file, where)
    has_top = any(layer.name == "conv_preds" for layer in model.layers)
    if has_top and kernel is None:
        raise ValueError(f"{where} has no classifier; build the model with include_top=False.")
    assign_stages(model, stages, kernel if has_top else None, bias)


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


def open_h5(where: str) -> h5py.File:
    if not pathlib.Path(where).is_file():
        raise ValueError(f"No weights file at {where!r}.")
    try:
        return h5py.File(where, "r")
    except OSError as error:
        raise ValueError(f"{where} is not an HDF5 file.") from error


def read_h5(file: h5py.File, where: str):
    """Stages in the order of the layers, and the classifier's kernel and bias, None if absent."""
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs:
        raise ValueError(f"{where} is not a weights file of Keras 2 or of keras.applications.")
    stages: list[Stage] = []
    kernel, shift = None, 0.0
    for layer in group.attrs["layer_names"]:
        part = group[layer]
        arrays = [np.asarray(part[name]) for name in part.attrs["weight_names"]]
        if not arrays:
            continue
        if arrays[0].ndim == 1:
            gamma, beta, mean, variance = arrays
            # A bias before the normalization moves its mean.
            stages.append(Stage(kernel, gamma, beta, mean - shift, variance))
            kernel, shift = None, 0.0
        elif kernel is None:
            kernel = arrays[0]
            shift = arrays[1] if len(arrays) > 1 else np.zeros(kernel.shape[-1])
        else:
            raise ValueError(f"{where} is no MobileNetV1: two kernels without a normalization.")
    if len(stages) != KERNELS - 1:
        raise ValueError(f"{where} is no MobileNetV1: it has {len(stages)} normalized kernels.")
    return stages, kernel, shift


def assign_stages(model: keras.Model, stages: list[Stage], kernel, bias) -> None:
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
