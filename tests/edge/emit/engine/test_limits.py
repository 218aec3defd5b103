"""Where sums leave 32 bits and SOFTMAX leaves its fixed point: one answer on every core."""

import dataclasses

import numpy as np
import pytest
from graph_builder import GraphBuilder

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import compile_engine, compile_engines, schedule_and_pack
from edge.engine.layers import UnsupportedOperatorError, network_of
from edge.engine.packing import INSTRUCTION_SETS, instruction_set
from edge.firmware.host import run_on_host
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Quantization
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference

CORES = ["mps2-an386", "mps3-an547"]
INT32 = 2**31 - 1


def builder(shape, quantization, *, kernel=None, bias=None, kernel_scale=1e-9):
    """A builder whose layers all have the same weights, and the biases that are given in turn."""

    def weights(shape, axis, source, dead_share):
        channels = shape[axis]
        values = np.full(shape, kernel, np.int8)
        scales = Quantization((kernel_scale,) * channels, (0,) * channels, axis)
        return values, scales, np.resize(np.array(bias, np.int64), channels).astype(np.int32), None

    return GraphBuilder(
        shape,
        draw_quantization=lambda: Quantization((0.05,), (3,), 0),
        draw_weights=weights,
        quantization=quantization,
    )


def softmax(count, scale=0.1):
    made = builder((1, 1, 1, count), Quantization((scale,), (0,), 0))
    made.softmax()
    return read_graph(graph_bytes(made.graph()))


def logits(count):
    """All equal; nearly equal; one that stands out; two steps; any."""
    rng = np.random.default_rng(count)
    near = rng.integers(-2, 1, count)
    one = np.where(np.arange(count) == count // 2, 127, -128)
    rows = [np.zeros(count), np.full(count, -128), near, one, rng.integers(-128, 128, count)]
    return np.array(rows).astype(np.int8).reshape(-1, 1, 1, count)


COUNTS = [1, 2, 511, 512, 600, 1000, 2000, 4095, 4096, 9000]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("scale", [0.01, 0.1])
def test_softmax_has_one_answer_for_any_number_of_logits(host_compiler, count, scale):
    graph = softmax(count, scale)
    inputs = logits(count)
    expected = run_reference(graph, inputs)
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), inputs), expected)
    # The probabilities themselves, to half a step and what the fixed point loses.
    rows = inputs.reshape(len(inputs), -1).astype(np.int64)
    real = np.exp(scale * (rows - rows.max(axis=1, keepdims=True)))
    steps = 256 * real / real.sum(axis=1, keepdims=True)
    assert np.abs(np.clip(steps - 128, -128, 127) - expected).max() <= 0.51


@pytest.mark.parametrize("board", CORES)
@pytest.mark.parametrize("count", [512, 600, 1000, 2000])
def test_softmax_has_the_same_answer_on_a_core(arm_compiler, qemu, count, board):
    graph, inputs, target = softmax(count), logits(count), find_board(board)
    engine = compile_engine(graph, instruction_set(target))
    emulation, _ = emulate_engine(engine, target, inputs)
    np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))


@pytest.mark.parametrize("count", [2, 100, 511])
def test_softmax_below_512_logits_is_that_of_litert(count):
    graph, inputs = softmax(count), logits(count)
    np.testing.assert_array_equal(run_reference(graph, inputs), run_litert(graph, inputs))


@pytest.mark.parametrize("count", [512, 1000, 2000])
def test_softmax_is_that_of_litert_while_the_sum_stays_below_512(count):
    graph, inputs = softmax(count), logits(count)[3:]
    np.testing.assert_array_equal(run_reference(graph, inputs), run_litert(graph, inputs))


@pytest.mark.parametrize("board", [None, *CORES])
def test_softmax_goes_over_the_channels_of_each_pixel(host_compiler, arm_compiler, qemu, board):
    made = builder((1, 3, 5, 7), Quantization((0.1,), (0,), 0))
    made.softmax()
    graph = read_graph(graph_bytes(made.graph()))
    inputs = np.random.default_rng(0).integers(-128, 128, (4, 3, 5, 7), np.int8)
    expected = run_litert(graph, inputs)
    np.testing.assert_array_equal(run_reference(graph, inputs).reshape(4, -1), expected)
    if board is None:
        outputs = run_on_host(compile_engine(graph), inputs)
    else:
        target = find_board(board)
        engine = compile_engine(graph, instruction_set(target))
        outputs = emulate_engine(engine, target, inputs)[0].outputs
    np.testing.assert_array_equal(outputs, expected)


def extreme(opcode, bias, zero_point, kernel):
    """One layer whose bias is next to a limit, which its zero point and weights push over it."""
    made = builder((1, 4, 4, 8), Quantization((0.05,), (zero_point,), 0), kernel=kernel, bias=bias)
    if opcode == "FULLY_CONNECTED":
        made.dense(6)
    elif opcode == "CONV_2D":
        made.conv(6, (3, 3), activation="NONE")
    else:
        made.depthwise(2, (3, 3), activation="NONE")
    return read_graph(graph_bytes(made.graph()))


LIMITS = [INT32, INT32 - 100_000, -INT32 - 1, -INT32 + 100_000, 2**30, 0]


