"""The honest table: networks of the family beside MLPerf Tiny's ResNet8, on the same CIFAR-10.

All train on the same 45,000 images, with the same recipe and for about the same time, first float,
then int8. What is chosen is chosen on 5,000 other images of the training set; the 5,000 test images
are looked at once a row. A training goes on from its last epoch when it is run again.

    benchmarks/cifar10.py
    benchmarks/cifar10.py --only ResNet8 separable --epochs 10 --qat-epochs 2 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from cifar10_images import cifar10
from compression_cost import measured
from compression_network import augmented
from keras import ops
from networks import resnet8
from rich.console import Console
from rich.table import Table
from rows import add_row, read_rows

import edge
import keras_mobilenet

ROOT = pathlib.Path(__file__).parent.parent
ROWS = ROOT / "build" / "cifar10" / "rows.jsonl"
BATCH = 128
FLOAT_RATE = 3e-3
WEIGHT_DECAY = 1e-2
WARM_UP = 0.05
MODEL = "model.keras"


@dataclasses.dataclass(frozen=True)
class Training:
    """What is trained, and how long.

    Attributes:
        network: The arguments of `MobileNet`; None for ResNet8.
        epochs: The float epochs.
        qat_epochs: The epochs with fake quantization.
        weight_bits: The bits of the weights.
        qat_rate: The learning rate that the epochs with fake quantization begin with.
    """

    network: dict | None
    epochs: int
    qat_epochs: int
    weight_bits: int = 8
    qat_rate: float = 2e-4


TRAININGS = {
    "ResNet8": Training(None, 126, 12),
    "separable": Training({"stem": (28, 3, 1), "stages": [(64, 3, 2, 5), (96, 3, 2, 4)]}, 75, 6),
    "separable 5x5": Training(
        {"stem": (24, 3, 1), "stages": [(64, 3, 2, 4), (96, 5, 2, 4)]}, 75, 6
    ),
    "wide 5x5": Training({"stem": (24, 3, 1), "stages": [(56, 3, 2, 5), (116, 5, 2, 3)]}, 75, 6),
    "half": Training({"stem": (16, 3, 1), "stages": [(40, 3, 2, 3), (96, 3, 2, 5)]}, 75, 6),
    "int4": Training(
        {"stem": (32, 3, 1), "stages": [(64, 3, 2, 4), (88, 3, 2, 2)]}, 60, 21, 4, 1e-3
    ),
}
"""An epoch of ResNet8 takes some six tenths of the others' time on a CPU."""


def main() -> None:
    """Trains the rows that are asked for and not there; prints all."""
    options = arguments()
    data = cifar10(options.rows.parent)
    known = {row["key"] for row in read_rows(options.rows)}
    for name in options.only:
        training = dataclasses.replace(
            TRAININGS[name],
            epochs=options.epochs or TRAININGS[name].epochs,
            qat_epochs=options.qat_epochs or TRAININGS[name].qat_epochs,
        )
        for seed in options.seeds:
            key = f"{name}, {training.epochs} + {training.qat_epochs}, seed {seed}"
            if key in known:
                continue
            row = {"key": key, **row_of(training, key, seed, options.rows.parent, data)}
            add_row(options.rows, row)
    Console(width=160).print(table(read_rows(options.rows)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=pathlib.Path, default=ROWS, help="the file of the rows")
    parser.add_argument("--only", nargs="*", choices=TRAININGS, default=list(TRAININGS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--epochs", type=int, help="float, for other trainings than the full ones")
    parser.add_argument("--qat-epochs", type=int)
    options = parser.parse_args()
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    return options


def made(network: dict | None) -> keras.Model:
    """An untrained network."""
    if network is None:
        return resnet8()
    return keras_mobilenet.MobileNet(
        input_shape=(32, 32, 3), classes=10, is_residual=True, dropout=0.0, **network
    )


def row_of(training: Training, key: str, seed: int, place: pathlib.Path, data: dict) -> dict:
    """One training, from the last epoch that there is, and what its int8 file scores and costs."""
    folder = place / key.replace(", ", "_").replace(" ", "-")
    folder.mkdir(exist_ok=True)
    clock = Clock(folder / "seconds.json")
    if not (folder / MODEL).is_file():
        fit(training, seed, data, folder, clock)
    tflite = edge.convert(keras.models.load_model(folder / MODEL, compile=False))
    (folder / "model.tflite").write_bytes(tflite)
    row: dict[str, object] = {"cpu_minutes": round(clock.seconds() / 60, 1)}
    row["macs"] = keras_mobilenet.analysis.cost.cost(made(training.network)).mult_adds
    return row | measured(tflite, data, has_all_cores=False)


def fit(training: Training, seed: int, data: dict, folder: pathlib.Path, clock: Clock) -> None:
    """Trains, on whichever backend Keras runs, and writes the model."""
    keras.utils.set_random_seed(seed)
    model = made(training.network)
    batches = Batches(data["train_images"], data["train_labels"], seed)
    model.compile(
        keras.optimizers.AdamW(Rates(training, len(batches)), weight_decay=WEIGHT_DECAY),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=keras.backend.backend() == "jax",
    )
    quantizing = keras_mobilenet.QuantizationAwareTraining(
        training.epochs, weight_bits=training.weight_bits
    )
    log = keras.callbacks.CSVLogger(str(folder / "history.csv"), append=True)
    backup = keras.callbacks.BackupAndRestore(str(folder / "backup"), delete_checkpoint=False)
    callbacks = [quantizing, batches.numbered(), clock, log, backup]
    epochs = training.epochs + training.qat_epochs
    model.fit(batches, epochs=epochs, verbose=2, callbacks=callbacks)
    model.compile()  # Without the optimizer's state: a third of the file.
    model.save(folder / MODEL)


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


class Rates(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of each step: a short rise and a cosine, then a smaller cosine for int8.

    Args:
        training: What is trained.
        steps: The number of steps of an epoch.
    """

    def __init__(self, training: Training, steps: int):
        self.training, self.steps = training, steps

    def __call__(self, step: keras.KerasTensor) -> keras.KerasTensor:
        training = self.training
        done = ops.cast(step, "float32") / self.steps
        share = done / training.epochs
        rising = ops.minimum(1.0, (share + 1e-3) / WARM_UP)
        qat_share = (done - training.epochs) / training.qat_epochs
        return ops.where(
            done < training.epochs,
            FLOAT_RATE * cosine(share) * rising,
            training.qat_rate * cosine(qat_share),
        )

    def get_config(self) -> dict:
        return {"training": dataclasses.asdict(self.training), "steps": self.steps}


def cosine(share: keras.KerasTensor) -> keras.KerasTensor:
    """From 1 to 0 along half a wave."""
    return 0.5 * (1.0 + ops.cos(math.pi * share))


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
