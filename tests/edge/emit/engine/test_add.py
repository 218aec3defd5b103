"""ADD of all pairs of bytes, at scales near and far from each other."""

import numpy as np
import pytest
from graph_builder import GraphBuilder

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Quantization
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph

PAIRS = np.stack(np.meshgrid(np.arange(-128, 128), np.arange(-128, 128)), axis=-1)
"""Two channels, which two convolutions take apart again."""

CASES = [
    # Scales and zero points of both inputs and of the output.
    ((0.1, 0), (0.1, 0), (0.1, 0)),
    ((0.1, -128), (0.1, 127), (0.17, 5)),
    ((0.1, -128), (0.09999, 3), (0.13, -7)),
    ((0.013, 127), (0.1, -128), (0.001, 0)),
    ((0.1, 31), (0.0001, -128), (0.05, -128)),
    ((1e-9, 1), (1.0, -1), (1.0, 3)),
    ((1e-12, 1), (1.0, -1), (3e3, 3)),
]


def pair_of(first, second, output):
    """The sum of two channels, each quantized anew."""
    picks = iter([(127, 0, first[0]), (0, 127, second[0])])

    def weights(shape, axis, source, dead_share):
        *kernel, scale = next(picks)
        values = np.array(kernel, np.int8).reshape(shape)
        return values, Quantization((scale / 127,), (0,), axis), np.zeros(1, np.int32), None

    scales = [Quantization((scale,), (point,), 0) for scale, point in (first, second, output)]
    made = GraphBuilder(
        (1, 64, 64, 2),
        draw_quantization=lambda: scales[2],
        draw_weights=weights,
        quantization=Quantization((1.0,), (0,), 0),
    )
    made.conv(1, (1, 1), activation="NONE", quantization=scales[0])
    before, made.last = made.last, 0
    made.conv(1, (1, 1), activation="NONE", quantization=scales[1])
    made.add(before, "NONE")
    return read_graph(graph_bytes(made.graph()))


@pytest.mark.parametrize("board", ["mps2-an386", "mps3-an547"])
@pytest.mark.parametrize("case", CASES)
def test_sums_of_all_pairs_are_those_of_litert(arm_compiler, qemu, case, board):
    graph, target = pair_of(*case), find_board(board)
    inputs = PAIRS.reshape(16, 64, 64, 2).astype(np.int8)
    engine = compile_engine(graph, instruction_set(target))
    emulation, _ = emulate_engine(engine, target, inputs)
    outputs = emulation.outputs.reshape(-1)
    np.testing.assert_array_equal(outputs, run_litert(graph, inputs).reshape(-1))
