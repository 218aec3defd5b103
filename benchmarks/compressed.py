"""What quantization and pruning cost in accuracy, and buy in instructions, flash and RAM: CIFAR-10.

Each row is one training, and is written down when it ends; run it again, and it goes on with the
rows that are missing. Fine-tuned rows start from the float row of the same network and seed. 5,000
of the 50,000 training images are for validation; the 5,000 test images are looked at once a row.

JAX, which TensorFlow imports, tries a module `compression`: this file cannot have that name.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from cifar10_images import accuracy, cifar10
from compression_cost import measured
from compression_network import CHANNELS, as_floats, batches, compiled, network, scaled
from rich.console import Console
from rich.table import Table
from rows import add_row, read_rows

import edge
import keras_mobilenet
from keras_mobilenet.quantization.weight_bits import flash_bytes_of

ROOT = pathlib.Path(__file__).parent.parent
ROWS = ROOT / "build" / "compression" / "rows.jsonl"
BOARD = "nucleo-f446re"
SEEDS = (0, 1, 2)
QAT_EPOCHS = 3
FLOAT_RATE, TUNED_RATE = 2e-3, 1e-3

Row = dict[str, object]


def main() -> None:
    """Trains the rows that are missing; prints the table."""
    options = arguments()
    data = cifar10(options.rows.parent)
    known = {row["key"]: row for row in read_rows(options.rows)}
    for key in keys():
        name = f"{key}@{options.epochs}+{options.tune},{options.train_images}"
        if name in known or not any(key.startswith(only) for only in options.only):
            continue
        started = time.monotonic()
        row = {"key": name} | run(key, options, data)
        row["seconds"] = round(time.monotonic() - started)
        add_row(options.rows, row)
    Console(width=180).print(table(read_rows(options.rows)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=pathlib.Path, default=ROWS, help="the file of the rows")
    parser.add_argument("--only", nargs="+", default=[""], help="what the rows' keys start with")
    parser.add_argument("--epochs", type=int, default=10, help="of the float networks")
    parser.add_argument("--tune", type=int, default=6, help="of what starts from them")
    parser.add_argument("--train-images", type=int, default=45_000)
    options = parser.parse_args()
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    return options


def keys() -> list[str]:
    """All rows, `network/variant/seed`, those that others start from first."""
    variants = ["float", "int8"]
    variants += [f"{kind}-{share}" for share in (50, 75) for kind in ("block", "single")]
    variants += ["int4", "auto", "tfmot-50", "tfmot-75", "block-mve-50", "block-mve-75"]
    found = [f"plain/{variant}/0" for variant in variants]
    for seed in SEEDS:
        for kind in ("plain", "residual"):
            for what in ("flash", "macs", "ram"):
                found += [f"{kind}/{way}-{what}/{seed}" for way in ("channel", "narrow")]
    return found


def run(key: str, options: argparse.Namespace, data: dict) -> Row:
    """Trains one row, and measures its int8 file."""
    kind, variant, number = key.split("/")
    job = Job(kind, variant, int(number), options, data)
    model = VARIANTS[variant.split("-")[0]](job)
    row: Row = {"network": kind, "variant": variant, "seed": job.seed, "epochs": job.epochs}
    row["macs"] = keras_mobilenet.analysis.cost.cost(model).mult_adds
    if variant == "float":
        model.compile(metrics=["accuracy"], jit_compile=False)
        for part in ("test", "validation"):
            scores = model.predict(as_floats(data[f"{part}_images"]), 256, verbose=0)
            row[part] = accuracy(scores, data[f"{part}_labels"])
        return row
    tflite = edge.convert(model)
    (options.rows.parent / f"{key.replace('/', '_')}.tflite").write_bytes(tflite)
    return row | job.noted | measured(tflite, data, has_all_cores="block" in variant)


class Job:
    """A training: what it starts from, and how long it takes."""

    def __init__(self, kind: str, variant: str, seed: int, options, data: dict):
        self.kind, self.variant, self.seed = kind, variant, seed
        self.options, self.data = options, data
        self.epochs = options.epochs
        self.noted: Row = {}

    @property
    def share(self) -> float:
        return int(self.variant.split("-")[-1]) / 100

    def made(self, channels: tuple[int, ...] = CHANNELS) -> keras.Model:
        keras.utils.set_random_seed(self.seed)
        return network(keras, channels, is_residual=self.kind == "residual")

    def trained_float(self) -> keras.Model:
        """The float network, trained once."""
        options = self.options
        name = f"float_{self.kind}_{self.seed}_{options.epochs}_{options.train_images}.weights.h5"
        model, path = self.made(), options.rows.parent / name
        if not path.is_file():
            self.fit(model, options.epochs, FLOAT_RATE, [])
            model.save_weights(path)
        model.load_weights(path)
        return model

    def fit(self, model: keras.Model, epochs: int, rate: float, callbacks: list) -> None:
        count = self.options.train_images
        images, labels = self.data["train_images"][:count], self.data["train_labels"][:count]
        sequence = batches(keras, images, labels, self.seed)
        compiled(keras, model, epochs, len(sequence), rate)
        history = model.fit(sequence, epochs=epochs, verbose=2, callbacks=callbacks)
        self.noted |= {"losses": [round(loss, 4) for loss in history.history["loss"]]}

    def tune(self, model: keras.Model, callbacks: list, *, start: int | None = None, **qat) -> None:
        """Fine-tunes: the last epochs are for int8."""
        epochs = self.options.tune
        start = max(epochs - QAT_EPOCHS, 0) if start is None else start
        callbacks = [*callbacks, keras_mobilenet.QuantizationAwareTraining(start, **qat)]
        self.fit(model, epochs, TUNED_RATE, callbacks)
        self.epochs += epochs


def float_row(job: Job) -> keras.Model:
    return job.trained_float()


def int8_row(job: Job) -> keras.Model:
    model = job.trained_float()
    job.tune(model, [], start=0)
    return model


def int4_row(job: Job) -> keras.Model:
    model = job.trained_float()
    job.tune(model, [], start=0, weight_bits=4)
    return model


def auto_row(job: Job) -> keras.Model:
    """Four bits where they cost least, until seven tenths of the weights' bytes are left.

    They are looked for on images of the training.
    """
    model = job.trained_float()
    flash = 0.7 * flash_bytes_of(keras_mobilenet.quantize_model(model))
    images = as_floats(job.data["train_images"][:256])
    job.tune(model, [], start=0, weight_bits="auto", flash_bytes=flash, calibration_data=images)
    return model


def pruned_row(job: Job) -> keras.Model:
    """The smallest weights, or the blocks that a board's kernels skip."""
    model, block = job.trained_float(), None
    if "block" in job.variant:
        block = edge.pruning_block("mps3-an547" if "mve" in job.variant else BOARD)
    job.tune(model, [keras_mobilenet.MagnitudePruning(job.share, block=block)])
    return model


