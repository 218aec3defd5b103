"""The NumPy kernels are LiteRT's reference kernels, byte for byte."""

import numpy as np
import pytest

from edge.errors import ModelError
from edge.interpreters import run_litert
from edge.reference import every_tensor, run_reference

NAMES = ["vww_96_int8.tflite", "kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2"]


@pytest.mark.parametrize("name", NAMES)
def test_equals_litert(network, random_inputs, name):
    graph = network(name)
    inputs = random_inputs(graph, 10)
    np.testing.assert_array_equal(run_reference(graph, inputs), run_litert(graph, inputs))


def test_equals_litert_on_real_images(trained_tflite, digits):
    from edge.graph import read_graph
    from edge.verify import quantize_inputs

    graph = read_graph(trained_tflite)
    inputs = quantize_inputs(graph, digits.test_inputs()[:100])
    np.testing.assert_array_equal(run_reference(graph, inputs), run_litert(graph, inputs))


def test_every_tensor_has_its_shape(network, random_inputs):
    graph = network("odd")
    for index, value in every_tensor(graph, random_inputs(graph)[0]).items():
        assert value.shape == graph.tensors[index].shape


def test_refuses_what_it_does_not_know(network, random_inputs):
    import dataclasses

    graph = network("odd")
    strange = dataclasses.replace(graph.operators[0], opcode="COS")
    graph = dataclasses.replace(graph, operators=(strange, *graph.operators[1:]))
    with pytest.raises(ModelError, match=r"COS \(operator 0\) is not implemented"):
        run_reference(graph, random_inputs(graph))
