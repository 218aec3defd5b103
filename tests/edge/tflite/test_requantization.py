"""The parameters of the int8 operators are those that LiteRT computes with, operator by operator.

Oracle and packer take them from the same module, so neither can be the judge of it. Each test sums
up by itself, scales with the parameters, and asks LiteRT's reference kernels.
"""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge.runtimes.interpreters import run_litert, run_litert_tensors
from edge.tflite.fixed_point import (
    divide_by_power,
    exp_table,
    high_multiply,
    reciprocal,
    requantize,
    requantize_once,
)
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph
from edge.tflite.requantization import (
    ADD_LEFT_SHIFT,
    activation_range,
    add_multipliers,
    bias_of,
    channel_multipliers,
    mean_multiplier,
    quantize_multiplier,
)
from edge.tflite.writer import AlignedBuffer, pack

ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}
EVERY_BYTE = np.arange(-128, 128, dtype=np.int8)
SQUARE = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}


@dataclasses.dataclass(frozen=True)
class Activation:
    """An int8 activation with one scale."""

    shape: tuple[int, ...]
    scale: float
    zero_point: int


@dataclasses.dataclass(frozen=True)
class Constant:
    """Values of a kernel, a bias or axes; scales along `axis` where it is quantized."""

    values: np.ndarray
    scales: tuple[float, ...] = ()
    axis: int = 0


def one_operator(opcode, inputs, output, options=None, **fields) -> Graph:
    """A model of one operator; `fields` are those of the schema's `options` table."""
    model, subgraph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs, model.buffers = 3, [subgraph], [AlignedBuffer()]
    subgraph.tensors = [_tensor(model, n, tensor) for n, tensor in enumerate([*inputs, output])]
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, opcode)
    code.version = 1
    operator.opcodeIndex, operator.inputs = 0, list(range(len(inputs)))
    operator.outputs = [len(inputs)]
    if options is not None:
        operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        operator.builtinOptions = getattr(schema, f"{options}T")()
        for field, value in fields.items():
            setattr(operator.builtinOptions, field, value)
    model.operatorCodes, subgraph.operators = [code], [operator]
    subgraph.inputs = [n for n, tensor in enumerate(inputs) if isinstance(tensor, Activation)]
    subgraph.outputs = [len(inputs)]
    return read_graph(pack(model))


def _tensor(model, index, tensor):
    made = schema.TensorT()
    made.name, made.buffer = f"tensor{index}", 0
    if isinstance(tensor, Activation):
        made.shape, made.type = list(tensor.shape), schema.TensorType.INT8
        made.quantization = _quantization((tensor.scale,), tensor.zero_point, 0)
        return made
    values = tensor.values
    made.shape, made.buffer = list(values.shape), len(model.buffers)
    is_int8 = values.dtype == np.int8
    made.type = schema.TensorType.INT8 if is_int8 else schema.TensorType.INT32
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)
    model.buffers.append(buffer)
    if tensor.scales:
        made.quantization = _quantization(tensor.scales, 0, tensor.axis)
    return made


def _quantization(scales, zero_point, axis):
    made = schema.QuantizationParametersT()
    made.scale, made.zeroPoint = list(scales), [zero_point] * len(scales)
    made.quantizedDimension = axis
    return made


def in_range(graph, values):
    """What an operator makes of its sums: the zero point added, cut by its activation."""
    output, op = graph.output, graph.operators[0]
    return np.clip(values + output.quantization.zero_points[0], *activation_range(op, output))