def tfmot_row(job: Job) -> keras.Model:
    """TF-MOT prunes in tf_keras, in a process of its own; its zeros stay while int8 is trained."""
    model = job.trained_float()
    folder, epochs = job.options.rows.parent, job.options.tune - QAT_EPOCHS
    before, after = folder / "tfmot_before.npz", folder / "tfmot_after.npz"
    np.savez(before, *model.get_weights())
    child = pathlib.Path(__file__).with_name("compression_tfmot.py")
    command = [str(child), str(folder), str(job.share), str(epochs), str(job.options.train_images)]
    subprocess.run([sys.executable, *command], check=True)
    with np.load(after) as weights:
        model.set_weights([weights[name] for name in weights.files])
    schedule = keras_mobilenet.ConstantSparsity(job.share, 0)
    callbacks = [
        keras_mobilenet.MagnitudePruning(schedule=schedule),
        keras_mobilenet.QuantizationAwareTraining(0),
    ]
    job.fit(model, QAT_EPOCHS, TUNED_RATE * QAT_EPOCHS / job.options.tune, callbacks)
    job.epochs += job.options.tune
    return model


TARGETS = {"flash": "flash_bytes", "ram": "ram_bytes", "macs": "macs"}


def channel_row(job: Job) -> keras.Model:
    """Channels go until half of the engine's flash or RAM, or of the MACs, is left."""
    model, what = job.trained_float(), job.variant.split("-")[1]
    images, labels = job.data["train_images"][:512], job.data["train_labels"][:512]
    data = as_floats(images), labels
    target = {f"target_{TARGETS[what]}": 0.5}
    if what != "macs":
        target["counter"] = edge.engine_counter(BOARD)
    pruning = keras_mobilenet.ChannelPruning(**target, criterion="taylor", data=data)
    pruning.end_epoch = (job.options.tune - QAT_EPOCHS) // 2 or 1
    job.tune(model, [pruning])
    smaller = pruning.pruned_model
    job.noted |= {"before": counted(model), "counted": counted(smaller)}
    job.noted |= {"channels": widths(smaller)}
    return smaller


