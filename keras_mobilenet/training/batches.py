"""Shuffled, augmented batches, which depend on the seed and on the epoch's number alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.data import ImageData

BATCH_SIZE = 32
IMAGES_PER_EPOCH = 1400
"""A smaller data set is repeated within an epoch: batch normalization needs some hundred steps for
its moving averages, however few images there are."""

DRAWS_PER_STEP = 64
"""More than any layer draws for a batch."""


def augmented_batches(
    data: ImageData,
    seed: int,
    *,
    augmentation: Augmentation | None = None,
    batch_size: int = BATCH_SIZE,
    first_epoch: int = 0,
) -> tf.data.Dataset:
    """Makes shuffled batches, with each image changed anew in every epoch.

    Each pass over the data set is an epoch, and the next pass the next epoch. A training that goes
    on at `first_epoch` sees what one sees there that was not interrupted.

    Args:
        data: The images, of which the training images are taken.
        seed: The seed of the order and the augmentation.
        augmentation: The `Augmentation`; None for `Augmentation.default()`.
        batch_size: The number of images of a batch.
        first_epoch: The number of the first pass's epoch.

    Returns:
        A data set of `(images, labels)` batches: one epoch. With mixup the labels are shares, of
        shape (batch, classes); else they are classes, of shape (batch,).

    Raises:
        DataError: If gray images shall change their colour.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> images, labels = next(iter(augmented_batches(data, seed=0)))
        >>> tuple(images.shape), tuple(labels.shape)
        ((32, 32, 32, 1), (32,))
    """
    augmentation = augmentation or Augmentation.default()
    count, steps = len(data.train_labels), steps_per_epoch(len(data.train_labels), batch_size)
    change = _Changes(data, augmentation, seed)
    pixels = tf.constant(data.train_pixels)
    labels = tf.constant(data.train_labels.astype(np.int32))
    next_epoch = tf.Variable(first_epoch, dtype=tf.int64, trainable=False)

    def epoch_of_batches(_: tf.Tensor) -> tf.data.Dataset:
        epoch = next_epoch.assign_add(1) - 1
        order = [
            tf.random.experimental.stateless_shuffle(tf.range(count), [seed, epoch * 2**16 + turn])
            for turn in range(math.ceil(steps * batch_size / count))
        ]
        # All batches are whole: one of another size would be compiled for itself.
        shown = tf.concat(order, 0)[: steps * batch_size]
        return tf.data.Dataset.from_tensor_slices(shown).batch(batch_size).enumerate(epoch * steps)

    def batch(step: tf.Tensor, chosen: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images = tf.cast(tf.gather(pixels, chosen), tf.float32) / 128.0 - 1.0
        return change(images, tf.gather(labels, chosen), step)

    return (
        tf.data.Dataset.range(1)
        .flat_map(epoch_of_batches)
        # One after the other: in parallel, which batch draws which numbers is a race.
        .map(batch)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(2)
    )


def steps_per_epoch(image_count: int, batch_size: int = BATCH_SIZE) -> int:
    """Computes the number of batches of an epoch.

    Args:
        image_count: The number of training images.
        batch_size: The number of images of a batch.

    Returns:
        The number of batches.

    Example:
        >>> steps_per_epoch(144), steps_per_epoch(45_000, batch_size=128)
        (44, 352)
    """
    return math.ceil(max(IMAGES_PER_EPOCH, image_count) / batch_size)


def changed_images(
    data: ImageData, augmentation: Augmentation, seed: int, chosen: np.ndarray, count: int
) -> Iterator[tf.Tensor]:
    """Changes the same training images several times, as if each time were a batch.

    Args:
        data: The images.
        augmentation: How they are changed.
        seed: The seed of what is drawn at random.
        chosen: The indices of the training images, an int64 array of shape (images,).
        count: How many times.

    Yields:
        The changed images, a float32 tensor of shape (images, height, width, channels).

    Raises:
        DataError: If gray images shall change their colour.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> chosen = np.arange(3)
        >>> [tuple(x.shape) for x in changed_images(data, Augmentation(), 0, chosen, count=2)]
        [(3, 32, 32, 1), (3, 32, 32, 1)]
    """
    change = _Changes(data, augmentation, seed)
    inputs = tf.constant(data.train_inputs()[chosen])
    labels = tf.constant(data.train_labels[chosen].astype(np.int32))
    for images, _ in tf.data.Dataset.range(count).map(lambda step: change(inputs, labels, step)):
        yield images


class _Changes:
    """The layers, which begin to draw anew at each step."""

    def __init__(self, data: ImageData, augmentation: Augmentation, seed: int):
        self.shape = data.train_pixels.shape[1:]
        self.class_count = len(data.class_names)
        self.layers = augmentation.layers(self.shape[-1], seed)
        self.has_noise = augmentation.noise > 0
        alpha = augmentation.mixup
        self.mixup = keras.layers.MixUp(alpha, seed=seed) if alpha else None

    def __call__(
        self, images: tf.Tensor, labels: tf.Tensor, step: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        for layer in self.layers:
            _begin_at(layer, step)
            images = layer(images, training=True)
        if self.has_noise:
            images = tf.clip_by_value(images, -1.0, 1.0)
        if self.mixup is None:
            return images, labels
        _begin_at(self.mixup, step)
        shares = tf.one_hot(labels, self.class_count)
        mixed = self.mixup({"images": images, "labels": shares}, training=True)
        return tf.ensure_shape(mixed["images"], (None, *self.shape)), mixed["labels"]


def _begin_at(layer: keras.layers.Layer, step: tf.Tensor) -> None:
    generator = getattr(layer, "generator", None) or getattr(layer, "seed_generator", None)
    if generator is not None and keras.backend.backend() == "tensorflow":
        begin = tf.cast(step * DRAWS_PER_STEP, generator.state.dtype)
        generator.state.assign(tf.stack([generator.state[0], begin]))
