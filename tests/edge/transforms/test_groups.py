"""Convolutions in groups become whole ones, which compute the bytes of LiteRT's."""

import numpy as np
import pytest
from graph_builder import GraphBuilder
from networks import RandomValues

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated, verify_engine
from edge.engine.compile import compile_engine
from edge.engine.layers import UnsupportedOperatorError
from edge.firmware.host import run_on_host
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.transforms.groups import LARGEST_BYTES, without_groups

WINDOWS = [
    {"size": (1, 1)},
    {"size": (3, 3)},
    {"size": (2, 3), "stride": (2, 1), "padding": "VALID", "activation": "RELU6"},
    {"size": (3, 2), "dilation": (2, 1)},
]
GROUPS = [(2, 4), (4, 8), (8, 8), (8, 24)]
"""How many groups, and how many outputs, of eight channels."""


def builder(shape):
    values = RandomValues(np.random.default_rng(3))
    return GraphBuilder(
        shape, draw_quantization=values.quantization, draw_weights=values.weights, name="image"
    )


def in_groups(groups, outputs, window):
    """A convolution in groups behind a whole one and before another."""
    made = builder((1, 7, 6, 3))
    made.conv(8, (3, 3))
    made.conv(outputs, groups=groups, **window)
    made.conv(5, (1, 1))
    return read_graph(graph_bytes(made.graph()))


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("groups", "outputs"), GROUPS)
def test_they_compute_the_bytes_of_litert(host_compiler, random_inputs, groups, outputs, window):
    graph = in_groups(groups, outputs, window)
    inputs = random_inputs(graph, 4)
    expected = run_litert(graph, inputs)
    np.testing.assert_array_equal(run_reference(graph, inputs), expected)
    np.testing.assert_array_equal(run_reference(without_groups(graph), inputs), expected)
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), inputs), expected)


def test_tflm_agrees(random_inputs):
    graph = in_groups(4, 8, WINDOWS[1])
    inputs = random_inputs(graph, 4)
    np.testing.assert_array_equal(run_tflm(graph, inputs)[0], run_reference(graph, inputs))


@pytest.mark.parametrize("board", ["mps2-an386", "mps3-an547"])
def test_on_a_core_they_compute_the_same(arm_compiler, qemu, random_inputs, board):
    graph = in_groups(4, 24, WINDOWS[1])
    inputs = random_inputs(graph, 2)
    emulation, _ = run_emulated(graph, find_board(board), inputs)
    np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))


def test_one_that_keras_made_is_verified(host_compiler):
    import keras

    import edge

    image = keras.Input((8, 8, 4))
    x = keras.layers.Conv2D(8, 3, padding="same", groups=4, activation="relu")(image)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 4)).astype("float32")
    graph = read_graph(edge.convert(model, samples))
    assert graph.tensors[graph.operators[0].inputs[1]].shape == (8, 3, 3, 1)
    assert verify_engine(graph, count=4, boards=[]).is_equal


def test_their_channels_may_be_constant(host_compiler, random_inputs):
    made = builder((1, 6, 6, 3))
    made.conv(16, (1, 1), dead_share=0.6)
    made.conv(16, (3, 3), groups=4, dead_share=0.3, padding="VALID")
    made.conv(4, (1, 1))
    graph = read_graph(graph_bytes(made.graph()))
    engine = compile_engine(graph)
    assert engine.network.graph.total_macs() < without_groups(graph).total_macs()
    inputs = random_inputs(graph, 4)
    np.testing.assert_array_equal(run_on_host(engine, inputs), run_litert(graph, inputs))


def test_a_graph_without_groups_stays_the_same(random_graph):
    graph = random_graph(2)
    assert without_groups(graph) is graph


@pytest.mark.parametrize(("channels", "count"), [(4096, 1), (2048, 3)])
def test_more_than_any_flash_holds_is_refused_by_name(channels, count):
    made = builder((1, 1, 1, channels))
    for _ in range(count):
        made.conv(channels, (1, 1), groups=channels)
    graph = made.graph()
    wider = without_groups(graph)
    assert count * channels**2 > LARGEST_BYTES
    assert sum(t.element_count for t in wider.tensors[len(graph.tensors) :]) <= LARGEST_BYTES
    with pytest.raises(UnsupportedOperatorError, match="in so many groups"):
        compile_engine(graph)