def channels(rng, count, source_scale):
    """Weights, scales from a tiny to a large one, and biases that use the accumulator's range."""
    kernel = rng.integers(-127, 128, (count, 16)).astype(np.int8)
    scales = tuple(float(s) for s in np.geomspace(1e-5, 0.3, count).astype(np.float32))
    bias = rng.integers(-(2**14), 2**14, count).astype(np.int32)
    return kernel, Constant(bias, tuple(source_scale * s for s in scales)), scales


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_multipliers_and_biases_of_conv_2d_are_litert_s(activation):
    rng = np.random.default_rng(0)
    kernel, bias, scales = channels(rng, 64, 0.03)
    weights = Constant(kernel.reshape(64, 1, 1, 16), scales, 0)
    graph = one_operator(
        "CONV_2D",
        [Activation((1, 1, 1, 16), 0.03, -7), weights, bias],
        Activation((1, 1, 1, 64), 0.11, 3),
        options="Conv2DOptions",
        fusedActivationFunction=ACTIVATIONS[activation],
        **SQUARE,
    )
    inputs = rng.integers(-128, 128, (40, 1, 1, 16)).astype(np.int8)
    op = graph.operators[0]
    sums = (inputs.reshape(-1, 16).astype(np.int64) + 7) @ kernel.T.astype(np.int64)
    scaled = requantize(sums + bias_of(graph, op), *channel_multipliers(graph, op))
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, inputs))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_multipliers_of_depthwise_conv_2d_are_litert_s(activation):
    rng = np.random.default_rng(1)
    kernel, bias, scales = channels(rng, 64, 0.2)
    weights = Constant(np.ascontiguousarray(kernel.T).reshape(1, 4, 4, 64), scales, 3)
    graph = one_operator(
        "DEPTHWISE_CONV_2D",
        [Activation((1, 4, 4, 64), 0.2, 5), weights, bias],
        Activation((1, 1, 1, 64), 0.3, -20),
        options="DepthwiseConv2DOptions",
        fusedActivationFunction=ACTIVATIONS[activation],
        padding=1,
        depthMultiplier=1,
        **SQUARE,
    )
    inputs = rng.integers(-128, 128, (40, 4, 4, 64)).astype(np.int8)
    op = graph.operators[0]
    sums = np.einsum("nkc,ck->nc", inputs.reshape(40, 16, 64).astype(np.int64) - 5, kernel)
    scaled = requantize(sums + bias_of(graph, op), *channel_multipliers(graph, op))
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, inputs))


@pytest.mark.parametrize("scale", [0.001, 0.02])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("activation", ["NONE", "RELU6"])
def test_the_multiplier_of_fully_connected_is_litert_s(scale, activation, has_bias):
    rng = np.random.default_rng(2)
    kernel, bias, _ = channels(rng, 32, 0.05)
    weights = Constant(kernel, (scale,))
    biases = [Constant(bias.values)] if has_bias else []
    graph = one_operator(
        "FULLY_CONNECTED",
        [Activation((1, 16), 0.05, 9), weights, *biases],
        Activation((1, 32), 0.07, -3),
        options="FullyConnectedOptions",
        fusedActivationFunction=ACTIVATIONS[activation],
    )
    inputs = rng.integers(-128, 128, (40, 16)).astype(np.int8)
    op = graph.operators[0]
    sums = (inputs.astype(np.int64) - 9) @ kernel.T.astype(np.int64) + bias_of(graph, op)
    multipliers, shifts = channel_multipliers(graph, op)
    # One scale for all of them.
    assert len({*zip(multipliers.tolist(), shifts.tolist(), strict=True)}) == 1
    scaled = requantize_once(sums, int(multipliers[0]), int(shifts[0]))
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, inputs))


