"""What is drawn at random in an epoch follows from the epoch's number: a training can go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


class EpochSeeds(keras.callbacks.Callback):
    """Gives each epoch an order of the images and seeds of its own, which its number decides.

    Args:
        seed: The seed of all epochs.
    """

    def __init__(self, seed: int):
        super().__init__()
        self.seed, self.epoch = seed, 0
        self._generators: list[keras.random.SeedGenerator] = []

    def order(self, count: int, repeats: int = 1) -> tf.data.Dataset:
        """Makes a data set of the numbers of the images in the order of the epoch.

        Args:
            count: The number of images.
            repeats: How often each image is shown in an epoch.

        Returns:
            A data set of int64 numbers from 0 to `count - 1`, drawn anew in each epoch.

        Example:
            >>> len(list(EpochSeeds(0).order(5, repeats=2)))
            10
        """

        def numbers() -> Iterator[np.ndarray]:
            rng = np.random.default_rng((self.seed, self.epoch))
            yield np.concatenate([rng.permutation(count) for _ in range(repeats)])

        made = tf.data.Dataset.from_generator(
            numbers, output_signature=tf.TensorSpec((count * repeats,), tf.int64)
        )
        return made.unbatch().apply(tf.data.experimental.assert_cardinality(count * repeats))

    def follow(self, layers: Sequence[keras.layers.Layer]) -> None:
        """Lets random layers draw what the epoch's number decides.

        Args:
            layers: The layers.
        """
        for layer in layers:
            for part in vars(layer).values():
                if isinstance(part, keras.random.SeedGenerator):
                    self._generators.append(part)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Draws the epoch's order and seeds."""
        self.epoch = epoch
        rng = np.random.default_rng((self.seed, epoch, 1))
        for generator in self._generators:
            generator.state.assign(rng.integers(0, 2**31, 2).astype(generator.state.dtype))
