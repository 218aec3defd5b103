"""TensorFlow's converter beside `edge.convert`: seconds, memory, and what differs in the files.

`python benchmarks/converter.py [--networks ...]`. Each converter runs in a child process of its
own; imports and the making of the network are not counted. Seconds are those of the CPU, so that a
busy machine does not show. The conversion after training comes second in its process: its memory is
what it takes on top of all that the first one left free, a lower bound.
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
from collections.abc import Iterator

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests"))
# The package before the tests' folder of the same name.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

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
from rich.progress import track
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


def conversions(name: str, is_ours: bool, folder: pathlib.Path) -> dict[str, dict]:
    """Both kinds of conversion in this process: what each took."""
    model, samples = network(name)
    quantized = with_ranges(model)
    kinds = ((KINDS[0], quantized, None), (KINDS[1], model, samples))
    return {
        kind: measured(convert, own, typical, is_ours, folder / file_name(kind, is_ours))
        for kind, own, typical in kinds
    }


def measured(function, *arguments) -> dict[str, float]:
    """What a function took: CPU seconds, and the memory on top of what was taken before."""
    # Sets the peak back to what is taken now.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before, start = peak(), time.process_time()
    taken = function(*arguments)
    taken["seconds"] = time.process_time() - start
    taken["memory"] = (peak() - before) / MEBIBYTE
    return taken


def convert(model: keras.Model, samples, is_ours: bool, out: pathlib.Path) -> dict[str, float]:
    """One conversion; of ours after training, the seconds of the calibration too."""
    taken: dict[str, float] = {}
    if not is_ours:
        out.write_bytes(by_tensorflow(model, samples))
        return taken
    if samples is not None:
        model = quantize_model(model, ranges="moving_average")
        start = time.process_time()
        calibrate(model, samples)
        taken["calibration"] = time.process_time() - start
    out.write_bytes(quantized_tflite(model))
    return taken


def file_name(kind: str, is_ours: bool) -> str:
    """The file of a conversion."""
    return f"{kind} {'ours' if is_ours else 'theirs'}"


def peak() -> int:
    """The most memory that this process has taken, in KiB."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def compared(name: str, folder: pathlib.Path) -> Iterator[dict]:
    """Both converters in children, and what differs in their files."""
    taken = {}
    for which in ("ours", "theirs"):
        command = [sys.executable, __file__, "--child", name, which, str(folder)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        taken[which] = json.loads(done.stdout.splitlines()[-1])
    model, _ = network(name)
    unrounded = unrounded_weights(quantize_model(model))
    for kind in KINDS:
        ours, theirs = (
            read_graph((folder / file_name(kind, is_ours)).read_bytes())
            for is_ours in (True, False)
        )
        found = differences(ours, theirs, unrounded)
        shape = (COUNT, *ours.input.shape[1:])
        inputs = np.random.default_rng(1).integers(-128, 128, shape, np.int8)
        # The scales' last bits are those of a machine's sums.
        same = with_last_bits_of(theirs, ours, found.pairs)
        *outputs, expected = (run_litert(graph, inputs) for graph in (ours, same, theirs))
        equal, equal_then = (
            int((output == expected).reshape(COUNT, -1).all(axis=1).sum()) for output in outputs
        )
        facts = {which: kinds[kind] for which, kinds in taken.items()}
        yield facts | vars(found) | {"equal": equal, "equal_then": equal_then}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(BY_BOTH_CONVERTERS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        name, which, folder = arguments.child
        print(json.dumps(conversions(name, which == "ours", pathlib.Path(folder))))
        return
    table = Table("network", "", *COLUMNS, title=f"Converters, {SAMPLES} samples")
    with tempfile.TemporaryDirectory() as folder:
        for name in track(arguments.networks):
            for kind, row in zip(KINDS, compared(name, pathlib.Path(folder)), strict=True):
                table.add_row(name, kind, *(show(row) for show in COLUMNS.values()))
    Console(width=190).print(table)


if __name__ == "__main__":
    main()