@pytest.mark.parametrize(
    ("exponent", "is_per_channel"),
    # LiteRT takes one coarse scale for all only with that of the bias in the file.
    [(-23, True), (-8, True), (-2, True), (-1, True), (-23, False), (-8, False)],
)
def test_ties_of_fully_connected_are_litert_s(exponent, is_per_channel):
    """Scales that are powers of two, and sums half way between two steps of the output."""
    halves = np.arange(-301, 301, 2, dtype=np.int64)
    scale = 2.0**exponent
    count = len(halves)
    bias = Constant((halves / 2 / scale).astype(np.int32))
    weights = Constant(np.ones((count, 4), np.int8), (scale,) * (count if is_per_channel else 1))
    graph = one_operator(
        "FULLY_CONNECTED",
        [Activation((1, 4), 1.0, 0), weights, bias],
        Activation((1, count), 1.0, 3),
        options="FullyConnectedOptions",
    )
    inputs = np.concatenate([np.zeros((1, 4)), np.eye(4)]).astype(np.int8)
    op = graph.operators[0]
    sums = inputs.astype(np.int64).sum(axis=1, keepdims=True) + bias_of(graph, op)
    scaled = requantize_once(sums, *(int(n[0]) for n in channel_multipliers(graph, op)))
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, inputs))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("scales", [(0.5, 0.02, 0.3), (0.01, 0.013, 0.02), (0.1, 0.1, 0.9)])
def test_multipliers_of_add_are_litert_s(scales, activation):
    first, second, result = scales
    graph = one_operator(
        "ADD",
        [Activation((1, 256), first, -11), Activation((1, 256), second, 60)],
        Activation((1, 256), result, -5),
        options="AddOptions",
        fusedActivationFunction=ACTIVATIONS[activation],
    )
    # Every pair of bytes.
    inputs = np.stack([np.concatenate([EVERY_BYTE, np.roll(EVERY_BYTE, n)]) for n in range(256)])
    left, right, last = add_multipliers(graph, graph.operators[0])
    shifted = [
        (values.astype(np.int64) - point) << ADD_LEFT_SHIFT
        for values, point in ((inputs[:, :256], -11), (inputs[:, 256:], 60))
    ]
    total = requantize(shifted[0], *left) + requantize(shifted[1], *right)
    (made,) = run_litert_tensors(graph, inputs, [graph.outputs[0]])
    np.testing.assert_array_equal(in_range(graph, requantize(total, *last)), made)


@pytest.mark.parametrize("sides", [(1, 1), (3, 5), (7, 7), (32, 32)])
@pytest.mark.parametrize("result", [0.02, 0.11])
def test_the_multiplier_of_mean_is_litert_s(sides, result):
    graph = one_operator(
        "MEAN",
        [Activation((1, *sides, 8), 0.05, 12), Constant(np.array([1, 2], np.int32))],
        Activation((1, 8), result, -30),
        options="ReducerOptions",
        keepDims=False,
    )
    inputs = np.random.default_rng(3).integers(-128, 128, (20, *sides, 8)).astype(np.int8)
    sums = (inputs.astype(np.int64) - 12).sum(axis=(1, 2))
    scaled = requantize(sums, *mean_multiplier(graph, graph.operators[0]))
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, inputs))


@pytest.mark.parametrize("scales", [(0.5, 0.25), (0.013, 0.02), (0.1, 0.0007), (0.3, 0.3)])
def test_the_multiplier_of_quantize_is_litert_s(scales):
    graph = one_operator(
        "QUANTIZE", [Activation((1, 256), scales[0], 4)], Activation((1, 256), scales[1], -9)
    )
    scaled = requantize(
        EVERY_BYTE[None].astype(np.int64) - 4, *quantize_multiplier(graph, graph.operators[0])
    )
    np.testing.assert_array_equal(in_range(graph, scaled), run_litert(graph, EVERY_BYTE[None]))


# From 16 on, a step below the largest input leaves nothing.
@pytest.mark.parametrize("scale", [0.002, 0.05, 0.3, 15.99, 16.0, 40.0, 1e6])
@pytest.mark.parametrize("beta", [1.0, 0.5])
def test_exponentials_and_reciprocals_are_those_of_litert_s_softmax(scale, beta):
    graph = one_operator(
        "SOFTMAX",
        [Activation((1, 12), scale, 3)],
        Activation((1, 12), 1 / 256, -128),
        options="SoftmaxOptions",
        beta=beta,
    )
    inputs = np.random.default_rng(4).integers(-128, 128, (60, 12)).astype(np.int8)
    table = exp_table(graph.input.quantization.scales[0], beta)
    steps = inputs.max(axis=1, keepdims=True).astype(np.int64) - inputs
    expected = []
    for row in table[steps]:
        factor, bits = reciprocal(int(divide_by_power(row, 12).sum()))
        scaled = divide_by_power(high_multiply(factor, row), bits + 23)
        expected.append(np.where(row == 0, -128, np.clip(scaled - 128, -128, 127)))
    np.testing.assert_array_equal(expected, run_litert(graph, inputs))
