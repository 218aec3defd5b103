"""The training job: float, then quantization-aware, in one course that may be cut and goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.quantization import QuantizationAwareTraining
from keras_mobilenet.quantization.weight_bits import WeightBits
from keras_mobilenet.training.backup import Backup, TrainingState
from keras_mobilenet.training.baselines import doubts
from keras_mobilenet.training.data import ImageData
from keras_mobilenet.training.epoch_seeds import EpochSeeds
from keras_mobilenet.training.evaluation import Evaluation, choose_threshold, evaluate
from keras_mobilenet.training.momentum import settle_within
from keras_mobilenet.training.progress import Progress
from keras_mobilenet.training.schedule import PEAK_LEARNING_RATE, LearningRates, rate_of

BATCH_SIZE = 32
IMAGES_PER_EPOCH = 1400
"""A smaller data set is repeated within an epoch: batch normalization needs some hundred steps for
its moving averages, however few images there are."""

BALANCED = "balanced"
PREDICTED_AT_ONCE = 256


class ChanceWarning(UserWarning):
    """Says that a trained network does no better than guessing."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A quantization-aware model and what its training measured.

    Attributes:
        model: The Keras model of the best int8 epoch, with trained ranges.
        history: The figures of each epoch, by name: `loss`, `accuracy`, `val_loss`,
            `val_accuracy`, `learning_rate`.
        best_epoch: The int8 epoch with the best validation accuracy, counted from 0.
        float_epochs: The number of float epochs; an early stop makes it smaller.
        float_validation_accuracy: The accuracy on the validation images before int8, 0 to 1.
        float_test_accuracy: The accuracy on the test images before int8, 0 to 1.
        validation_accuracy: The accuracy of int8 inference, simulated, on the validation images,
            which chose the epoch, 0 to 1.
        evaluation: What int8 inference, simulated, makes of the test images.
    """

    model: keras.Model
    history: dict[str, list[float]]
    best_epoch: int
    float_epochs: int
    float_validation_accuracy: float
    float_test_accuracy: float
    validation_accuracy: float
    evaluation: Evaluation


def train(
    data: ImageData,
    *,
    model: keras.Model | None = None,
    alpha: float = 0.25,
    float_epochs: int = 30,
    qat_epochs: int = 8,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = PEAK_LEARNING_RATE,
    mirror: bool = False,
    class_weights: Mapping[int, float] | str | None = None,
    patience: int | None = None,
    weight_bits: WeightBits = 8,
    seed: int = 0,
    verbose: int | str = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    backup: pathlib.Path | None = None,
) -> TrainedModel:
    """Trains a network on images, float first, then with int8 fake quantization.

    Args:
        data: The images; their shape sets the model's input. The validation images choose the
            epoch; the test images are looked at when all is chosen.
        model: The Keras model to train, from images to the scores of the classes, such as
            `keras_mobilenet.MobileNet` makes; None for a `MobileNetV1`.
        alpha: The width multiplier of the `MobileNetV1`, 0 < alpha <= 1.
        float_epochs: The number of float epochs, at least 1.
        qat_epochs: The number of epochs with fake quantization, at least 1.
        batch_size: The number of images of a step.
        learning_rate: The learning rate of the first epoch; it falls along a cosine.
        mirror: Whether images are also shown mirrored. It helps where a mirrored image keeps its
            label, as faces do; text, arrows and digits do not.
        class_weights: What an image of each class counts, by label; `"balanced"` for as much for
            all classes together; None for the same for all images.
        patience: The number of epochs without a better validation accuracy after which the float
            epochs end early, with the best of them, and the int8 epochs as well; None for never.
        weight_bits: The bits of a weight: 8, 4, or a dict of them by layer name.
        seed: The seed of weights, augmentation and batch order.
        verbose: The verbosity of `model.fit`.
        callbacks: More Keras callbacks; they see the accuracy after each epoch.
        backup: A folder for the state after each epoch, from which the same call goes on; None for
            none.

    Returns:
        The `TrainedModel`.

    Raises:
        ValueError: If an argument is out of range, the model does not belong to the images, or
            the folder holds the backup of another training.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> trained = train(data, alpha=0.1, float_epochs=1, qat_epochs=1, verbose=0)
        >>> 0 <= trained.evaluation.accuracy <= 1
        True
    """
    counts = {"float_epochs": float_epochs, "qat_epochs": qat_epochs, "batch_size": batch_size}
    _check(learning_rate, counts | ({} if patience is None else {"patience": patience}))
    keras.utils.set_random_seed(seed)
    if model is None:
        shape, classes = data.train_pixels.shape[1:], len(data.class_names)
        model = MobileNetV1(shape, alpha, classes=classes, padding="same", name="mobilenet_v1")
    _check_model(model, data)
    options = (learning_rate, mirror, class_weights, weight_bits, seed)
    store = None if backup is None else Backup(backup, _purpose(data, model, counts, options))
    state = (store and store.read()) or TrainingState(epoch=0, float_epochs=float_epochs)
    if class_weights == BALANCED:
        class_weights = data.class_weights()
    quantizing = QuantizationAwareTraining(state.float_epochs, weight_bits=weight_bits)
    progress = Progress(
        state,
        qat_epochs=qat_epochs,
        quantizing=quantizing,
        patience=patience,
        measure_float=lambda model: _accuracy(model, data.test_inputs(), data.test_labels),
        backup=store,
    )
    seeds = EpochSeeds(seed)
    batches = augmented_batches(data, seed, mirror=mirror, batch_size=batch_size, seeds=seeds)
    settle_within(model, len(batches) * float_epochs)
    _compile(model)
    model.fit(
        batches,
        initial_epoch=state.epoch,
        epochs=progress.epochs,
        validation_data=(data.validation_inputs(), data.validation_labels),
        class_weight=class_weights,
        callbacks=[
            quantizing,
            seeds,
            LearningRates(
                lambda epoch: rate_of(epoch, state.float_epochs, qat_epochs, learning_rate)
            ),
            progress,
            *callbacks,
        ],
        verbose=verbose,
        shuffle=False,  # the data set shuffles itself
    )
    return _judged(model, state, data)


def _judged(model: keras.Model, state: TrainingState, data: ImageData) -> TrainedModel:
    """The model of the best int8 epoch, and what it makes of the test images."""
    model.set_weights(state.best_weights)
    least_byte = None
    if len(data.class_names) == 2:
        scores = _predicted(model, data.validation_inputs())
        least_byte = choose_threshold(scores[:, 1], data.validation_labels)
    evaluation = evaluate(
        _predicted(model, data.test_inputs()),
        data.test_labels,
        data.class_names,
        least_byte=least_byte,
    )
    for doubt in doubts(evaluation):
        warnings.warn(doubt, ChanceWarning, stacklevel=3)
    return TrainedModel(
        model=model,
        history=state.history,
        best_epoch=state.best_epoch,
        float_epochs=state.float_epochs,
        float_validation_accuracy=state.float_validation_accuracy,
        float_test_accuracy=state.float_test_accuracy,
        validation_accuracy=state.best_accuracy,
        evaluation=evaluation,
    )


def _check(learning_rate: float, counts: dict[str, int]) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be at least 1, got {count!r}.")
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate must be positive, got {learning_rate!r}.")


def _check_model(model: keras.Model, data: ImageData) -> None:
    """A model of other images would fail in the middle of Keras."""
    shapes = model.input_shape[1:], model.output_shape[1:]
    wanted = data.train_pixels.shape[1:], (len(data.class_names),)
    if shapes != wanted:
        raise ValueError(
            f"The model makes {shapes[1]} scores of images {shapes[0]}; these images are "
            f"{wanted[0]} of {wanted[1][0]} classes."
        )


def _purpose(data: ImageData, model: keras.Model, *options: object) -> str:
    """What tells this training from others."""
    network = [(type(w).__name__, tuple(w.shape)) for w in model.weights]
    kinds = [type(layer).__name__ for layer in model.layers]
    text = repr((data.digest, network, kinds, options))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _predicted(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    return model.predict(inputs, batch_size=PREDICTED_AT_ONCE, verbose=0)


def _accuracy(model: keras.Model, inputs: np.ndarray, labels: np.ndarray) -> float:
    return float((_predicted(model, inputs).argmax(axis=1) == labels).mean())


def _compile(model: keras.Model) -> None:
    # XLA takes longer to compile these small graphs on a CPU than it saves.
    model.compile(
        keras.optimizers.Adam(PEAK_LEARNING_RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )


def augmented_batches(
    data: ImageData,
    seed: int,
    *,
    mirror: bool = False,
    batch_size: int = BATCH_SIZE,
    seeds: EpochSeeds | None = None,
) -> tf.data.Dataset:
    """Makes shuffled batches, with each image a little shifted, turned and scaled in every epoch.

    Args:
        data: The images.
        seed: The seed of the order and the augmentation.
        mirror: Whether an image is mirrored every other time.
        batch_size: The number of images of a batch.
        seeds: The callback that tells which epoch it is; None for one epoch after another.

    Returns:
        A data set of `(images, labels)` batches: one epoch.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> images, labels = next(iter(augmented_batches(data, seed=0)))
        >>> tuple(images.shape), tuple(labels.shape)
        ((32, 32, 32, 1), (32,))
    """
    steps = [
        keras.layers.RandomTranslation(0.08, 0.08, fill_mode="nearest", seed=seed),
        keras.layers.RandomRotation(0.03, fill_mode="nearest", seed=seed + 1),
        keras.layers.RandomZoom(0.1, 0.1, fill_mode="nearest", seed=seed + 2),
    ]
    if mirror:
        steps.append(keras.layers.RandomFlip("horizontal", seed=seed + 3))
    seeds = EpochSeeds(seed) if seeds is None else seeds
    seeds.follow(steps)
    augmentation = keras.Sequential(steps)
    inputs = tf.constant(data.train_inputs())
    labels = tf.constant(data.train_labels.astype(np.int32))
    return (
        seeds.order(len(labels), math.ceil(IMAGES_PER_EPOCH / len(labels)))
        .batch(batch_size)
        .take(math.ceil(max(IMAGES_PER_EPOCH, len(labels)) / batch_size))
        .map(lambda numbers: (tf.gather(inputs, numbers), tf.gather(labels, numbers)))
        # One after the other: in parallel, which batch draws which numbers is a race.
        .map(lambda x, y: (augmentation(x, training=True), y))
        .prefetch(2)
    )
