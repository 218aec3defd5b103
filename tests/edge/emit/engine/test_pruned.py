"""Blocks of zeros that the kernels skip: fewer instructions and less flash, the same bytes."""

import numpy as np
import pytest
from networks import pruned_graph

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated
from edge.engine.compile import compile_engine
from edge.firmware.host import run_on_host
from edge.tflite.reference import run_reference

PORTABLE = ("qemu-m0plus", "mps2-an385")


def kernels(engine):
    return {kernel.name for kernel in engine.kernels}


@pytest.mark.parametrize("share", [0.5, 0.75, 0.95, 1.0])
@pytest.mark.parametrize("width", [1, 4, 7])
def test_computes_the_reference_on_this_machine(host_compiler, random_inputs, share, width):
    graph = pruned_graph(share, width=width)
    engine = compile_engine(graph)
    if share in (0.75, 0.95):
        assert "conv_sparse" in kernels(engine)
    inputs = random_inputs(graph, 3)
    np.testing.assert_array_equal(run_on_host(engine, inputs), run_reference(graph, inputs))


def test_weights_that_are_not_pruned_are_read_whole():
    assert kernels(compile_engine(pruned_graph(0.0))) == {"conv"}
    assert kernels(compile_engine(pruned_graph(0.1))) == {"conv"}


@pytest.mark.parametrize("board", PORTABLE)
def test_a_core_without_the_dsp_extension_takes_less_than_65_percent(arm_compiler, qemu, board):
    counts = {}
    for share in (0.0, 0.75):
        graph = pruned_graph(share, 16, 16)
        inputs = np.random.default_rng(1).integers(-128, 128, (2, 16, 16, 5)).astype(np.int8)
        emulation = run_emulated(graph, find_board(board), inputs)[0]
        np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))
        counts[share] = emulation.instructions
    assert counts[0.75] < 0.65 * counts[0.0]
