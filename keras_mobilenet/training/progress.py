"""The course of a training: its stages, its best epoch, when it stops, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable

import keras

from keras_mobilenet.quantization import QuantizationAwareTraining
from keras_mobilenet.training.backup import Backup, TrainingState

DRAWS_PER_EPOCH = 2**16


class Progress(keras.callbacks.Callback):
    """Keeps the best epoch of each stage, ends a stage that does not get better, and backs up.

    Args:
        state: The state that the training begins with; it is kept up to date.
        qat_epochs: The number of epochs with fake quantization.
        frozen_epochs: The number of the first epochs, which are never too many.
        quantizing: The callback that begins them.
        patience: The number of epochs without a better validation accuracy after which a stage
            ends; None for never. A float stage then goes back to its best epoch.
        measure_float: What gives the float model's accuracy on the test images.
        backup: Where the state is written after each epoch; None for nowhere.
    """

    def __init__(
        self,
        state: TrainingState,
        *,
        qat_epochs: int,
        frozen_epochs: int,
        quantizing: QuantizationAwareTraining,
        patience: int | None,
        measure_float: Callable[[keras.Model], float],
        backup: Backup | None,
    ):
        super().__init__()
        self.state, self.qat_epochs, self.quantizing = state, qat_epochs, quantizing
        self.patience, self.measure_float, self.backup = patience, measure_float, backup
        self.frozen_epochs = frozen_epochs
        self.quantizing.start_epoch = state.float_epochs
        self._resumes = state.epoch > 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Goes on where the backup is, or stays where it ended."""
        if self._resumes and self.backup is not None:
            self._resumes = False
            self.backup.load_weights(self.model)
            if self.state.is_over:
                self.quantizing.on_epoch_begin(self.state.epoch - 1)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Lets dropout draw what the epoch's number decides: Keras saves no random state."""
        generators = [
            generator
            for layer in self.model._flatten_layers()
            for generator in layer._seed_generators
        ]
        for number, generator in enumerate(generators):
            generator.state.assign([number, epoch * DRAWS_PER_EPOCH])

    @property
    def epochs(self) -> int:
        """The number of epochs of both stages."""
        return self.state.float_epochs + self.qat_epochs

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the epoch, and decides what comes next."""
        state, figures = self.state, {k: float(v) for k, v in (logs or {}).items()}
        figures["learning_rate"] = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )
        for name, value in figures.items():
            state.history.setdefault(name, []).append(value)
        state.epoch = epoch + 1
        accuracy = figures["val_accuracy"]
        if accuracy > state.best_accuracy or state.best_epoch is None:
            state.best_epoch, state.best_accuracy = epoch, accuracy
            state.best_weights = self.model.get_weights()
        has_stalled = (
            self.patience is not None
            and epoch >= self.frozen_epochs
            and epoch - state.best_epoch >= self.patience
        )
        if epoch < state.float_epochs:
            if has_stalled and epoch + 1 < state.float_epochs:
                self.model.set_weights(state.best_weights)
                state.float_epochs = self.quantizing.start_epoch = epoch + 1
                accuracy = state.best_accuracy
            if epoch + 1 == state.float_epochs:
                self._end_float(accuracy)
        else:
            state.is_over = has_stalled or epoch + 1 >= self.epochs
        if state.is_over:
            self.model.stop_training = True
        if self.backup is not None:
            self.backup.write(self.model, state)

    def _end_float(self, accuracy: float) -> None:
        """What was best in float does not count among the int8 epochs."""
        self.state.float_validation_accuracy = accuracy
        self.state.float_test_accuracy = self.measure_float(self.model)
        self.begin_stage()

    def begin_stage(self) -> None:
        """Forgets the best epoch so far: another stage's weights are of another structure."""
        self.state.best_epoch, self.state.best_accuracy = None, float("-inf")
        self.state.best_weights = None
