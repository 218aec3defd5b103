"""The emitted engine: C that the compiler and the sanitizers have nothing to say about."""

import re
import subprocess

import numpy as np
import pytest
from graph_builder import with_int4_weights
from hypothesis import example, given, settings
from hypothesis import strategies as st
from networks import random_int4_graph

from edge.catalog.boards import core_flags, find_board
from edge.emit.engine.render import render_engine
from edge.engine.compile import compile_engine, schedule_and_pack
from edge.engine.layers import network_of
from edge.engine.packing import instruction_set
from edge.firmware.host import run_on_host
from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.reference import run_reference

NAMES = ["vww_96_int8.tflite", "kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2"]
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes"]


def engine_with_all_channels(graph, instructions="portable"):
    """Constant channels are for the kernels too: nothing is taken out."""
    return schedule_and_pack(network_of(graph), [instructions])[instructions]


@pytest.mark.parametrize("name", NAMES)
def test_computes_the_reference_on_this_machine(host_compiler, network, random_inputs, name):
    graph = network(name)
    inputs = random_inputs(graph, 3)
    actual = run_on_host(compile_engine(graph), inputs)
    np.testing.assert_array_equal(actual, run_reference(graph, inputs))


def dense(x):
    from keras import layers

    return layers.Dense(4)(layers.Flatten()(x))


def pooled(x):
    from keras import layers

    return layers.Dense(4)(layers.GlobalAveragePooling2D()(x))


@pytest.mark.parametrize(
    ("make", "shape"), [(dense, (8, 6, 2)), (dense, (20,)), (pooled, (6, 5, 3))]
)
def test_a_first_layer_that_needs_the_whole_input(host_compiler, random_inputs, make, shape):
    import keras

    import edge
    from edge.tflite.reader import read_graph

    inputs = keras.Input(shape)
    samples = np.random.default_rng(0).uniform(-1, 1, (8, *shape)).astype("float32")
    graph = read_graph(edge.convert(keras.Model(inputs, make(inputs)), samples))
    images = random_inputs(graph, 3)
    actual = run_on_host(engine_with_all_channels(graph), images)
    np.testing.assert_array_equal(actual, run_reference(graph, images))


@pytest.mark.parametrize(
    ("rows", "columns"), [((0, 0), (0, 1)), ((3, 2), (2, 0)), ((1, 0), (1, 2))]
)
def test_a_padded_pixel_is_zero_and_not_the_next_row(host_compiler, rows, columns):
    """PAD first: no pixel has the padding's value, and rows come out before one went in."""
    quantization = Quantization((0.1,), (77,), 0)
    pads = np.array([(0, 0), rows, columns, (0, 0)], np.int32)
    tensors = (
        Tensor(0, "image", (1, 3, 4, 2), "int8", quantization, None),
        Tensor(1, "pads", (4, 2), "int32", None, np.frombuffer(pads.tobytes(), np.uint8)),
        Tensor(2, "padded", (1, 3 + sum(rows), 4 + sum(columns), 2), "int8", quantization, None),
    )
    graph = Graph(tensors, (Operator(0, "PAD", (0, 1), (2,), {}),), (0,), (2,), b"")
    images = np.arange(24, dtype=np.int8).reshape(1, 3, 4, 2)
    expected = np.pad(images, pads, constant_values=77).reshape(1, -1)
    np.testing.assert_array_equal(run_on_host(engine_with_all_channels(graph), images), expected)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10**9))
def test_computes_any_network_with_weights_of_four_bits(host_compiler, random_inputs, seed):
    graph = random_int4_graph(seed, 0.3 if seed % 2 else 0.0)
    inputs = random_inputs(graph, 3)
    actual = run_on_host(engine_with_all_channels(graph), inputs)
    np.testing.assert_array_equal(actual, run_reference(graph, inputs))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0.0, 0.5]))
@example(29705, 0.0).via("two pools, no weights")
def test_computes_any_network(host_compiler, random_graph, random_inputs, seed, dead):
    graph = random_graph(seed, dead)
    inputs = random_inputs(graph, 3)
    actual = run_on_host(engine_with_all_channels(graph), inputs)
    np.testing.assert_array_equal(actual, run_reference(graph, inputs))


@pytest.mark.parametrize("board", ["mps2-an385", "mps2-an386", "mps3-an547", "arduino-zero"])
def test_compiles_without_a_warning(arm_compiler, network, tmp_path, board):
    target = find_board(board)
    graph = network("odd")
    files = {}
    for each in (graph, with_int4_weights(graph)):
        files |= render_engine(compile_engine(each, instruction_set(target)))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for name in files:
        if name.endswith(".c"):
            command = ["arm-none-eabi-gcc", *core_flags(target), "-O2", "-std=c11", *WARNINGS]
            done = subprocess.run(
                [*command, "-c", tmp_path / name, "-o", tmp_path / "out.o"],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr


def test_has_no_heap_no_recursion_and_no_libm(network):
    files = render_engine(engine_with_all_channels(network("odd"), "dsp"))
    for name, text in files.items():
        assert not re.search(r"\b(malloc|calloc|free|math\.h|double)\b", text), name
        # The caller's own numbers may be real: for them the header has two functions.
        assert name == "model.h" or "float" not in text, name


def test_keeps_its_state_in_the_callers_struct(network):
    """Nothing is written but the state: all data of the engine are constants."""
    files = render_engine(engine_with_all_channels(network("vww_96_int8.tflite"), "dsp"))
    for name, text in files.items():
        statics = re.findall(r"^static (?!const|inline|\w+ \*?\w+\(|void|__attr).*;", text, re.M)
        assert statics == [], name


def test_carries_where_it_is_from(network):
    graph = network("vww_96_int8.tflite")
    assert graph.sha256 in render_engine(engine_with_all_channels(graph))["model.h"]


def test_weights_are_little_more_than_the_models_own(network):
    """Weights, biases and scales of the file against weights, biases, multipliers and shifts."""
    for name in ("vww_96_int8.tflite", "mobilenet_v2"):
        graph = network(name)
        own = sum(
            tensor.bytes + 4 * len(tensor.quantization.scales if tensor.quantization else ())
            for op in graph.operators
            for tensor in (graph.tensors[i] for i in op.inputs)
            if tensor.is_constant and tensor.dtype in ("int8", "int32")
        )
        for instructions in ("dsp", "mve"):
            assert engine_with_all_channels(graph, instructions).weights_bytes <= 1.1 * own
        assert compile_engine(graph, "dsp").weights_bytes <= 1.03 * graph.model_bytes
