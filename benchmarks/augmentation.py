"""What each augmentation costs a training step, in CPU time, beside the step itself.

Times are of the process, not of the clock on the wall: the machine may be busy. Each is the least
of some passes over batches.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table

import keras_mobilenet
from keras_mobilenet.training.augmentation import Augmentation
from keras_mobilenet.training.batches import BATCH_SIZE, augmented_batches
from keras_mobilenet.training.data import ImageData

STRENGTHS = {
    "shift": 0.08,
    "zoom": 0.1,
    "turn": 0.03,
    "mirror": True,
    "brightness": 0.1,
    "contrast": 0.2,
    "colour": 0.3,
    "blur": 0.8,
    "noise": 0.02,
    "cutout": 0.2,
    "mixup": 0.2,
}
BATCHES, PASSES = 20, 3


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=96)
    side = parser.parse_args().side
    pixels = np.random.default_rng(0).integers(0, 256, (64, side, side, 3), np.uint8)
    labels = np.arange(64) % 2
    data = ImageData(pixels, labels, pixels, labels, pixels, labels, ("one", "other"))
    bare = milliseconds(augmented_batches(data, 0, augmentation=Augmentation()))
    table = Table(title=f"CPU ms a batch of {BATCH_SIZE} images of {side}x{side}x3")
    table.add_column("what")
    table.add_column("ms", justify="right")
    for name, strength in STRENGTHS.items():
        batches = augmented_batches(data, 0, augmentation=Augmentation(**{name: strength}))
        table.add_row(f"{name}={strength}", f"{milliseconds(batches) - bare:.1f}")
    default = milliseconds(augmented_batches(data, 0))
    table.add_row("the default", f"{default - bare:.1f}")
    table.add_row("float training step, alpha 0.25", f"{step_milliseconds(data):.1f}")
    Console().print(table)


def milliseconds(batches: tf.data.Dataset) -> float:
    """CPU time of a batch, the least of some passes; the first, which traces, does not count."""
    taken = []
    for _ in range(PASSES + 1):
        started = time.process_time()
        for _ in batches.take(BATCHES):
            pass
        taken.append(1e3 * (time.process_time() - started) / BATCHES)
    return min(taken[1:])


def step_milliseconds(data: ImageData) -> float:
    """CPU time of a float training step of MobileNetV1, alpha 0.25."""
    shape = data.train_pixels.shape[1:]
    model = keras_mobilenet.MobileNetV1(shape, 0.25, classes=len(data.class_names))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    images, labels = next(iter(augmented_batches(data, 0, augmentation=Augmentation())))
    taken = []
    for _ in itertools.repeat(None, PASSES * 5):
        started = time.process_time()
        model.train_on_batch(images, labels)
        taken.append(1e3 * (time.process_time() - started))
    return min(taken[1:])


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    main()
