"""What int8, pruning and channel pruning do to accuracy and to bytes, over seeds: a table.

`python benchmarks/accuracy.py [--seeds 5] [--data digits fashion_mnist] [--out FILE]`. Every
variant starts from the seed's float network; int8 accuracies are those of the int8 kernels. Simple
classifiers of the same pixels stand beside: on digits they win, so these rank no networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import json
import multiprocessing
import os
import pathlib
from concurrent.futures import ProcessPoolExecutor

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from rich.console import Console
from rich.table import Table
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import edge
import keras_mobilenet
from edge.catalog.boards import find_board
from edge.deploy.verify import quantize_inputs
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet.pruning import ChannelPruning, MagnitudePruning, PolynomialDecay
from keras_mobilenet.pruning.channel_costs import macs
from keras_mobilenet.pruning.channel_groups import ChannelGroups
from keras_mobilenet.training.baselines import averaged
from keras_mobilenet.training.batches import augmented_batches
from keras_mobilenet.training.data import ImageData, load_images
from keras_mobilenet.training.schedule import QAT_LEARNING_RATE

ALPHA = 0.25
SIDE = 32
TRAIN_IMAGES = 10_000
"""Of the larger set: enough to tell the variants apart, few enough for five seeds on two cores."""

BATCH_SIZE = 64

FLOAT_EPOCHS = {"digits": 30, "fashion_mnist": 15}
PRUNE_EPOCHS = {"digits": 20, "fashion_mnist": 8}
QAT_EPOCHS = {"digits": 8, "fashion_mnist": 5}
FLOAT_RATE, PRUNE_RATE = 2e-3, 1e-3
QAT_RATES = {"digits": QAT_LEARNING_RATE, "fashion_mnist": 1e-3}
"""For the digits the package's own; the other was chosen among 1e-4, 3e-4 and 1e-3 on training
images that no variant here trains on, with a seed of its own."""

BOARD = "nucleo-f446re"


def batches(data: ImageData, seed: int) -> tf.data.Dataset:
    """One epoch. The few digits are shifted and turned; the clothes are many, and well centred."""
    if len(data.train_labels) < TRAIN_IMAGES:
        return augmented_batches(data, seed)
    examples = (data.train_inputs(), data.train_labels)
    every = tf.data.Dataset.from_tensor_slices(examples)
    return every.shuffle(TRAIN_IMAGES, seed).batch(BATCH_SIZE)


def fit(model: keras.Model, data: ImageData, seed: int, phases, callbacks=()) -> None:
    """Trains in phases of `(epochs, learning rate)`, each with a cosine decay."""
    rates = [
        0.5 * rate * (1 + np.cos(np.pi * epoch / epochs))
        for epochs, rate in phases
        for epoch in range(epochs)
    ]
    model.compile(
        keras.optimizers.Adam(rates[0]),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: float(rates[epoch]))
    model.fit(
        batches(data, seed),
        epochs=len(rates),
        shuffle=False,
        verbose=0,
        callbacks=[*callbacks, scheduler],
    )


def accuracy(model: keras.Model, data: ImageData) -> float:
    """On the held-out images, in percent."""
    answers = model.predict(data.test_inputs(), batch_size=250, verbose=0).argmax(axis=-1)
    return float((answers == data.test_labels).mean() * 100)


def simple(data: ImageData, seed: int) -> dict[str, dict]:
    """What classifiers of pixels reach: where they win, networks cannot be told apart."""
    classifiers = {
        "logistic regression": LogisticRegression(C=0.01, max_iter=300),
        "random forest": RandomForestClassifier(100, random_state=seed),
        "SVM": SVC(C=10.0),
    }
    results = {}
    for name, classifier in classifiers.items():
        scaled = make_pipeline(StandardScaler(), classifier)
        scaled.fit(averaged(data.train_pixels), data.train_labels)
        share = scaled.score(averaged(data.test_pixels), data.test_labels)
        results[name] = {"accuracy": float(share * 100)}
    return results


def sizes(tflite: bytes, model: keras.Model, stored_zeros: float) -> dict:
    """Bytes of the file and, on the board, of the engine's constants and state."""
    graph = read_graph(tflite)
    channels = ChannelGroups(model)
    engine = compile_engine(graph, instruction_set(find_board(BOARD)))
    return {
        "tflite": len(tflite),
        "gzip": len(gzip.compress(tflite, 9)),
        "flash": engine.weights_bytes,
        "ram": engine.state_bytes,
        "macs": macs(channels, np.ones(channels.count, bool)),
        "zeros": stored_zeros,
    }


