"""Every kernel, and every line of one, is executed on an emulated core by a case that is compared.

QEMU says what was executed. Networks of our own reach everything; of CMSIS-NN's cases those that
the engine runs have neither a MEAN nor a PAD nor a fused activation.
"""

import functools
import re

import numpy as np
import pytest
from cmsis_nn import (
    EQUAL,
    FOLDER,
    NAMES,
    SPARSE,
    Arrays,
    Case,
    behind_a_quantize,
    beside_dead_channels,
    case,
    engine_of,
)
from executed import execute
from graph_builder import GraphBuilder, with_int4_weights
from networks import RandomValues, pruned_graph, random_graph

from edge.catalog.boards import find_board
from edge.emit.engine.render import KERNEL_FOLDER, render_engines
from edge.engine.compile import compile_engines
from edge.engine.packing import INSTRUCTION_SETS, instruction_set
from edge.tflite.graph import Quantization
from edge.tflite.reference import run_reference

BOARDS = ("qemu-m0plus", "mps2-an385", "mps2-an386", "mps3-an547")
"""Cortex-M0+, whose portable kernels have lines of their own, M3, M4 and M55."""

SEEDS = {"portable": (), "dsp": (3, 5), "mve": (2, 10)}
"""Random networks that reach what `one_of_each` leaves."""

UNREACHED = {("pool.c", "  return sum;")}
"""The compiler keeps it for a window without rows, which no graph has: others return elsewhere."""

PORTABLE_TOO = {"add", "conv", "conv_int4", "fully_connected", "fully_connected_int4"}
WITHOUT_A_CASE = {"portable": set(), "dsp": PORTABLE_TOO, "mve": PORTABLE_TOO}
"""Beside MEAN and PAD, kernels of which CMSIS-NN has no case that the engine runs."""


def of_core(names, instructions):
    """Of names of kernels, the portable ones and those of an instruction set."""
    others = tuple(f"_{other}" for other in INSTRUCTION_SETS if other != instructions)
    return {name for name in names if not name.endswith(others)}


def kernels_of(instructions):
    declared = re.findall(r"^void engine_(\w+)\(", (KERNEL_FOLDER / "engine.h").read_text(), re.M)
    return of_core(declared, instructions)


def text_of(file, number):
    """A line as it is compiled: `engine.h` has others than in its folder."""
    return texts()[file].splitlines()[number - 1]


@functools.cache
def texts():
    engines = compile_engines(one_of_each(), INSTRUCTION_SETS)
    return render_engines(engines) | {
        path.name: path.read_text() for path in KERNEL_FOLDER.glob("*.c")
    }


def one_of_each():
    """A network that takes every kernel, on each core."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 11, 9, 4), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(8, (3, 3), activation="RELU6")
    made.depthwise(1, (3, 3))
    made.depthwise(2, (2, 3))
    # Most pairs of channels are zeros, which the sparse kernel skips.
    made.conv(20, (1, 2), dead_share=0.9, dilation=(1, 2))
    # A multiplier of more than a half is the portable kernel's, on all cores.
    made.conv(4, (2, 2), quantization=Quantization((1e-5,), (3,), 0))
    made.depthwise(1, (2, 2), quantization=Quantization((1e-8,), (3,), 0))
    made.requantize()
    made.depthwise(1, (3, 3), (1, 2))
    made.pad((1, 2), (0, 3))
    made.pool("AVERAGE_POOL_2D", (2, 3), (1, 2), "SAME")
    made.pool("MAX_POOL_2D", (3, 2), (2, 1), "SAME")
    before = made.last
    made.requantize()
    # Scales so small that the sums are not shifted to the right are the portable kernels', too.
    scale = max(made.tensors[index].quantization.scales[0] for index in (before, made.last))
    made.add(before, quantization=Quantization((scale * 2 / 0.75 / 2**20,), (3,), 0))
    made.requantize()
    made.add(before)
    # To a finer scale: shifted to the left.
    made.requantize(quantization=Quantization((made.quantization.scales[0] / 3,), (3,), 0))
    made.curve("HARD_SWISH")
    made.mean()
    made.dense(6, quantization=Quantization((1e-5,), (3,), 0))
    made.dense(22)
    made.dense(7, "RELU")
    made.softmax()
    return made.graph()


def raised_mean():
    """A mean whose multiplier is above a half: it is shifted to the left."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 3, 2, 4), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.mean(quantization=Quantization((1e-5,), (3,), 0))
    return made.graph()


def depthwise_of_few_channels():
    """An odd number of taps in all directions, and channels that are no fours."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 9, 8, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.requantize()
    made.depthwise(1, (5, 3), (1, 2), activation="RELU6")
    return made.graph()


def rows_of_each_width():
    """Rows of eight pixels, of five and of one, by convolutions with and without zeros."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 3, 8, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    for less in (3, 4, 0):
        made.conv(7, (3, 3))
        made.conv(20, (1, 2), dead_share=0.9)
        made.conv(5, (1, 1 + less), padding="VALID")
    return made.graph()


