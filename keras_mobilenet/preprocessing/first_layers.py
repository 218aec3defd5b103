"""What Keras models do to raw pixels themselves: augmentation, Rescaling, Normalization."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers, ops

from keras_mobilenet.preprocessing.preprocessing import Preprocessing

AUGMENTATIONS = tuple(
    getattr(layers, name)
    for name in (
        "GaussianDropout",
        "GaussianNoise",
        "RandomBrightness",
        "RandomColorDegeneration",
        "RandomColorJitter",
        "RandomContrast",
        "RandomCrop",
        "RandomElasticTransform",
        "RandomErasing",
        "RandomFlip",
        "RandomGaussianBlur",
        "RandomGrayscale",
        "RandomHue",
        "RandomInvert",
        "RandomPerspective",
        "RandomPosterization",
        "RandomRotation",
        "RandomSaturation",
        "RandomSharpness",
        "RandomShear",
        "RandomTranslation",
        "RandomZoom",
    )
    # Each version of Keras has some more.
    if hasattr(layers, name)
)
"""Layers that change their input in training, and pass it on as it is in inference."""

LARGEST_SPAN = 16.0
"""Raw pixels, 0 to 255, are brought to a range of at most this; what was brought to [0, 1] before
the model has a standard deviation of about a quarter, and would exceed it."""


def affine_of(layer: layers.Layer) -> tuple[np.ndarray, np.ndarray]:
    """Reads a Rescaling or Normalization as `factor * x + offset`.

    Args:
        layer: The layer; a Normalization must be built.

    Returns:
        `(factor, offset)`: float64 arrays of no dimension, or of the shape that broadcasts with the
        layer's input.

    Example:
        >>> factor, offset = affine_of(layers.Rescaling(1 / 127.5, -1))
        >>> round(float(factor), 6), float(offset)
        (0.007843, -1.0)
    """
    if isinstance(layer, layers.Rescaling):
        return np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    mean, variance = (
        np.asarray(ops.convert_to_numpy(values), np.float64)
        for values in (layer.mean, layer.variance)
    )
    deviation = np.maximum(np.sqrt(variance), keras.config.epsilon())
    return (deviation, mean) if layer.invert else (1.0 / deviation, -mean / deviation)


def raw_pixels(model: keras.Model) -> Preprocessing | None:
    """Finds out whether a model reads raw pixels, since it brings them to scale itself.

    Args:
        model: The Keras model.

    Returns:
        The `Preprocessing` that makes pixels of 0 to 255; None if the model's first layer, behind
        augmentation, is no Rescaling or Normalization that reads such pixels.

    Example:
        >>> model = keras.Sequential([keras.Input((32, 32, 3)), layers.Rescaling(1 / 255)])
        >>> raw_pixels(model).std
        (1.0, 1.0, 1.0)
    """
    graph = getattr(model, "_functional", None) or model
    # A subclassed model has no graph to look at.
    if not hasattr(graph, "_nodes_by_depth") or len(graph.inputs) != 1:
        return None
    shape = tuple(graph.inputs[0].shape[1:])
    if len(shape) != 3 or shape[2] not in (1, 3) or None in shape:
        return None
    for layer in _first_layers(graph):
        if isinstance(layer, AUGMENTATIONS):
            continue
        if not isinstance(layer, (layers.Rescaling, layers.Normalization)) or not layer.built:
            return None
        factor, _ = affine_of(layer)
        if np.abs(factor).max() * 255 > LARGEST_SPAN:
            return None
        height, width, channels = shape
        return Preprocessing(height, width, channels, mean=0, std=1)
    return None


def _first_layers(graph: keras.Model) -> Iterator[layers.Layer]:
    """The layers from the input on, for as long as each is the only one to read the last."""
    tensor = graph.inputs[0]
    nodes = [node for nodes in graph._nodes_by_depth.values() for node in nodes]
    while True:
        readers = [n for n in nodes if not n.is_input and any(tensor is x for x in n.input_tensors)]
        if len(readers) != 1:
            return
        (node,) = readers
        inner = getattr(node.operation, "_functional", None) or node.operation
        if hasattr(inner, "_nodes_by_depth"):
            yield from _first_layers(inner)
        else:
            yield node.operation
        tensor = node.output_tensors[0] if len(node.output_tensors) == 1 else None
