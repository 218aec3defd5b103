"""The stages of a training, each a `model.fit` over the epochs that are left of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.batches import augmented_batches, steps_per_epoch
from keras_mobilenet.training.data import ImageData
from keras_mobilenet.training.momentum import settle_within
from keras_mobilenet.training.progress import Progress
from keras_mobilenet.training.schedule import THAWED_SHARE, LearningRates, rate_of
from keras_mobilenet.training.transfer import body, frozen


@dataclasses.dataclass(frozen=True, kw_only=True)
class Course:
    """What all stages of a training have in common.

    Attributes:
        model: The Keras model.
        data: The images.
        progress: The callback that knows how far the training is.
        augmentation: How images are changed; None for the default.
        batch_size: The number of images of a step.
        class_weights: What an image of each class counts, by label; None for the same.
        seed: The seed of augmentation and batch order.
        verbose: The verbosity of `model.fit`.
        callbacks: The user's callbacks.
    """

    model: keras.Model
    data: ImageData
    progress: Progress
    augmentation: Augmentation | None
    batch_size: int
    class_weights: Mapping[int, float] | None
    seed: int
    verbose: int | str
    callbacks: Sequence[keras.callbacks.Callback]

    def run(self, learning_rate: float) -> None:
        """Trains all epochs that are left, those of the classifier alone first.

        Args:
            learning_rate: The learning rate of the first epoch.
        """
        progress, state = self.progress, self.progress.state
        frozen_epochs, qat_epochs = progress.frozen_epochs, progress.qat_epochs
        steps = steps_per_epoch(len(self.data.train_labels), self.batch_size)
        settle_within(self.model, steps * state.float_epochs)
        if frozen_epochs and state.epoch <= frozen_epochs:
            with frozen(body(self.model)):
                self._fit(frozen_epochs, lambda epoch: learning_rate)
            progress.begin_stage()
        peak = learning_rate * (THAWED_SHARE if frozen_epochs else 1.0)
        self._fit(
            progress.epochs,
            lambda epoch: rate_of(
                epoch - frozen_epochs, state.float_epochs - frozen_epochs, qat_epochs, peak
            ),
            progress.quantizing,
        )

    def _fit(
        self, epochs: int, rate_of_epoch: Callable[[int], float], *first: keras.callbacks.Callback
    ) -> None:
        """Compiles the model as it is, and trains it up to an epoch."""
        data, epoch = self.data, self.progress.state.epoch
        is_mixed = self.augmentation is not None and self.augmentation.mixup > 0
        labels = data.validation_labels
        if is_mixed:
            labels = np.eye(len(data.class_names), dtype=np.float32)[labels]
        self.model.compile(
            keras.optimizers.Adam(rate_of_epoch(epoch)),
            f"{'' if is_mixed else 'sparse_'}categorical_crossentropy",
            metrics=["accuracy"],
            # XLA takes longer to compile these small graphs on a CPU than it saves.
            jit_compile=False,
        )
        self.model.fit(
            augmented_batches(
                data,
                self.seed,
                augmentation=self.augmentation,
                batch_size=self.batch_size,
                first_epoch=epoch,
            ),
            initial_epoch=epoch,
            epochs=epochs,
            validation_data=(data.validation_inputs(), labels),
            class_weight=self.class_weights,
            callbacks=[*first, LearningRates(rate_of_epoch), self.progress, *self.callbacks],
            verbose=self.verbose,
            shuffle=False,  # the data set shuffles itself
        )