@pytest.mark.parametrize("opcode", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
@pytest.mark.parametrize(("zero_point", "kernel"), [(-128, 127), (127, 127), (-128, -127)])
def test_sums_that_leave_32_bits_on_the_way_are_those_of_litert(
    host_compiler, random_inputs, opcode, zero_point, kernel
):
    """bias - zero point * sum of the weights overflows where the sum in LiteRT's order does not."""
    graph = extreme(opcode, LIMITS, zero_point, kernel)
    inputs = np.concatenate(
        [
            random_inputs(graph, 3),
            np.full((1, 4, 4, 8), -128, np.int8),
            np.full((1, 4, 4, 8), 127, np.int8),
            np.full((1, 4, 4, 8), zero_point, np.int8),
        ]
    )
    expected = run_litert(graph, inputs)
    np.testing.assert_array_equal(run_reference(graph, inputs), expected)
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), inputs), expected)


@pytest.mark.parametrize("board", CORES)
def test_sums_that_leave_32_bits_are_the_same_on_a_core(arm_compiler, qemu, random_inputs, board):
    made = builder((1, 6, 6, 8), Quantization((0.05,), (-128,), 0), kernel=127, bias=LIMITS)
    made.conv(8, (3, 3), activation="NONE")
    made.depthwise(1, (3, 3), activation="NONE")
    made.dense(6)
    graph, target = made.graph(), find_board(board)
    inputs = random_inputs(graph, 3)
    engine = compile_engine(graph, instruction_set(target))
    emulation, _ = emulate_engine(engine, target, inputs)
    np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_kernels_of_other_cores_take_no_sum_near_the_limit(instructions):
    """Their registers saturate and shift in other ways: such a layer goes to the portable ones."""
    graph = extreme("CONV_2D", LIMITS, -128, 127)
    network = network_of(graph)
    engine = schedule_and_pack(network, [instructions])[instructions]
    assert [kernel.name for kernel in engine.kernels] == ["conv"]


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 0.5, 40.0, 3000.0])
@pytest.mark.parametrize("opcode", ["CONV_2D", "FULLY_CONNECTED"])
def test_a_scale_ratio_beyond_one_is_that_of_litert(host_compiler, random_inputs, opcode, scale):
    made = builder(
        (1, 3, 3, 4),
        Quantization((0.05,), (7,), 0),
        kernel=3,
        bias=[-300_000, -100, 0, 1, 100, 300_000],
        kernel_scale=scale,
    )
    if opcode == "CONV_2D":
        made.conv(6, (1, 1), activation="NONE")
    else:
        made.dense(6)
    graph = read_graph(graph_bytes(made.graph()))
    inputs = random_inputs(graph, 5)
    expected = run_litert(graph, inputs)
    np.testing.assert_array_equal(run_reference(graph, inputs), expected)
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), inputs), expected)


@pytest.mark.parametrize("board", [None, *CORES])
def test_ties_of_a_dense_layer_are_those_of_litert(host_compiler, arm_compiler, qemu, board):
    """Half a step of the output from one to the next, where scales are powers of two."""
    halves = np.arange(-30, 30)
    made = builder(
        (1, 1, 1, 4), Quantization((1.0,), (0,), 0), kernel=1, bias=128 * halves, kernel_scale=2**-8
    )
    made.dense(len(halves), quantization=Quantization((1.0,), (3,), 0))
    graph = read_graph(graph_bytes(made.graph()))
    inputs = np.zeros((1, 1, 1, 4), np.int8)
    expected = run_litert(graph, inputs)
    np.testing.assert_array_equal(run_reference(graph, inputs), expected)
    if board is None:
        outputs = run_on_host(compile_engine(graph), inputs)
    else:
        target = find_board(board)
        engine = compile_engine(graph, instruction_set(target))
        outputs = emulate_engine(engine, target, inputs)[0].outputs
    np.testing.assert_array_equal(outputs, expected)


@pytest.mark.parametrize("dead", [0.3, 0.7])
@pytest.mark.parametrize("limit", [INT32, -INT32])
def test_biases_next_to_a_limit_survive_the_loss_of_constant_channels(
    host_compiler, random_graph, random_inputs, limit, dead
):
    for seed in (0, 4):
        graph = random_graph(seed, dead)
        tensors = list(graph.tensors)
        for op in graph.operators:
            if op.opcode in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                bias = tensors[op.inputs[2]]
                values = bias.values().copy()
                values[::3] = limit
                data = np.frombuffer(values.tobytes(), np.uint8)
                tensors[bias.index] = dataclasses.replace(bias, data=data)
        graph = dataclasses.replace(graph, tensors=tuple(tensors))
        inputs = random_inputs(graph, 2)
        actual = run_on_host(compile_engine(graph), inputs)
        np.testing.assert_array_equal(actual, run_reference(graph, inputs))


def test_weights_with_a_zero_point_are_refused():
    made = builder((1, 3, 3, 4), Quantization((0.05,), (7,), 0), kernel=3, bias=[0])
    made.dense(4)
    graph = made.graph()
    kernel = graph.tensors[graph.operators[0].inputs[1]]
    points = dataclasses.replace(kernel.quantization, zero_points=(0, 0, 5, 0))
    tensors = list(graph.tensors)
    tensors[kernel.index] = dataclasses.replace(kernel, quantization=points)
    with pytest.raises(UnsupportedOperatorError, match="with a zero point of its weights"):
        compile_engines(dataclasses.replace(graph, tensors=tuple(tensors)), INSTRUCTION_SETS)


def test_an_add_whose_output_s_scale_is_a_millionth_is_refused():
    made = builder((1, 3, 3, 4), Quantization((1.0,), (7,), 0))
    made.add(made.last, "NONE", quantization=Quantization((1e-7,), (0,), 0))
    with pytest.raises(UnsupportedOperatorError, match="with an output scale of 1e-07"):
        compile_engine(made.graph())
