"""TensorFlow's converter beside `edge.convert`: seconds, memory, and what differs in the files.

`python benchmarks/converter.py [--networks ...]`. Every conversion runs in a child process of its
own; imports and the making of the network are not counted. `KERAS_BACKEND` chooses what ours runs
on; TensorFlow's converter takes TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))

import keras
import numpy as np
from converter_oracle import (
    COUNT,
    by_tensorflow,
    differences,
    unrounded_weights,
    with_last_bits_of,
    with_ranges,
)
from networks import BY_BOTH_CONVERTERS, weights_as_trained
from rich.console import Console
from rich.table import Table

from edge.converter.calibration import calibrate
from edge.converter.quantized_keras import quantized_tflite
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet.quantization.transform import quantize_model

KINDS = ("QAT", "post-training")
SAMPLES = 100
MEBIBYTE = 1 << 10
"""In the kibibytes of /proc."""

COLUMNS = {
    "ours, s": lambda row: f"{row['ours']['seconds']:.2f}",
    "of it calibration": lambda row: f"{row['ours'].get('calibration', 0):.2f}",
    "TensorFlow, s": lambda row: f"{row['theirs']['seconds']:.2f}",
    "ours, MiB": lambda row: f"{row['ours']['memory']:.0f}",
    "TensorFlow, MiB": lambda row: f"{row['theirs']['memory']:.0f}",
    "weights that differ": lambda row: f"{row['moved_weights']} of {row['weights']:,}",
    "scales, at most": lambda row: f"{row['scale_ratio']:.0e}",
    "zero points": lambda row: str(row["moved_zero_points"]),
    "equal outputs": lambda row: f"{row['equal']} of {COUNT}",
    "with its scales": lambda row: f"{row['equal_then']} of {COUNT}",
}


def network(name: str) -> tuple[keras.Model, np.ndarray]:
    """A float network with weights at random, and typical inputs."""
    keras.utils.set_random_seed(0)
    # Layers get the same names in every process.
    keras.backend.clear_session()
    model = BY_BOTH_CONVERTERS[name]()
    model.set_weights(weights_as_trained(model))
    rng = np.random.default_rng(0)
    return model, rng.uniform(-1, 1, (SAMPLES, *model.input_shape[1:])).astype("float32")


def convert(name: str, kind: str, is_ours: bool, out: pathlib.Path) -> dict:
    """One conversion, in this process: its seconds, and the memory that it took on top."""
    model, samples = network(name)
    twin = with_ranges(model) if kind == "QAT" else None
    taken: dict[str, float] = {}
    # Sets the peak back to what is taken now.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, start = peak(), time.perf_counter()
    if not is_ours:
        content = by_tensorflow(model, samples) if twin is None else by_tensorflow(twin)
    elif twin is not None:
        content = quantized_tflite(twin)
    else:
        twin = quantize_model(model, ranges="moving_average")
        at_first = time.perf_counter()
        calibrate(twin, samples)
        taken["calibration"] = time.perf_counter() - at_first
        content = quantized_tflite(twin)
    taken["seconds"] = time.perf_counter() - start
    taken["memory"] = (peak() - before) / MEBIBYTE
    out.write_bytes(content)
    return taken


def peak() -> int:
    """The most memory that this process has taken, in KiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def compared(name: str, kind: str, folder: pathlib.Path) -> dict:
    """Both conversions in children, and what differs in their files."""
    row: dict = {}
    for which in ("ours", "theirs"):
        command = [sys.executable, __file__, "--child", name, kind, which, str(folder / which)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row[which] = json.loads(done.stdout.splitlines()[-1])
    ours, theirs = (read_graph((folder / which).read_bytes()) for which in ("ours", "theirs"))
    model, _ = network(name)
    found = differences(ours, theirs, unrounded_weights(quantize_model(model)))
    inputs = np.random.default_rng(1).integers(-128, 128, (COUNT, *ours.input.shape[1:]), np.int8)
    # The scales' last bits are those of a machine's sums.
    same = with_last_bits_of(theirs, ours, found.pairs)
    *outputs, expected = (run_litert(graph, inputs) for graph in (ours, same, theirs))
    equal, equal_then = (
        int((output == expected).reshape(COUNT, -1).all(axis=1).sum()) for output in outputs
    )
    return row | vars(found) | {"equal": equal, "equal_then": equal_then}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(BY_BOTH_CONVERTERS))
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, kind, which, out = arguments.child
        print(json.dumps(convert(name, kind, which == "ours", pathlib.Path(out))))
        return
    table = Table("network", "", *COLUMNS, title=f"Converters, {SAMPLES} samples")
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.networks:
            for kind in KINDS:
                row = compared(name, kind, pathlib.Path(folder))
                table.add_row(name, kind, *(show(row) for show in COLUMNS.values()))
    Console(width=170).print(table)


if __name__ == "__main__":
    main()