def narrow_row(job: Job) -> keras.Model:
    """The uniformly narrower network that comes closest to the same target, trained as long."""
    what = TARGETS[job.variant.split("-")[1]]
    full = counted(job.made())
    # In fours the steps are up to an eighth of the cost.
    candidates = [narrower(job, what, multiple) for multiple in (4, 2, 1)]
    channels = max(candidates, key=lambda channels: counted(job.made(channels))[what])
    model = job.made(channels)
    job.fit(model, job.options.epochs, FLOAT_RATE, [])
    job.tune(model, [])
    job.noted |= {"before": full, "counted": counted(model), "channels": widths(model)}
    return model


def narrower(job: Job, what: str, multiple: int) -> tuple[int, ...]:
    """The widest network of such channels that takes at most half."""
    limit = 0.5 * counted(job.made())[what]
    all_channels = dict.fromkeys(scaled(width, multiple) for width in np.arange(0.9, 0, -0.01))
    return next(c for c in all_channels if counted(job.made(c))[what] <= limit)


VARIANTS: dict[str, Callable[[Job], keras.Model]] = {
    "float": float_row,
    "int8": int8_row,
    "int4": int4_row,
    "auto": auto_row,
    "single": pruned_row,
    "block": pruned_row,
    "tfmot": tfmot_row,
    "channel": channel_row,
    "narrow": narrow_row,
}


def counted(model: keras.Model) -> Row:
    """What the engine on the board, and the arithmetic, take of a network's shape."""
    cost = edge.engine_counter(BOARD)(model)
    found = {name: cost(name) for name in ("flash_bytes", "ram_bytes")}
    return found | {"macs": keras_mobilenet.analysis.cost.cost(model).mult_adds}


def widths(model: keras.Model) -> list[int]:
    """The channels that each layer but the depthwise ones makes."""
    kernels = [weight for weight in model.weights if weight.name == "kernel"]
    return [int(kernel.shape[-1]) for kernel in kernels if kernel.shape[-1] > 1]


def table(rows: list[Row]) -> Table:
    """All rows."""
    made = Table(title="CIFAR-10: accuracy on LiteRT; the engine on the cores")
    names = ("test", "flash", "ram", "m4", "ms_low", "ms_high", "m55", "m0plus", "file_bytes")
    for name in ("row", *names):
        made.add_column(name, justify="left" if name == "row" else "right")
    for row in rows:
        values = [row.get(name) for name in names]
        cells = ["" if v is None else f"{v:,}" for v in values]
        made.add_row(str(row["key"]), *cells)
    return made


if __name__ == "__main__":
    main()
