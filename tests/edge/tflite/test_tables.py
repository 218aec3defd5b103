"""Operators that are tables: LiteRT's bytes, TFLite Micro's, and the engine's in C."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from graph_builder import GraphBuilder
from networks import RandomValues
from tflite_micro import runtime

from edge.emit.engine.render import render_engine
from edge.engine.compile import schedule_and_pack
from edge.engine.layers import network_of
from edge.engine.packing import INSTRUCTION_SETS
from edge.errors import ModelError
from edge.firmware.host import run_on_host
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import run_tflm
from edge.tflite.graph import Operator, Quantization
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.int8_rules import require_int8_operator
from edge.tflite.operators import OPERATORS
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.tflite.tables import FIXED_OUTPUTS, TABLES, table_of

EVERY_VALUE = np.arange(-128, 128, dtype=np.int8).reshape(1, 16, 16, 1)
DRAWN = 200


def drawn(rng, opcode, source=None):
    """Quantizations before and after, and options, at random: steps of 1e-4 to 2."""
    scale = float(np.float32(np.exp(rng.uniform(np.log(1e-4), np.log(2)))))
    source = source or Quantization((scale,), (int(rng.integers(-128, 128)),), 0)
    if opcode in FIXED_OUTPUTS:
        fixed, point = FIXED_OUTPUTS[opcode]
        return source, Quantization((fixed,), (point,), 0), {}
    output = float(np.float32(source.scales[0] * np.exp(rng.uniform(-1, 2))))
    alpha = float(np.float32(rng.uniform(-0.5, 1.5)))
    options = {"alpha": alpha} if opcode == "LEAKY_RELU" else {}
    return source, Quantization((output,), (int(rng.integers(-128, 128)),), 0), options


def graph_of(opcode, source, output, options):
    builder = GraphBuilder(
        EVERY_VALUE.shape, draw_quantization=None, draw_weights=None, quantization=source
    )
    builder.curve(opcode, quantization=output, **options)
    graph = builder.graph()
    return read_graph(graph_bytes(graph))


def litert(graph):
    """In this process: hundreds of children would take minutes."""
    kernels = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(model_content=graph.content, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], EVERY_VALUE)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).reshape(-1)


def tflite_micro(graph):
    interpreter = runtime.Interpreter.from_bytes(graph.content, arena_size=1 << 16)
    interpreter.set_input(EVERY_VALUE, 0)
    interpreter.invoke()
    return interpreter.get_output(0).reshape(-1)


@pytest.mark.parametrize("opcode", TABLES)
def test_every_value_is_litert_s_and_tflite_micro_s(opcode):
    rng = np.random.default_rng(0)
    for _ in range(DRAWN):
        graph = graph_of(opcode, *drawn(rng, opcode))
        expected = table_of(graph, graph.operators[0])
        np.testing.assert_array_equal(litert(graph), expected)
        # RELU6 of TFLite Micro keeps the scale, and its curves are in fixed point.
        if opcode != "RELU6":
            tolerance = 1 if opcode in FIXED_OUTPUTS else 0
            np.testing.assert_allclose(tflite_micro(graph), expected, atol=tolerance)


@pytest.mark.parametrize("opcode", ["LOGISTIC", "TANH"])
@pytest.mark.parametrize("scale", [1e-8, 0.5, 7.9])
def test_the_ends_of_a_curve_are_those_of_both(opcode, scale):
    fixed, point = FIXED_OUTPUTS[opcode]
    scales = Quantization((float(np.float32(scale)),), (-3,), 0)
    graph = graph_of(opcode, scales, Quantization((fixed,), (point,), 0), {})
    expected = table_of(graph, graph.operators[0])
    np.testing.assert_array_equal(litert(graph), expected)
    np.testing.assert_array_equal(tflite_micro(graph), expected)


def test_relu6_at_one_scale_is_tflite_micro_s():
    scales = Quantization((0.05,), (-11,), 0)
    graph = graph_of("RELU6", scales, scales, {})
    expected = tflite_micro(graph)
    np.testing.assert_array_equal(table_of(graph, graph.operators[0]), expected)


def test_the_engine_computes_the_tables_on_all_rows(host_compiler):
    values = RandomValues(np.random.default_rng(3))
    builder = GraphBuilder(
        (1, 7, 5, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    for opcode in TABLES:
        _, output, options = drawn(values.rng, opcode, builder.quantization)
        builder.conv(5, (2, 3))
        builder.curve(opcode, quantization=output, **options)
    graph = builder.graph()
    images = values.rng.integers(-128, 128, (3, *graph.input.shape[1:])).astype(np.int8)
    engine = schedule_and_pack(network_of(graph), ["portable"])["portable"]
    np.testing.assert_array_equal(run_on_host(engine, images), run_reference(graph, images))


@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_a_table_is_256_bytes_of_the_flash(instructions):
    graph = graph_of("TANH", *drawn(np.random.default_rng(0), "TANH"))
    engine = schedule_and_pack(network_of(graph), [instructions])[instructions]
    assert engine.weights_bytes == 256
    assert "table.c" in render_engine(engine)


@pytest.mark.parametrize("opcode", TABLES)
def test_the_arena_is_the_one_that_tflite_micro_reports(opcode):
    graph = graph_of(opcode, *drawn(np.random.default_rng(1), opcode))
    predicted = predict_arena(graph, structures=PYTHON_WHEEL).used_bytes
    assert predicted == run_tflm(graph, EVERY_VALUE)[1]


@pytest.mark.parametrize(
    ("opcode", "scales", "message"),
    [
        ("LOGISTIC", (0.1, 0.1), "not 1/256 from zero point -128"),
        ("TANH", (0.1, 0.1), "not 1/128 from zero point 0"),
        ("LOGISTIC", (8.0, 1 / 256), "vanished or exploded"),
        ("HARD_SWISH", (0.1, 1e-5), "far too fine"),
        ("RELU", (1.0, 1e-18), "beyond 31-bit"),
    ],
)
def test_what_no_kernel_takes_is_refused(opcode, scales, message):
    quantizations = [Quantization((scale,), (-128,), 0) for scale in scales]
    graph = graph_of(opcode, *quantizations, {})
    op: Operator = graph.operators[0]
    with pytest.raises((ValueError, ModelError), match=message):
        require_int8_operator(graph, op, OPERATORS[opcode])
