"""The honest table: networks of the family beside MLPerf Tiny's ResNet8, on the same CIFAR-10.

All train on the same 45,000 images, with the same recipe and for the same number of epochs, first
float, then int8. What is chosen is chosen on 5,000 other images of the training set; the 5,000 test
images are looked at once a row. A training goes on from its last epoch when it is run again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from cifar10_images import accuracy, cifar10
from compression_cost import costs
from compression_network import as_floats, augmented
from networks import resnet8
from rich.console import Console
from rich.table import Table

import edge
import keras_mobilenet
from edge.runtimes.interpreters import run_litert
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph

ROOT = pathlib.Path(__file__).parent.parent
ROWS = ROOT / "build" / "cifar10" / "rows.jsonl"
BATCH = 128
FLOAT_RATE, QAT_RATE = 3e-3, 2e-4
WEIGHT_DECAY = 1e-2
WARM_UP = 0.05

FAMILY: dict[str, dict] = {
    "separable 5x5": {"stem": (24, 3, 1), "stages": [(64, 3, 2, 4), (96, 5, 2, 4)]},
    "half": {"stem": (16, 3, 1), "stages": [(40, 3, 2, 3), (96, 3, 2, 5)]},
    "shallow": {"stem": (24, 3, 1), "stages": [(56, 3, 2, 3), (96, 3, 2, 3)]},
}
"""The arguments of `MobileNet` for each row but ResNet8."""


def main() -> None:
    """Trains the rows that are asked for and not there; prints all."""
    options = arguments()
    data = cifar10(options.rows.parent)
    known = {row["key"] for row in read_rows(options.rows)}
    for name in options.only:
        for seed in options.seeds:
            key = f"{name}, {options.epochs} + {options.qat_epochs}, seed {seed}"
            key += f", {options.weight_bits} bits" if options.weight_bits != 8 else ""
            if key in known:
                continue
            row = {"key": key, **train(name, key, seed, options, data)}
            with options.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
    Console(width=160).print(table(read_rows(options.rows)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=pathlib.Path, default=ROWS, help="the file of the rows")
    parser.add_argument("--only", nargs="*", default=["ResNet8", *FAMILY], help="the rows' names")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, default=40, help="float")
    parser.add_argument("--qat-epochs", type=int, default=4)
    parser.add_argument("--weight-bits", type=int, default=8)
    options = parser.parse_args()
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    return options


def made(name: str) -> keras.Model:
    """An untrained network."""
    if name == "ResNet8":
        return resnet8()
    return keras_mobilenet.MobileNet(
        input_shape=(32, 32, 3), classes=10, is_residual=True, dropout=0.0, **FAMILY[name]
    )


def train(name: str, key: str, seed: int, options: argparse.Namespace, data: dict) -> dict:
    """One training, from the last epoch that there is, and what its int8 file scores and costs."""
    keras.utils.set_random_seed(seed)
    model = made(name)
    batches = Batches(data["train_images"], data["train_labels"], seed)
    epochs = options.epochs + options.qat_epochs
    rates = Rates(options.epochs, options.qat_epochs, len(batches))
    model.compile(
        keras.optimizers.AdamW(FLOAT_RATE, weight_decay=WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    folder = options.rows.parent / key.replace(", ", "_").replace(" ", "-")
    folder.mkdir(exist_ok=True)
    quantizing = keras_mobilenet.QuantizationAwareTraining(
        options.epochs, weight_bits=options.weight_bits
    )
    log = keras.callbacks.CSVLogger(str(folder / "history.csv"), append=True)
    backup = keras.callbacks.BackupAndRestore(str(folder / "backup"), delete_checkpoint=False)
    clock = Clock(folder / "seconds.json")
    callbacks = [quantizing, rates, batches.numbered(), clock, log, backup]
    model.fit(batches, epochs=epochs, verbose=2, callbacks=callbacks)
    tflite = edge.convert(model)
    (folder / "model.tflite").write_bytes(tflite)
    graph = read_graph(tflite)
    row: dict[str, object] = {"cpu_minutes": round(clock.seconds() / 60, 1)}
    row["macs"] = keras_mobilenet.analysis.cost.cost(made(name)).mult_adds
    for part in ("validation", "test"):
        scores = run_litert(graph, to_int8(as_floats(data[f"{part}_images"]), graph.input))
        row[part] = accuracy(scores, data[f"{part}_labels"])
    return row | {"file_bytes": len(tflite)} | costs(graph, has_all_cores=False)


class Batches(keras.utils.PyDataset):
    """Augmented batches, which depend on the epoch's number only: a resumed training has the same.

    Args:
        images: The training images, a uint8 array of shape (images, 32, 32, 3).
        labels: Their labels.
        seed: The seed of order and augmentation.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray, seed: int):
        super().__init__()
        self.images, self.labels, self.seed = images, labels, seed
        self.begin(0)

    def begin(self, epoch: int) -> None:
        """Draws an epoch's order."""
        self.epoch = epoch
        self.order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))

    def numbered(self) -> keras.callbacks.Callback:
        """A callback that says which epoch it is."""
        return keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: self.begin(epoch))

    def __len__(self) -> int:
        return len(self.images) // BATCH

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        chosen = self.order[BATCH * index : BATCH * (index + 1)]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        return augmented(self.images[chosen], rng), self.labels[chosen]


class Rates(keras.callbacks.Callback):
    """The learning rate of each step: a short rise and a cosine, then a smaller cosine for int8.

    Args:
        epochs: The number of float epochs.
        qat_epochs: The number of epochs with fake quantization.
        steps: The number of steps of an epoch.
    """

    def __init__(self, epochs: int, qat_epochs: int, steps: int):
        super().__init__()
        self.epochs, self.qat_epochs, self.steps = epochs, qat_epochs, steps
        self.epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        done = self.epoch + batch / self.steps
        if done < self.epochs:
            share = done / self.epochs
            rate = FLOAT_RATE * cosine(share) * min(1.0, (share + 1e-3) / WARM_UP)
        else:
            rate = QAT_RATE * cosine((done - self.epochs) / self.qat_epochs)
        self.model.optimizer.learning_rate.assign(rate)


def cosine(share: float) -> float:
    """From 1 to 0 along half a wave."""
    return 0.5 * (1 + math.cos(math.pi * share))


class Clock(keras.callbacks.Callback):
    """Adds up the CPU seconds of each epoch over all runs of a training.

    Args:
        path: The file of the seconds by the epoch's number.
    """

    def __init__(self, path: pathlib.Path):
        super().__init__()
        self.path = path

    def seconds(self) -> float:
        """All epochs' seconds."""
        return sum(self._known().values())

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.started = time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        known = self._known() | {str(epoch): round(time.process_time() - self.started, 2)}
        self.path.write_text(json.dumps(known), "utf-8")

    def _known(self) -> dict[str, float]:
        return json.loads(self.path.read_text("utf-8")) if self.path.is_file() else {}


def read_rows(path: pathlib.Path) -> list[dict]:
    """The rows so far."""
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if path.is_file()
        else []
    )


def table(rows: list[dict]) -> Table:
    """All rows."""
    made = Table(title="CIFAR-10, int8: accuracy on LiteRT; the engine on a Cortex-M4")
    names = ("validation", "test", "macs", "m4", "ram", "flash", "ms_low", "ms_high", "cpu_minutes")
    for name in ("row", *names):
        made.add_column(name, justify="left" if name == "row" else "right")
    for row in rows:
        made.add_row(row["key"], *[f"{row[name]:,}" for name in names])
    return made


if __name__ == "__main__":
    main()
