"""The learning rate of each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

import keras

PEAK_LEARNING_RATE = 2e-3
QAT_LEARNING_RATE = 3e-4
"""What the int8 epochs begin with, if the float ones begin with `PEAK_LEARNING_RATE`."""
THAWED_SHARE = 0.1
"""Once a body that came trained is thawed, all goes on with this share of the classifier's rate."""


def rate_of(
    epoch: int, float_epochs: int, qat_epochs: int, peak: float = PEAK_LEARNING_RATE
) -> float:
    """Computes a cosine decay over the float epochs, then a smaller one over the QAT epochs.

    Args:
        epoch: The epoch, counted from 0.
        float_epochs: The number of float epochs.
        qat_epochs: The number of epochs with fake quantization.
        peak: The learning rate of the first epoch.

    Returns:
        The learning rate of the epoch.

    Example:
        >>> rate_of(0, 10, 5), rate_of(10, 10, 5)
        (0.002, 0.0003)
    """
    if epoch < float_epochs:
        done = epoch / float_epochs
    else:
        peak *= QAT_LEARNING_RATE / PEAK_LEARNING_RATE
        done = (epoch - float_epochs) / max(qat_epochs, 1)
    return 0.5 * peak * (1.0 + math.cos(math.pi * done))


class LearningRates(keras.callbacks.Callback):
    """Sets the learning rate at the beginning of each epoch.

    Args:
        rate_of_epoch: What gives the learning rate of an epoch, counted from 0.
    """

    def __init__(self, rate_of_epoch: Callable[[int], float]):
        super().__init__()
        self.rate_of_epoch = rate_of_epoch

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Sets the learning rate."""
        self.model.optimizer.learning_rate = self.rate_of_epoch(epoch)
