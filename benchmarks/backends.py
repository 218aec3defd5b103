"""Quantization-aware training on TensorFlow, JAX and torch: accuracy, step time, the int8 file.

The same MobileNetV1 0.25 starts from the same weights on handwritten digits, in a process for each
backend, with Keras's default compilation. Step times are medians of turns in which the float and
the quantization-aware model train alternately: of the wall clock, and of the CPU time of all
threads, which a busy machine moves less. The model that the first backend trained is converted on
every one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import edge
import keras_mobilenet
from keras_mobilenet.training.data import load_images

BACKENDS = ("tensorflow", "jax", "torch")
LIMITS = {"tensorflow": 1.5, "jax": 1.5}
"""How many times a float step a quantization-aware one may take."""

BATCH = 32
RATE = 2e-3
MOMENTUM = 0.9
START, TRAINED = "start.keras", "trained.keras"

Row = dict[str, Any]


def main() -> None:
    """Measures every backend in a process of its own; prints the table."""
    options = arguments()
    if options.child:
        print(json.dumps(measured(options, pathlib.Path(options.child))))
        return
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as folder:
        shape = (options.side, options.side, 1)
        keras.utils.set_random_seed(0)
        keras_mobilenet.MobileNetV1(shape, 0.25, classes=10).save(f"{folder}/{START}")
        rows = []
        for backend in options.backends:
            rows.append(run(backend, folder))
            print(json.dumps(rows[-1]), flush=True)
    Console(width=120).print(table(rows, options))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backends", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--side", type=int, default=48, help="pixels")
    parser.add_argument("--epochs", type=int, default=8, help="in float")
    parser.add_argument("--qat-epochs", type=int, default=4)
    parser.add_argument("--turns", type=int, default=7, help="of the step times")
    parser.add_argument("--steps", type=int, default=15, help="of a turn")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(backend: str, folder: str) -> Row:
    """What a backend's process measured."""
    command = [sys.executable, __file__, *sys.argv[1:], "--child", folder]
    environment = os.environ | {"KERAS_BACKEND": backend}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measured(options: argparse.Namespace, folder: pathlib.Path) -> Row:
    """Trains, times steps, and converts, on the backend of this process."""
    data = load_images("digits", side=options.side, channels=1)
    images = data.train_inputs()
    keras.utils.set_random_seed(0)
    trained = started(folder)
    callback = keras_mobilenet.QuantizationAwareTraining(options.epochs)
    trained.fit(
        images,
        data.train_labels,
        BATCH,
        epochs=options.epochs + options.qat_epochs,
        verbose=0,
        callbacks=[callback],
    )
    _, accuracy = trained.evaluate(data.test_inputs(), data.test_labels, verbose=0)
    if not (folder / TRAINED).exists():
        trained.save(folder / TRAINED)
    content = edge.convert(keras.saving.load_model(folder / TRAINED))
    models = {"float": started(folder), "qat": trained}
    count = options.steps * BATCH
    repeated = np.resize(np.arange(len(images)), count)
    batch = images[repeated], data.train_labels[repeated]
    times: dict[str, list[tuple]] = {name: [] for name in models}
    for _ in range(options.turns + 1):
        for name, model in models.items():
            steps = StepTimes()
            model.fit(*batch, BATCH, verbose=0, shuffle=False, callbacks=[steps])
            times[name].append(np.median(steps.times[3:], axis=0))
    # The first turn compiles.
    wall, cpu = (
        {name: np.array([turn[clock] for turn in times[name][1:]]) for name in models}
        for clock in (0, 1)
    )
    return {
        "backend": keras.backend.backend(),
        "accuracy": float(accuracy),
        "float_ms": float(np.median(wall["float"])) * 1e3,
        "qat_ms": float(np.median(wall["qat"])) * 1e3,
        "wall_ratio": float(np.median(wall["qat"] / wall["float"])),
        "cpu_ratio": float(np.median(cpu["qat"] / cpu["float"])),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def started(folder: pathlib.Path) -> keras.Model:
    """The network with the weights that all start from."""
    model = keras.saving.load_model(folder / START, compile=False)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            # Keras's 0.99 wants hundreds of steps; here are some fifty an epoch.
            layer.momentum = MOMENTUM
    model.compile(
        keras.optimizers.Adam(RATE), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class StepTimes(keras.callbacks.Callback):
    """What each step of `fit` takes, by the wall clock and in CPU time."""

    def on_epoch_begin(self, epoch, logs=None):
        self.times = []

    def on_train_batch_begin(self, batch, logs=None):
        self.start = time.perf_counter(), time.process_time()

    def on_train_batch_end(self, batch, logs=None):
        # JAX computes on while Python goes on; a metric waits for it.
        if logs:
            float(next(iter(logs.values())))
        wall, cpu = self.start
        self.times.append((time.perf_counter() - wall, time.process_time() - cpu))


def table(rows: list[Row], options: argparse.Namespace) -> Table:
    """The table of all backends."""
    title = (
        f"MobileNetV1 0.25, {options.side}x{options.side}, batch {BATCH}, {options.epochs} float "
        f"and {options.qat_epochs} quantization-aware epochs; {processor()}, {os.cpu_count()} cores"
    )
    printed = Table(title=title)
    for name in ("backend", "accuracy, int8", "float ms", "QAT ms", "x float", "CPU x float"):
        printed.add_column(name, justify="left" if name == "backend" else "right")
    for name in ("limit", "SHA-256 of the int8 file"):
        printed.add_column(name)
    for row in rows:
        printed.add_row(
            row["backend"],
            f"{row['accuracy']:.1%}",
            f"{row['float_ms']:.1f}",
            f"{row['qat_ms']:.1f}",
            f"{row['wall_ratio']:.2f}",
            f"{row['cpu_ratio']:.2f}",
            str(LIMITS.get(row["backend"], "")),
            row["sha256"][:16],
        )
    is_same = len({row["sha256"] for row in rows}) == 1
    printed.caption = f"The int8 file is {'the same' if is_same else 'NOT the same'} on all."
    return printed


def processor() -> str:
    """The name of this machine's processor."""
    path = pathlib.Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
