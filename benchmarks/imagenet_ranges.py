"""How an ImageNet network's ranges are best found: from data afterwards, averaged, or learned.

`python benchmarks/imagenet_ranges.py DATA [--seeds 5]`, where DATA holds Google's
`models/mobilenet_v1_0.25_128_quant.tflite` and `images/NNN_*.jpg` of class NNN. The network comes
back as float Keras; each half of the photographs tunes it once, with its own float scores as the
target, and the other half judges. int8 scores are those of the int8 kernels.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

import edge
from edge.converter.calibration import METHODS
from edge.deploy.verify import quantize_inputs
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet import QuantizationAwareTraining
from keras_mobilenet.models.weights import from_tflite
from keras_mobilenet.preprocessing.preprocessing import pixels_to_input, resize_pixels
from keras_mobilenet.quantization.transform import RANGES

SIDE = 128
BATCH_SIZE = 25
EPOCHS = 30
"""Of five steps: a learned step first averages 50 batches."""

RATE = 1e-4


def photographs(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """The model's inputs, and their classes in the model's count, where 0 is background."""
    paths = sorted(folder.glob("*.jpg"))
    pixels = [resize_pixels(np.asarray(Image.open(path)), SIDE, SIDE, 3) for path in paths]
    return pixels_to_input(np.stack(pixels)), np.array([int(path.name[:3]) + 1 for path in paths])


def int8_scores(model: keras.Model, inputs: np.ndarray, *typical, **options) -> np.ndarray:
    """What the int8 kernels answer."""
    graph = read_graph(edge.convert(model, *typical, **options))
    return run_litert(graph, quantize_inputs(graph, inputs))


def tuned(path: pathlib.Path, inputs: np.ndarray, targets: np.ndarray, ranges: str, seed: int):
    """The network after quantization-aware training on its own float scores."""
    keras.utils.set_random_seed(seed)
    model = from_tflite(path)
    model.compile(keras.optimizers.Adam(RATE), "kl_divergence", jit_compile=False)
    qat = QuantizationAwareTraining(ranges=ranges, freeze_bn_after=0)
    model.fit(inputs, targets, BATCH_SIZE, EPOCHS, verbose=0, callbacks=[qat])
    return model


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    path = arguments.data / "models" / "mobilenet_v1_0.25_128_quant.tflite"
    inputs, labels = photographs(arguments.data / "images")
    scores = from_tflite(path).predict(inputs, verbose=0)
    halves = [np.arange(len(inputs)) % 2 == n for n in (0, 1)]

    def held_out(score_of_half) -> np.ndarray:
        answers = np.empty(len(inputs), int)
        for tuning in halves:
            answers[~tuning] = score_of_half(tuning, ~tuning).argmax(axis=1)
        return answers

    runs: dict[str, list[np.ndarray]] = {"float": [scores.argmax(axis=1)]}
    for method in METHODS:
        runs[f"after training, {method}"] = [
            held_out(
                lambda own, held, method=method: int8_scores(
                    from_tflite(path), inputs[held], inputs[own], calibration=method
                )
            )
        ]
    for ranges in RANGES if arguments.seeds else ():
        runs[f"QAT, {ranges}"] = [
            held_out(
                lambda own, held, ranges=ranges, seed=seed: int8_scores(
                    tuned(path, inputs[own], scores[own], ranges, seed), inputs[held]
                )
            )
            for seed in track(range(arguments.seeds), ranges)
        ]
    table = Table(title=f"MobileNetV1 0.25, {SIDE}x{SIDE}, {len(inputs)} ImageNet photographs")
    for column in ("variant", "top-1 %", "as float %"):
        table.add_column(column, justify="left" if column == "variant" else "right")
    for name, answers in runs.items():
        right = [float((a == labels).mean() * 100) for a in answers]
        same = [float((a == runs["float"][0]).mean() * 100) for a in answers]
        spread = [f" ± {np.std(v, ddof=1):.2f}" if len(v) > 1 else "" for v in (right, same)]
        table.add_row(name, f"{np.mean(right):.2f}{spread[0]}", f"{np.mean(same):.2f}{spread[1]}")
    Console().print(table)


if __name__ == "__main__":
    main()