def one_seed(source: str, seed: int) -> dict[str, dict]:
    """Every variant of one float network."""
    data = load_images(source, SIDE, 1)
    if len(data.train_labels) > TRAIN_IMAGES:
        data = dataclasses.replace(
            data,
            train_pixels=data.train_pixels[:TRAIN_IMAGES],
            train_labels=data.train_labels[:TRAIN_IMAGES],
        )
    keras.utils.set_random_seed(seed)
    shape = data.train_pixels.shape[1:]
    first = keras_mobilenet.MobileNetV1(shape, ALPHA, classes=len(data.class_names))
    fit(first, data, seed, [(FLOAT_EPOCHS[source], FLOAT_RATE)])
    results: dict[str, dict] = {"float": {"accuracy": accuracy(first, data)}, **simple(data, seed)}

    tflite = edge.convert(first, data.train_inputs()[:200])
    graph = read_graph(tflite)
    answers = run_litert(graph, quantize_inputs(graph, data.test_inputs())).argmax(axis=-1)
    results["post-training int8"] = {
        "accuracy": float((answers == data.test_labels).mean() * 100)
    } | sizes(tflite, first, 0.0)

    prune_epochs, qat_epochs = PRUNE_EPOCHS[source], QAT_EPOCHS[source]
    qat_rate = QAT_RATES[source]

    def qat(start, ranges="lsq"):
        return keras_mobilenet.QuantizationAwareTraining(
            start,
            ranges=ranges,
            freeze_bn_after=qat_epochs // 2,
            freeze_ranges_after=qat_epochs - 1,
        )

    phases_of_both = [(prune_epochs, PRUNE_RATE), (qat_epochs, qat_rate)]
    variants = {
        # What the epochs alone give or take.
        "float, tuned as long as QAT": ([(qat_epochs, qat_rate)], []),
        "QAT, moving average": ([(qat_epochs, qat_rate)], [qat(0, "moving_average")]),
        "QAT, LSQ": ([(qat_epochs, qat_rate)], [qat(0)]),
    }
    pruning_steps = len(batches(data, seed)) * prune_epochs // 2
    for sparsity in (0.5, 0.75, 0.9):
        schedule = PolynomialDecay(
            0.0, sparsity, 0, pruning_steps, frequency=max(pruning_steps // 20, 1)
        )
        pruning = MagnitudePruning(schedule=schedule)
        variants[f"pruned {sparsity:.0%}, QAT"] = (phases_of_both, [pruning, qat(prune_epochs)])
    variants["half the channels' MACs, QAT"] = (
        phases_of_both,
        [ChannelPruning(target_macs=0.5, end_epoch=prune_epochs // 2), qat(prune_epochs)],
    )
    for name, (phases, callbacks) in variants.items():
        keras.utils.set_random_seed(seed)
        model = keras.models.clone_model(first)
        model.set_weights(first.get_weights())
        fit(model, data, seed, phases, callbacks)
        if callbacks and isinstance(callbacks[0], ChannelPruning):
            model = callbacks[0].pruned_model
        results[name] = {"accuracy": accuracy(model, data)}
        if seed == 0 and callbacks:
            kernels = [np.array(w) for w in model.trainable_weights if len(w.shape) > 1]
            zeros = sum((k == 0).sum() for k in kernels) / sum(k.size for k in kernels)
            results[name] |= sizes(edge.convert(model), model, float(zeros))
    return results


def show(source: str, seeds: list[dict]) -> None:
    """Prints means, spreads and the first seed's bytes."""
    table = Table(title=f"{source}: MobileNetV1 {ALPHA}, {SIDE}x{SIDE}, {len(seeds)} seeds")
    table.add_column("variant")
    columns = ("accuracy %", "against float", "MACs", ".tflite", "gzip", "flash", "RAM")
    for column in columns:
        table.add_column(column, justify="right")
    reference = np.array([seed["float"]["accuracy"] for seed in seeds])
    for name in seeds[0]:
        values = np.array([seed[name]["accuracy"] for seed in seeds])
        first = seeds[0][name]
        numbers = [f"{first[k]:,}" if k in first else "" for k in ("macs", "tflite", "gzip")]
        numbers += [f"{first[k]:,}" if k in first else "" for k in ("flash", "ram")]
        table.add_row(
            name,
            f"{values.mean():.2f} ± {values.std(ddof=min(len(values) - 1, 1)):.2f}",
            f"{(values - reference).mean():+.2f}",
            *numbers,
        )
    Console(width=130).print(table)


def main() -> None:
    """Trains, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--data", nargs="+", default=list(FLOAT_EPOCHS))
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    everything = {}
    if arguments.out and arguments.out.is_file():
        # A run that was cut off goes on after its last whole seed.
        everything = json.loads(arguments.out.read_text("utf-8"))
    for source in arguments.data:
        everything.setdefault(source, [])
        for seed in range(len(everything[source]), arguments.seeds):
            # A process for each seed: TensorFlow gives the memory of old graphs back only so.
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
                everything[source].append(process.submit(one_seed, source, seed).result())
            show(source, everything[source])
            if arguments.out:
                arguments.out.write_text(json.dumps(everything, indent=1), "utf-8")


if __name__ == "__main__":
    main()
