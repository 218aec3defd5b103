"""Transfer learning: a network whose body was trained on other images."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import keras
import numpy as np

from keras_mobilenet.models.block import Block
from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.models.pretrained import assign_weights, open_h5, read_single_layers
from keras_mobilenet.models.weights import alpha_of, from_h5, from_tflite
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense

DEFAULT_ALPHA = 0.25
KERNELS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.Dense)
NORM = keras.layers.BatchNormalization
SUFFIXES = (".tflite", ".keras", ".h5", ".hdf5")


def pretrained_network(
    weights: str | os.PathLike,
    shape: tuple[int, int, int],
    classes: int,
    *,
    model: keras.Model | None = None,
    alpha: float | None = None,
) -> keras.Model:
    """Makes a network for other images and classes whose body has trained weights.

    Args:
        weights: `"imagenet"` for those of keras.applications (downloaded once), or the path of a
            `.tflite`, `.keras` or `.h5` file.
        shape: The (height, width, channels) of the images, in pixels. Of weights for RGB, the first
            convolution's kernel is summed over its channels for gray images: the outputs are those
            of an image with the same gray in all three.
        classes: The number of classes.
        model: The network that takes the weights, its classifier apart; None for the file's own,
            if that is a MobileNetV1.
        alpha: The width multiplier of `"imagenet"`, 0.25 if None; another file's own must be the
            same.

    Returns:
        The model. Its batch normalizations are not trainable: their statistics are those of more
        images than there are now.

    Raises:
        ValueError: If there is no such file, or it is another network's.

    Example:
        >>> model = MobileNetV1((32, 32, 3), 0.25, classes=10)
        >>> model.save("rgb.keras")
        >>> pretrained_network("rgb.keras", (32, 32, 1), 2).output_shape
        (None, 2)
    """
    source = _source(weights, shape, alpha)
    if model is None:
        model = _like(source, shape, classes, alpha, weights)
    copy_body(source, model, os.fspath(weights))
    return model


def copy_body(source: keras.Model, target: keras.Model, where: str) -> None:
    """Gives a network the weights of another of the same body; classifiers stay.

    Args:
        source: The trained Keras model, float or quantization-aware.
        target: The Keras model that takes the weights.
        where: The source's name in messages.

    Raises:
        ValueError: If the bodies differ, other than in the stem's RGB where the target has gray.

    Example:
        >>> rgb, gray = (MobileNetV1((32, 32, n), 0.25, classes=2) for n in (3, 1))
        >>> copy_body(rgb, gray, "rgb")
        >>> first = [model.get_layer("conv1").conv.kernel for model in (rgb, gray)]
        >>> np.array_equal(np.sum(first[0], axis=2, keepdims=True), first[1])
        True
    """
    ours, theirs = body(target), body(source)
    if [_kind(layer) for layer in ours] != [_kind(layer) for layer in theirs]:
        raise ValueError(
            f"{where} is of another network: it has {len(theirs)} layers with weights before its "
            f"classifier, this one has {len(ours)}. Give the stages that it was made of."
        )
    pairs = []
    for number, (layer, other) in enumerate(zip(ours, theirs, strict=True)):
        arrays = other.get_weights()
        if number == 0 and layer.get_weights()[0].shape[2] == 1 and arrays[0].shape[2] == 3:
            arrays[0] = arrays[0].sum(axis=2, keepdims=True)
        shapes = [tuple(array.shape) for array in arrays]
        wanted = [tuple(array.shape) for array in layer.get_weights()]
        if shapes != wanted:
            raise ValueError(
                f"{where} is of another width or number of input channels: layer {number} has a "
                f"kernel of {shapes[0]}, this network's takes {wanted[0]}."
            )
        pairs.append((layer, arrays))
    for layer, arrays in pairs:
        layer.set_weights(arrays)
        if isinstance(layer, NORM):
            layer.trainable = False


@contextlib.contextmanager
def frozen(layers: Sequence[keras.layers.Layer]) -> Iterator[None]:
    """Keeps layers as they are while a model is compiled and trained.

    Args:
        layers: The layers; those that do not train anyway go on not doing so.

    Yields:
        Nothing; the layers train again when the block ends.

    Example:
        >>> layer = keras.layers.Dense(2)
        >>> with frozen([layer]):
        ...     layer.trainable
        False
    """
    trained = [layer for layer in layers if layer.trainable]
    for layer in trained:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in trained:
            layer.trainable = True


def body(model: keras.Model) -> list[keras.layers.Layer]:
    """Lists the layers with weights before the classifier.

    Args:
        model: The built Keras model.

    Returns:
        The convolutions, dense layers and batch normalizations in order.

    Example:
        >>> len(body(MobileNetV1((32, 32, 1), 0.25, classes=2)))
        54
    """
    leaves = list(_leaves(model.layers))
    # A network without its classifier ends with what normalizes its last convolution.
    return leaves if leaves and isinstance(leaves[-1], NORM) else leaves[:-1]


def _leaves(layers: Iterable[keras.layers.Layer | None]) -> Iterator[keras.layers.Layer]:
    for layer in layers:
        if isinstance(layer, (*KERNELS, NORM)):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _leaves(layer.layers)
        elif isinstance(layer, Block):
            for stage in layer.fusable_stages():
                yield from _leaves(stage)
        elif isinstance(layer, QuantizedConvolution):
            yield from _leaves((layer.convolution, layer.batch_norm))
        elif isinstance(layer, QuantizedDense):
            yield from _leaves((layer.dense, layer.batch_norm))


def _kind(layer: keras.layers.Layer) -> str:
    return next(kind.__name__ for kind in (*KERNELS, NORM) if isinstance(layer, kind))


def _source(
    weights: str | os.PathLike, shape: tuple[int, int, int], alpha: float | None
) -> keras.Model:
    where = os.fspath(weights)
    if where == "imagenet":
        sides = (*shape[:2], 3)
        width = DEFAULT_ALPHA if alpha is None else alpha
        return MobileNetV1(sides, width, include_top=False, weights="imagenet")
    if not where.endswith(SUFFIXES) or not pathlib.Path(where).is_file():
        known = f"'imagenet' or a file ({', '.join(SUFFIXES)})"
        raise ValueError(f"weights must be {known}, there is no {where!r}.")
    if where.endswith(".tflite"):
        return from_tflite(where)
    if where.endswith((".h5", ".hdf5")) and not where.endswith(".weights.h5"):
        with open_h5(where) as file:
            if "model_config" in file.attrs:
                return from_h5(where)
    trained = read_single_layers(where)
    if trained is None:
        return _loaded(where)
    filters = [stage.kernel.shape[-1] for stage in (trained.stages[0], *trained.stages[2::2])]
    channels = trained.stages[0].kernel.shape[2]
    multiplier = trained.stages[1].kernel.shape[-1]
    sides = (*shape[:2], channels)
    source = MobileNetV1(sides, alpha_of(filters, where), multiplier, include_top=False)
    assign_weights(source, trained)
    return source


def _loaded(where: str) -> keras.Model:
    if not where.endswith(".keras"):
        raise ValueError(f"{where} does not say what it is of: give the .keras file.")
    try:
        return keras.saving.load_model(where, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{where} cannot be loaded: {reason}") from error


def _like(
    source: keras.Model,
    shape: tuple[int, int, int],
    classes: int,
    alpha: float | None,
    weights: str | os.PathLike,
) -> keras.Model:
    """A MobileNetV1 of the source's width and borders."""
    names = {layer.name for layer in source.layers}
    options = {"padding": "same", "classes": classes, "name": "mobilenet_v1"}
    if not {"conv1", "block_13"} <= names:
        # A quantization-aware one, perhaps: those of `train` are of this kind.
        return MobileNetV1(shape, DEFAULT_ALPHA if alpha is None else alpha, **options)
    block = source.get_layer("block_1")
    if alpha is not None and not np.isclose(alpha, block.alpha):
        raise ValueError(f"{os.fspath(weights)} has alpha {block.alpha:g}, not {alpha:g}.")
    strided = source.get_layer("block_2")
    options |= {"padding": strided.padding, "activation": block.activation}
    return MobileNetV1(shape, block.alpha, block.depth_multiplier, **options)