def of_int4():
    """Weights of four bits: rows of each width, few taps and many, outputs that are no fours."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 3, 11, 5), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(20, (2, 2), activation="RELU6")
    made.conv(9, (3, 3))
    for less in (3, 3, 4):
        made.conv(7, (1, 1))
        made.conv(3, (1, 2), dilation=(1, 2))
        made.conv(5, (1, 1 + less), padding="VALID")
    made.conv(6, (3, 3))
    made.dense(5, "RELU")
    made.dense(6, quantization=Quantization((1e-6,), (3,), 0))
    return with_int4_weights(made.graph())


def raised_int4():
    """Weights of four bits and multipliers of more than a half: the portable kernel's."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 4, 5, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(4, (2, 2), dilation=(1, 2), quantization=Quantization((1e-5,), (3,), 0))
    made.conv(5, (2, 2), quantization=Quantization((1e-9,), (3,), 0))
    made.conv(3, (1, 1), quantization=Quantization((1e-13,), (3,), 0))
    return with_int4_weights(made.graph())


def of_vectors(dead_share):
    """What the kernels for vectors do apart: many taps, few channels, gaps, odd numbers."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 9, 11, 5), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(20, (3, 3), activation="RELU6", dead_share=dead_share)
    made.depthwise(1, (5, 3), activation="RELU6")
    made.depthwise(1, (3, 3), (1, 2), activation="RELU6")
    made.depthwise(1, (3, 3), (1, 2))
    made.conv(3, (2, 2), dead_share=dead_share)
    made.conv(16, (3, 3), dilation=(1, 2), dead_share=dead_share)
    made.conv(26, (1, 1), dead_share=dead_share)
    return made.graph()


def own(graph):
    shape = (2, *graph.input.shape[1:])
    inputs = np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    return Case(graph, inputs, run_reference(graph, inputs))


def own_cases(instructions):
    yield "one of each", own(one_of_each())
    yield "raised mean", own(raised_mean())
    if instructions == "dsp":
        yield "few channels", own(depthwise_of_few_channels())
        yield "rows of each width", own(rows_of_each_width())
    yield "four bits", own(of_int4())
    yield "four bits, raised", own(raised_int4())
    yield "of vectors", own(of_vectors(0.0))
    yield "of zeros", own(of_vectors(0.9))
    yield "pruned", own(pruned_graph(0.75))
    for seed in SEEDS[instructions]:
        yield f"random {seed}", own(random_graph(seed, 0.5 if seed % 2 else 0.0))


def cases_of_cmsis_nn():
    for name in EQUAL:
        found = case(name)
        yield name, found
        if "CH_MULT" in Arrays(name).config:
            moved = behind_a_quantize(found.graph)
            yield f"{name}, moved", Case(moved, found.inputs, run_reference(moved, found.inputs))
        if name in SPARSE:
            wider = beside_dead_channels(found.graph)
            yield f"{name}, wider", Case(wider, found.inputs, run_reference(wider, found.inputs))


def run_all(cases, board):
    """Compares all bytes; returns the cases of each kernel, the lines, and those reached."""
    instructions = instruction_set(board)
    reached_by = {kernel: [] for kernel in kernels_of(instructions)}
    lines, reached = set(), set()
    for name, found in cases:
        done = execute(engine_of(found.graph, instructions), board, found.inputs)
        np.testing.assert_array_equal(np.clip(done.outputs, found.low, found.high), found.expected)
        lines |= done.lines
        reached |= done.executed
        for kernel in done.kernels:
            reached_by[kernel].append(name)
    print(f"{instructions}: {len(reached)} of {len(lines)} lines")
    for kernel, names in sorted(reached_by.items()):
        print(f"{instructions}: {kernel} in {len(names)} cases: {', '.join(names)}")
    return reached_by, lines, reached


@pytest.mark.parametrize(
    "board_id",
    [
        # The portable kernels, which two of the four run.
        BOARDS[0],
        pytest.param(BOARDS[1], marks=pytest.mark.exhaustive),
        *BOARDS[2:],
    ],
)
def test_networks_of_our_own_reach_every_line_of_every_kernel(arm_compiler, qemu, board_id):
    board = find_board(board_id)
    instructions = instruction_set(board)
    reached_by, lines, reached = run_all(own_cases(instructions), board)
    assert all(reached_by.values())
    files = of_core({path.stem for path in KERNEL_FOLDER.glob("*.c")}, instructions)
    assert {unit.removesuffix(".c") for unit, _, _ in lines} == files
    left = {(unit, text_of(file, number)) for unit, file, number in lines - reached}
    assert left <= UNREACHED


@pytest.mark.exhaustive
@pytest.mark.skipif(not NAMES, reason=f"no cases of CMSIS-NN: {FOLDER} is absent")
@pytest.mark.parametrize("board_id", BOARDS)
def test_cases_of_cmsis_nn_reach_every_kernel_they_have(arm_compiler, qemu, board_id):
    board = find_board(board_id)
    reached_by, _, _ = run_all(cases_of_cmsis_nn(), board)
    left = {kernel for kernel, names in reached_by.items() if not names}
    assert left == {"mean", "pad", "table"} | WITHOUT_A_CASE[instruction_set(board)]
