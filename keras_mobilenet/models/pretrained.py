"""Trained weights from files of keras.applications and of Keras 2."""

from __future__ import annotations

import dataclasses
import io
import os
import zipfile

import h5py
import keras
import numpy as np

from keras_mobilenet.models.block import Block
from keras_mobilenet.models.topology import BLOCKS

NORMALIZED_KERNELS = 1 + 2 * len(BLOCKS)
"""The stem, and two of each block."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """A convolution with what normalizes it, as Keras keeps them.

    Attributes:
        kernel: The convolution's kernel, (height, width, inputs, outputs), or depthwise
            (height, width, channels, multiplier).
        gamma: The normalization's scale, (outputs,).
        beta: The normalization's shift, (outputs,).
        mean: The moving mean, (outputs,).
        variance: The moving variance, (outputs,).
    """

    kernel: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    mean: np.ndarray
    variance: np.ndarray


@dataclasses.dataclass(frozen=True)
class TrainedWeights:
    """The weights of a MobileNetV1 that was made of single layers.

    Attributes:
        where: The path of their file.
        stages: The normalized kernels in the order of the layers.
        kernel: The classifier's kernel, or None if the model was saved without.
        bias: The classifier's bias, or None.
    """

    where: str
    stages: list[Stage]
    kernel: np.ndarray | None
    bias: np.ndarray | None


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class MobileNetModel(keras.Model):
    """A functional model of MobileNet's blocks that reads weights of single layers as well.

    Example:
        >>> from keras_mobilenet import MobileNetV1
        >>> official = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=2)
        >>> official.save("mobilenet.h5")
        >>> model = MobileNetV1((32, 32, 3), alpha=0.25, classes=2)
        >>> model.load_weights("mobilenet.h5", by_name=True)
        >>> ours, theirs = (m.get_layer("conv_preds").kernel for m in (model, official))
        >>> np.array_equal(np.ravel(ours), np.ravel(theirs))
        True
    """

    def load_weights(self, filepath, skip_mismatch=False, **kwargs):
        """Loads a file of this same model, of keras.applications, or of Keras 2.

        Args:
            filepath: The path of a `.keras`, `.weights.h5` or `.h5` file.
            skip_mismatch: Whether a layer of another shape in the file is passed over.
            **kwargs: Further arguments of `keras.Model.load_weights`. With `by_name=True`, for
                `.h5` files, a classifier that the file does not have stays as it is.

        Raises:
            ValueError: If the file's layers are not the model's.
        """
        trained = read_single_layers(filepath)
        has_blocks = any(isinstance(layer, Block) for layer in self.layers)
        if trained is None or not has_blocks:
            super().load_weights(filepath, skip_mismatch=skip_mismatch, **kwargs)
            return
        is_partial = bool(kwargs.get("by_name")) or skip_mismatch
        assign_weights(self, trained, is_partial=is_partial, skip_mismatch=skip_mismatch)


def read_single_layers(path: str | os.PathLike) -> TrainedWeights | None:
    """Reads a file of a MobileNetV1 made of single layers, such as keras.applications'.

    Args:
        path: The path of a `.keras`, `.weights.h5` or `.h5` file.

    Returns:
        Its weights; None if the file is of a model of this package.

    Raises:
        ValueError: If it is no such file, or another network's.

    Example:
        >>> keras.applications.MobileNet(alpha=0.25, weights=None).save_weights("m.weights.h5")
        >>> len(read_single_layers("m.weights.h5").stages)
        27
    """
    where = os.fspath(path)
    if where.endswith(".keras") and zipfile.is_zipfile(where):
        with zipfile.ZipFile(where) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content, "r") as file:
            return _read_keras_3(file, where)
    if not where.endswith((".h5", ".hdf5")) or not os.path.isfile(where):
        return None
    with open_h5(where) as file:
        if where.endswith(".weights.h5"):
            return _read_keras_3(file, where)
        group = file.get("model_weights", file)
        return None if "block_1" in group else read_h5(file, where)


def open_h5(where: str) -> h5py.File:
    """Opens an HDF5 file.

    Args:
        where: The path of the file.

    Returns:
        The open file.

    Raises:
        ValueError: If there is no such file, or it is of another format.

    Example:
        >>> open_h5("missing.h5")
        Traceback (most recent call last):
        ValueError: No weights file at 'missing.h5'.
    """
    if not os.path.isfile(where):
        raise ValueError(f"No weights file at {where!r}.")
    try:
        return h5py.File(where, "r")
    except OSError as error:
        raise ValueError(f"{where} is not an HDF5 file.") from error


def read_h5(file: h5py.File, where: str) -> TrainedWeights:
    """Reads the weights of an `.h5` file of Keras 2's format.

    Args:
        file: The open file of a whole model, or of weights alone.
        where: The path of the file, for messages.

    Returns:
        The weights.

    Raises:
        ValueError: If the file is no such file, or another network's.

    Example:
        >>> keras.applications.MobileNet(alpha=0.25, weights=None).save("mobilenet.h5")
        >>> with open_h5("mobilenet.h5") as file:
        ...     read_h5(file, "mobilenet.h5").kernel.shape
        (1, 1, 256, 1000)
    """
    group = file.get("model_weights", file)
    if "layer_names" not in group.attrs:
        raise ValueError(f"{where} is not a weights file of Keras 2 or of keras.applications.")
    parts = [group[name] for name in group.attrs["layer_names"]]
    arrays = [[np.asarray(part[name]) for name in part.attrs["weight_names"]] for part in parts]
    return _in_stages(arrays, where)


def _read_keras_3(file: h5py.File, where: str) -> TrainedWeights | None:
    """Keras 3 numbers the layers of each kind."""
    layers = file.get("layers", {})
    if "depthwise_conv2d" not in layers:
        return None
    order = [("conv2d", 0), ("batch_normalization", 0)]
    for block in range(len(BLOCKS)):
        order += [("depthwise_conv2d", block), ("batch_normalization", 2 * block + 1)]
        order += [("conv2d", block + 1), ("batch_normalization", 2 * block + 2)]
    order.append(("conv2d", len(BLOCKS) + 1))
    groups = (layers.get(f"{kind}_{number}" if number else kind) for kind, number in order)
    parts = [group["vars"] for group in groups if group is not None]
    return _in_stages([[np.asarray(p[str(i)]) for i in range(len(p))] for p in parts], where)


def _in_stages(layers: list[list[np.ndarray]], where: str) -> TrainedWeights:
    stages: list[Stage] = []
    kernel, bias = None, None
    for arrays in layers:
        if not arrays:
            continue
        if arrays[0].ndim == 1:
            if kernel is None or len(arrays) != 4:
                raise ValueError(f"{where} is no MobileNetV1: a normalization follows no kernel.")
            gamma, beta, mean, variance = arrays
            # A bias before the normalization moves its mean.
            stages.append(
                Stage(kernel=kernel, gamma=gamma, beta=beta, mean=mean - bias, variance=variance)
            )
            kernel, bias = None, None
        elif kernel is None:
            kernel = arrays[0]
            bias = arrays[1] if len(arrays) > 1 else np.zeros(kernel.shape[-1], kernel.dtype)
        else:
            raise ValueError(f"{where} is no MobileNetV1: two kernels without a normalization.")
    if len(stages) != NORMALIZED_KERNELS:
        raise ValueError(f"{where} is no MobileNetV1: it has {len(stages)} normalized kernels.")
    return TrainedWeights(where, stages, kernel, bias)


def assign_weights(
    model: keras.Model,
    trained: TrainedWeights,
    *,
    is_partial: bool = False,
    skip_mismatch: bool = False,
) -> None:
    """Gives a model of blocks the weights of single layers.

    Args:
        model: A `MobileNetV1`; without its classifier, the file's stays behind.
        trained: The weights.
        is_partial: Whether the model's classifier stays as it is if there are no weights for it.
        skip_mismatch: Whether a layer of another shape stays as it is.

    Raises:
        ValueError: If shapes differ, or there are no weights for the model's classifier.

    Example:
        >>> from keras_mobilenet import MobileNetV1
        >>> official = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, classes=2)
        >>> official.save("mobilenet.h5")
        >>> assign_weights(MobileNetV1((32, 32, 3), 0.5), read_single_layers("mobilenet.h5"))
        Traceback (most recent call last):
        ValueError: conv takes a kernel of (3, 3, 3, 16), the file has (3, 3, 3, 8): another ...
    """
    targets = [
        stage
        for layer in model.layers
        if isinstance(layer, Block)
        for stage in layer.fusable_stages()
    ]
    for (convolution, batch_norm, _), stage in zip(targets, trained.stages, strict=True):
        expected = tuple(convolution.kernel.shape)
        if stage.kernel.shape == expected:
            convolution.set_weights([stage.kernel])
            batch_norm.set_weights([stage.gamma, stage.beta, stage.mean, stage.variance])
        elif not skip_mismatch:
            raise ValueError(
                f"{convolution.name} takes a kernel of {expected}, the file has "
                f"{stage.kernel.shape}: another alpha, depth_multiplier or number of input "
                "channels."
            )
    head = next((layer for layer in model.layers if layer.name == "conv_preds"), None)
    if head is None:
        return
    if trained.kernel is None:
        if not is_partial:
            raise ValueError(
                f"{trained.where} has no classifier; build the model with include_top=False."
            )
    elif trained.kernel.shape[-2:] == head.kernel.shape[-2:]:
        head.set_weights([trained.kernel.reshape(head.kernel.shape), trained.bias])
    elif not skip_mismatch:
        raise ValueError(
            f"The file has {trained.kernel.shape[-1]} classes, the model {head.kernel.shape[-1]}."
        )
