"""What weights of four bits buy beside eight: bytes of flash, instructions, and equal outputs.

MobileNetV1 with weights at random, once with each; batches of noise set the ranges. Every output of
the engine, on this machine and on emulated cores, of LiteRT's reference kernels and of TFLite Micro
is compared, on as many inputs of random bytes as are asked for.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

import edge
import keras_mobilenet
from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.host import run_on_host
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.graph import Graph
from edge.tflite.operators import has_kernel, kernel_of
from edge.tflite.reader import read_graph

CORES = {"M4": "mps2-an386", "M55": "mps3-an547", "M0+": "qemu-m0plus"}
HEADER_BYTES = 12
"""Bias, multiplier and shift of a channel."""


def main() -> None:
    """Makes both files, compares what runs them, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--alpha", type=float, default=0.25)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--inputs", type=int, default=100)
    options = parser.parse_args()
    console = Console(width=150)
    rows = {bits: row(made(options.alpha, options.side, bits), options.inputs) for bits in (8, 4)}
    table = Table("", "8 bits", "4 bits", "4 / 8")
    for name in rows[8]:
        eight, four = rows[8][name], rows[4][name]
        is_count = not isinstance(eight, str)
        both = (f"{eight:,}", f"{four:,}", f"{four / eight:.3f}") if is_count else (eight, four, "")
        table.add_row(name, *both)
    console.print(table)


def made(alpha: float, side: int, bits: int) -> Graph:
    """The file of a network with weights at random."""
    keras.utils.set_random_seed(0)
    model = keras_mobilenet.MobileNetV1((side, side, 3), alpha=alpha, classes=10)
    twin = keras_mobilenet.quantize_model(model, weight_bits=bits)
    images = np.random.default_rng(0).normal(size=(8, side, side, 3)).astype("float32")
    for _ in range(2):
        twin(images, training=True)
    return read_graph(edge.convert(twin))


def row(graph: Graph, count: int) -> dict[str, int | str]:
    """The figures of one file."""
    shape = (count, *graph.input.shape[1:])
    inputs = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    expected = run_litert(graph, inputs).reshape(count, -1)
    outputs, arena = run_tflm(graph, inputs)
    equal = {"TFLite Micro": outputs, "this machine": run_on_host(compile_engine(graph), inputs)}
    figures: dict[str, int | str] = {
        "file": graph.model_bytes,
        "weights in the file": sum(
            kernel_of(graph, op).bytes for op in graph.operators if has_kernel(op)
        ),
        "TFLite Micro's arena on x86-64": arena,
        "predicted": predict_arena(graph, structures=PYTHON_WHEEL).used_bytes,
    }
    for core, name in CORES.items():
        board = find_board(name)
        engine = compile_engine(graph, instruction_set(board))
        emulation, _ = emulate_engine(engine, board, inputs)
        equal[core] = emulation.outputs
        figures |= {
            f"{core}: instructions of an inference": emulation.instructions,
            f"{core}: weights, biases, scales in flash": engine.weights_bytes,
            f"{core}: weights alone": engine.weights_bytes - HEADER_BYTES * channels(engine),
            f"{core}: state": engine.state_bytes,
        }
    same = [name for name, made in equal.items() if (made.reshape(count, -1) == expected).all()]
    return figures | {f"equal to LiteRT on {count} inputs": ", ".join(same)}


def channels(engine: Engine) -> int:
    """The output channels of all layers with weights."""
    layers = [layer for layer in engine.network.layers if has_kernel(layer.op)]
    return sum(engine.network.rows[layer.output].channels for layer in layers)


if __name__ == "__main__":
    main()
