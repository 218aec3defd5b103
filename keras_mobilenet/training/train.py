"""The training job: MobileNetV1 float, then quantization-aware, in one `model.fit`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import keras

from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.quantization import QuantizationAwareTraining
from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.batches import augmented_batches
from keras_mobilenet.training.data import ImageData

PEAK_LEARNING_RATE = 2e-3
QAT_LEARNING_RATE = 3e-4


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A quantization-aware model and what its training measured.

    Attributes:
        model: The Keras model, with trained ranges.
        float_accuracy: The accuracy on the validation images after the last float epoch, 0 to 1.
        qat_accuracy: The accuracy on the validation images of int8 inference, 0 to 1.
    """

    model: keras.Model
    float_accuracy: float
    qat_accuracy: float


def learning_rate(epoch: int, float_epochs: int, qat_epochs: int) -> float:
    """Computes a cosine decay over the float epochs, then a smaller one over the QAT epochs.

    Args:
        epoch: The epoch, counted from 0.
        float_epochs: The number of float epochs.
        qat_epochs: The number of epochs with fake quantization.

    Returns:
        The learning rate of the epoch.

    Example:
        >>> learning_rate(0, 10, 5), learning_rate(10, 10, 5)
        (0.002, 0.0003)
    """
    if epoch < float_epochs:
        peak, done = PEAK_LEARNING_RATE, epoch / float_epochs
    else:
        peak, done = QAT_LEARNING_RATE, (epoch - float_epochs) / max(qat_epochs, 1)
    return 0.5 * peak * (1.0 + math.cos(math.pi * done))


def train(
    data: ImageData,
    *,
    alpha: float = 0.25,
    float_epochs: int = 30,
    qat_epochs: int = 8,
    augmentation: Augmentation | None = None,
    seed: int = 0,
    verbose: int | str = "auto",
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> TrainedModel:
    """Trains MobileNetV1 on images, float first, then with int8 fake quantization.

    Args:
        data: The images; their shape sets the model's input.
        alpha: The width multiplier, 0 < alpha <= 1.
        float_epochs: The number of float epochs, at least 1.
        qat_epochs: The number of epochs with fake quantization, at least 1.
        augmentation: How images are changed; None for `Augmentation.default()`.
        seed: The seed of weights, augmentation and batch order.
        verbose: The verbosity of `model.fit`.
        callbacks: More Keras callbacks; they see the accuracy after each epoch.

    Returns:
        The `TrainedModel`.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> trained = train(data, alpha=0.1, float_epochs=1, qat_epochs=1, verbose=0)
        >>> 0 <= trained.qat_accuracy <= 1
        True
    """
    if float_epochs < 1 or qat_epochs < 1:
        raise ValueError(
            f"float_epochs and qat_epochs must be at least 1, got {float_epochs} and {qat_epochs}."
        )
    keras.utils.set_random_seed(seed)
    model = MobileNetV1(
        data.train_pixels.shape[1:],
        alpha,
        classes=len(data.class_names),
        padding="same",
        name="mobilenet_v1",
    )
    _compile(model)
    history = model.fit(
        augmented_batches(data, seed, augmentation=augmentation),
        epochs=float_epochs + qat_epochs,
        validation_data=(data.validation_inputs(), data.validation_labels),
        callbacks=[
            QuantizationAwareTraining(start_epoch=float_epochs),
            keras.callbacks.LearningRateScheduler(
                lambda epoch: learning_rate(epoch, float_epochs, qat_epochs)
            ),
            *callbacks,
        ],
        verbose=verbose,
        shuffle=False,  # the data set shuffles itself
    ).history
    return TrainedModel(
        model, history["val_accuracy"][float_epochs - 1], history["val_accuracy"][-1]
    )


def _compile(model: keras.Model) -> None:
    # XLA takes longer to compile these small graphs on a CPU than it saves.
    model.compile(
        keras.optimizers.Adam(PEAK_LEARNING_RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
