"""Convolutions of all widths that a strip, a tile or a pair of columns ends in, on cores."""

from __future__ import annotations

import numpy as np
import pytest
from graph_builder import GraphBuilder
from networks import RandomValues

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated
from edge.tflite.reference import run_reference

BOARDS = ("mps2-an386", "mps3-an547")


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("width", [1, 2, 3, 5, 31, 33, 66])
def test_rows_of_any_width(arm_compiler, qemu, board, width):
    """The DSP kernel makes strips of 32 outputs, of 16 where the stride is 2, of any rest."""
    values = RandomValues(np.random.default_rng(width))
    made = GraphBuilder(
        (1, 5, width, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(7, (2, 3))
    made.conv(8, (1, 1))
    made.depthwise(1, (3, 3))
    made.pad((1, 1), (4, 5))
    made.depthwise(1, (3, 3), (1, 2))
    made.conv(9, (3, 3))
    graph = made.graph()
    shape = (2, *graph.input.shape[1:])
    inputs = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    outputs = run_emulated(graph, find_board(board), inputs)[0].outputs
    np.testing.assert_array_equal(outputs, run_reference(graph, inputs))
