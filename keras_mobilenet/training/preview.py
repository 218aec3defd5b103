"""A picture of augmented images, to look at before a training."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from PIL import Image

from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.batches import changed_images
from keras_mobilenet.training.data import ImageData

ROWS, VARIANTS = 6, 7
SMALLEST_CELL = 64
GAP = 4
WHITE = 255


def augmentation_preview(data: ImageData, augmentation: Augmentation, *, seed: int = 0) -> bytes:
    """Draws training images, a row each: as they are, then as they are shown in some epochs.

    Args:
        data: The images; the first of each class come first.
        augmentation: How they are changed.
        seed: The seed of what is drawn at random.

    Returns:
        A PNG file.

    Raises:
        DataError: If gray images shall change their colour.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> augmentation_preview(data, Augmentation.default())[1:4]
        b'PNG'
    """
    chosen = _one_of_each_class_first(data.train_labels)[:ROWS]
    # The rows' variants are changed as one batch, so that mixup shows as it does in training.
    columns = [data.train_pixels[chosen]]
    columns += [
        _pixels(images) for images in changed_images(data, augmentation, seed, chosen, VARIANTS)
    ]
    scale = max(1, -(-SMALLEST_CELL // data.train_pixels.shape[1]))
    cells = [np.kron(column, np.ones((1, scale, scale, 1), np.uint8)) for column in columns]
    edge = ((0, 0), (0, GAP), (0, GAP), (0, 0))
    framed = [np.pad(column, edge, constant_values=WHITE) for column in cells]
    sheet = np.concatenate([np.concatenate(list(column)) for column in framed], axis=1)
    file = io.BytesIO()
    Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet).save(file, "png")
    return file.getvalue()


def _one_of_each_class_first(labels: np.ndarray) -> np.ndarray:
    by_class = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_class], return_index=True, return_counts=True)
    place_in_class = np.arange(len(labels)) - np.repeat(starts, counts)
    return by_class[np.argsort(place_in_class, kind="stable")]


def _pixels(images: tf.Tensor) -> np.ndarray:
    return np.clip(np.round(images.numpy() * 128.0 + 128.0), 0, 255).astype(np.uint8)
