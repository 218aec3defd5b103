"""The training job: float, then quantization-aware, in one course that may be cut and goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.quantization import QuantizationAwareTraining
from keras_mobilenet.quantization.weight_bits import WeightBits
from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.backup import Backup, TrainingState
from keras_mobilenet.training.baselines import doubts
from keras_mobilenet.training.batches import BATCH_SIZE
from keras_mobilenet.training.course import Course
from keras_mobilenet.training.data import ImageData
from keras_mobilenet.training.evaluation import Evaluation, choose_threshold, evaluate
from keras_mobilenet.training.progress import Progress
from keras_mobilenet.training.schedule import PEAK_LEARNING_RATE
from keras_mobilenet.training.transfer import DEFAULT_ALPHA, body, pretrained_network

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
    alpha: float | None = None,
    float_epochs: int = 30,
    qat_epochs: int = 8,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = PEAK_LEARNING_RATE,
    augmentation: Augmentation | None = None,
    class_weights: Mapping[int, float] | str | None = None,
    patience: int | None = None,
    weights: str | os.PathLike | None = None,
    frozen_epochs: int | None = None,
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
        alpha: The width multiplier of the `MobileNetV1`, 0 < alpha <= 1; 0.25, or that of the
            weights, if None.
        float_epochs: The number of float epochs, at least 1.
        qat_epochs: The number of epochs with fake quantization, at least 1.
        batch_size: The number of images of a step.
        learning_rate: The learning rate of the first epoch; it falls along a cosine.
        augmentation: How images are changed; None for `Augmentation.default()`. With mixup, the
            loss is that of shares of the classes.
        class_weights: What an image of each class counts, by label; `"balanced"` for as much for
            all classes together; None for the same for all images.
        patience: The number of epochs without a better validation accuracy after which the float
            epochs end early, with the best of them, and the int8 epochs as well; None for never.
        weights: What the body begins with: `"imagenet"`, or the path of a `.tflite`, `.keras` or
            `.h5` file, as `pretrained_network` reads it; None for random weights.
        frozen_epochs: The number of the first float epochs that train the classifier alone, in
            front of a body that came trained; a third of them if None. Then all is trained, with a
            tenth of the learning rate.
        weight_bits: The bits of a weight: 8, 4, or a dict of them by layer name.
        seed: The seed of weights, augmentation and batch order.
        verbose: The verbosity of `model.fit`.
        callbacks: More Keras callbacks; they see the accuracy after each epoch.
        backup: A folder for the state after each epoch, from which the same call goes on; None for
            none.

    Returns:
        The `TrainedModel`.

    Raises:
        ValueError: If an argument is out of range, the model does not belong to the images, the
            folder holds the backup of another training, or one of the callbacks ends it in float.

    Example:
        >>> from keras_mobilenet import MobileNet
        >>> from keras_mobilenet.training.data import load_images
        >>> data = load_images("faces", side=32, channels=1)
        >>> model = MobileNet([(8, 3, 2)], (32, 32, 1), stem=(8, 3, 4), classes=2)
        >>> trained = train(data, model=model, float_epochs=1, qat_epochs=1, verbose=0)
        >>> trained.evaluation.accuracy > 0.5
        True
    """
    counts = {"float_epochs": float_epochs, "qat_epochs": qat_epochs, "batch_size": batch_size}
    _check(learning_rate, counts | ({} if patience is None else {"patience": patience}))
    frozen_epochs = _frozen_epochs(weights, frozen_epochs, float_epochs)
    keras.utils.set_random_seed(seed)
    model = _network(data, model, alpha, weights)
    purpose = (
        data.digest,
        _outline(model, weights),
        counts,
        learning_rate,
        augmentation,
        class_weights,
    )
    purpose += (patience, frozen_epochs, weight_bits, seed)
    store = None if backup is None else Backup(backup, _hashed(purpose))
    state = (store and store.read()) or TrainingState(epoch=0, float_epochs=float_epochs)
    quantizing = QuantizationAwareTraining(state.float_epochs, weight_bits=weight_bits)
    progress = Progress(
        state,
        qat_epochs=qat_epochs,
        frozen_epochs=frozen_epochs,
        quantizing=quantizing,
        patience=patience,
        measure_float=lambda model: _accuracy(model, data.test_inputs(), data.test_labels),
        backup=store,
    )
    course = Course(
        model=model,
        data=data,
        progress=progress,
        augmentation=augmentation,
        batch_size=batch_size,
        class_weights=data.class_weights() if class_weights == BALANCED else class_weights,
        seed=seed,
        verbose=verbose,
        callbacks=callbacks,
    )
    course.run(learning_rate)
    return _judged(model, state, data)


def _judged(model: keras.Model, state: TrainingState, data: ImageData) -> TrainedModel:
    """The model of the best int8 epoch, and what it makes of the test images."""
    if state.epoch <= state.float_epochs:
        raise ValueError(
            f"A callback ended the training after {state.epoch} of {state.float_epochs} float "
            "epochs, before those in int8; patience ends a stage and goes on with the next."
        )
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


def _frozen_epochs(
    weights: str | os.PathLike | None, frozen_epochs: int | None, float_epochs: int
) -> int:
    if frozen_epochs is None:
        return 0 if weights is None else float_epochs // 3
    if not 0 <= frozen_epochs <= float_epochs:
        raise ValueError(
            f"frozen_epochs must be from 0 to float_epochs={float_epochs}, got {frozen_epochs!r}."
        )
    return frozen_epochs


def _network(
    data: ImageData,
    model: keras.Model | None,
    alpha: float | None,
    weights: str | os.PathLike | None,
) -> keras.Model:
    """The model to train; one of other images would fail in the middle of Keras."""
    shape, classes = data.train_pixels.shape[1:], len(data.class_names)
    if model is None and weights is None:
        width = DEFAULT_ALPHA if alpha is None else alpha
        return MobileNetV1(shape, width, classes=classes, padding="same", name="mobilenet_v1")
    if model is not None:
        _check_model(model, data)
    if weights is None:
        return model
    return pretrained_network(weights, shape, classes, model=model, alpha=alpha)


def _check_model(model: keras.Model, data: ImageData) -> None:
    shapes = model.input_shape[1:], model.output_shape[1:]
    wanted = data.train_pixels.shape[1:], (len(data.class_names),)
    if shapes != wanted:
        raise ValueError(
            f"The model makes {shapes[1]} scores of images {shapes[0]}; these images are "
            f"{wanted[0]} of {wanted[1][0]} classes."
        )


def _outline(model: keras.Model, weights: str | os.PathLike | None) -> tuple[object, ...]:
    """What tells a network from others; of its weights, those that came trained."""
    kinds = [type(layer).__name__ for layer in model.layers]
    digest = hashlib.sha256()
    for layer in body(model) if weights is not None else ():
        for array in layer.get_weights():
            digest.update(array.tobytes())
    return kinds, [tuple(weight.shape) for weight in model.weights], digest.hexdigest()


def _hashed(purpose: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(purpose).encode("utf-8")).hexdigest()


def _predicted(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    # Not `predict`: it would trace the whole network for a few batches.
    starts = range(0, len(inputs), PREDICTED_AT_ONCE)
    batches = (model(inputs[n : n + PREDICTED_AT_ONCE], training=False) for n in starts)
    return np.concatenate([keras.ops.convert_to_numpy(scores) for scores in batches])


def _accuracy(model: keras.Model, inputs: np.ndarray, labels: np.ndarray) -> float:
    return float((_predicted(model, inputs).argmax(axis=1) == labels).mean())
