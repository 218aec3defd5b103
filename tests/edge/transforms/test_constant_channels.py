"""Taking out constant channels changes nothing but the cost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.transforms.constant_channels import CHANNEL_MULTIPLE, without_constant_channels


def test_halves_mlperf_tinys_person_detector(vww, random_inputs):
    graph = read_graph(vww)
    small = without_constant_channels(graph)
    assert (graph.total_macs(), small.total_macs()) == (7_489_664, 3_774_684)
    assert small.sha256 == graph.sha256
    inputs = random_inputs(graph, 20)
    np.testing.assert_array_equal(run_reference(small, inputs), run_reference(graph, inputs))


@pytest.mark.parametrize("name", ["kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2"])
def test_leaves_a_network_without_them_alone(network, name):
    graph = network(name)
    assert without_constant_channels(graph).total_macs() == graph.total_macs()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.sampled_from([0.3, 0.6, 0.95, 1.0]))
def test_of_any_network(random_graph, random_inputs, seed, dead):
    """Half of the channels have no weights: borders, residuals and whole layers of them."""
    graph = random_graph(seed, dead)
    small = without_constant_channels(graph)
    assert small.total_macs() <= graph.total_macs()
    assert small.input.shape == graph.input.shape
    assert small.output.shape == graph.output.shape
    inputs = random_inputs(graph)
    np.testing.assert_array_equal(run_reference(small, inputs), run_reference(graph, inputs))


def test_keeps_whole_fours(vww):
    small = without_constant_channels(read_graph(vww))
    images = [small.tensors[op.outputs[0]].shape for op in small.operators[:-4]]
    assert all(shape[-1] % CHANNEL_MULTIPLE == 0 for shape in images)
