"""What quantization-aware training and pruning cost per training step: run it, read the table.

Every variant trains the same MobileNetV1 on the same batch, in turns, so that a busy machine
slows all of them alike; the figure is the median over the turns of the ratio to the float step.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import keras_mobilenet
from keras_mobilenet.pruning import ChannelPruning, ConstantSparsity, MagnitudePruning

SHAPE = (96, 96, 3)
BATCH = 32
STEPS = 15
TURNS = 9

LIMITS = {"QAT, moving average": 1.6, "QAT, LSQ": 1.6, "magnitude pruning": 1.03}


class StepTimes(keras.callbacks.Callback):
    """Sums what the steps of `fit` take, callbacks included, without the start of the epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.seconds = []

    def on_train_batch_begin(self, batch, logs=None):
        self.start = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def compiled() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras_mobilenet.MobileNetV1(SHAPE, 0.25, classes=10)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    return model


def main() -> None:
    """Measures and prints."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (BATCH * STEPS, *SHAPE)).astype("float32")
    labels = rng.integers(0, 10, len(images))
    qat = keras_mobilenet.QuantizationAwareTraining
    every_step = ConstantSparsity(0.5, 0, frequency=100)
    variants = {
        "float": [],
        "QAT, moving average": [qat(ranges="moving_average")],
        "QAT, LSQ": [qat()],
        "magnitude pruning": [MagnitudePruning(schedule=every_step)],
        "channel pruning": [ChannelPruning(target_macs=0.5, end_epoch=1)],
    }
    models = {name: compiled() for name in variants}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(TURNS + 1):
        for name, callbacks in variants.items():
            times = StepTimes()
            # First and last: the time of the callbacks between them counts.
            ends = [_Begin(times), *callbacks, _End(times)]
            models[name].fit(images, labels, BATCH, verbose=0, shuffle=False, callbacks=ends)
            if turn:
                # The first steps of a fit trace the step anew.
                seconds[name].append(float(np.median(times.seconds[3:])))
    _print(seconds)


class _Begin(keras.callbacks.Callback):
    def __init__(self, times):
        super().__init__()
        self.on_epoch_begin = times.on_epoch_begin
        self.on_train_batch_begin = times.on_train_batch_begin


class _End(keras.callbacks.Callback):
    def __init__(self, times):
        super().__init__()
        self.on_train_batch_end = times.on_train_batch_end


def _print(seconds: dict[str, list[float]]) -> None:
    table = Table(title=f"MobileNetV1 0.25, {SHAPE}, batch {BATCH}, {TURNS} turns of {STEPS} steps")
    for column in ("variant", "ms per step", "x float", "limit"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, values in seconds.items():
        ratio = float(np.median(np.array(values) / np.array(seconds["float"])))
        limit = LIMITS.get(name)
        table.add_row(
            name, f"{np.median(values) * 1000:.1f}", f"{ratio:.3f}", f"{limit}" if limit else ""
        )
    Console().print(table)


if __name__ == "__main__":
    main()
