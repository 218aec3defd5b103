"""Weights of four bits in a .tflite: read, written, and what the interpreters make of them."""

import dataclasses

import numpy as np
import pytest
from graph_builder import GraphBuilder, with_int4_weights
from networks import RandomValues, random_int4_graph

from edge.errors import ModelError
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import InterpreterError, run_litert, run_tflm
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.operators import has_int4_kernel, kernel_of
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.tflite.tensors import Tensor, int4_bytes
from edge.tflite.validate import require_int8


def images(graph, count=3):
    shape = (count, *graph.input.shape[1:])
    return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)


def of_the_file(graph):
    return require_int8(read_graph(graph_bytes(graph)))


def unpacked(graph):
    """The same with a byte for each weight."""
    tensors = tuple(
        dataclasses.replace(t, dtype="int8", data=t.values().reshape(-1).view(np.uint8))
        if t.dtype == "int4"
        else t
        for t in graph.tensors
    )
    return dataclasses.replace(graph, tensors=tensors)


def layers_of_int4():
    """All kinds of layers with weights, whose biases and scales are as converters make them."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 9, 8, 3), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.conv(5, (3, 3), (2, 2))
    made.depthwise(1, (3, 3))
    made.depthwise(2, (2, 3), dilation=(1, 2))
    made.conv(7, (1, 1))
    return made


@pytest.mark.parametrize("count", [1, 2, 9])
def test_values_come_back(count):
    values = np.arange(count) - 8
    packed = int4_bytes(values)
    assert (packed.dtype, packed.size) == (np.uint8, (count + 1) // 2)
    tensor = Tensor(0, "kernel", (count,), "int4", None, packed)
    np.testing.assert_array_equal(tensor.values(), values)
    assert tensor.bytes == packed.size


def test_the_file_has_two_weights_a_byte():
    graph = with_int4_weights(layers_of_int4().graph())
    read = of_the_file(graph)
    for before, after in zip(graph.operators, read.operators, strict=True):
        assert has_int4_kernel(read, after)
        kernels = kernel_of(graph, before), kernel_of(read, after)
        assert kernels[1].bytes == len(kernels[1].data) == (kernels[0].element_count + 1) // 2
        np.testing.assert_array_equal(kernels[0].values(), kernels[1].values())


@pytest.mark.parametrize("seed", [2, 9, 12])
def test_litert_computes_the_reference(seed):
    graph = of_the_file(random_int4_graph(seed))
    inputs = images(graph)
    np.testing.assert_array_equal(run_litert(graph, inputs), run_reference(graph, inputs))


def test_tflm_computes_the_same_in_the_arena_that_is_predicted():
    """The scratch memory that it unpacks each filter into counts."""
    graph = layers_of_int4()
    graph.mean()
    graph.dense(3)
    packed = of_the_file(with_int4_weights(graph.graph()))
    inputs = images(packed)
    expected = run_litert(packed, inputs)
    used = []
    for each in (packed, of_the_file(unpacked(packed))):
        outputs, reported = run_tflm(each, inputs)
        np.testing.assert_array_equal(outputs, expected)
        assert predict_arena(each, structures=PYTHON_WHEEL).used_bytes == reported
        used.append(reported)
    assert used[0] > used[1]


def test_tflm_has_no_dense_layer_with_a_scale_for_each_output():
    made = layers_of_int4()
    made.dense(3)
    graph = with_int4_weights(made.graph())
    dense = graph.operators[-1]
    kernel = kernel_of(graph, dense)
    points = dataclasses.replace(
        kernel.quantization, scales=(0.5, 0.25, 0.5), zero_points=(0, 0, 0), axis=0
    )
    tensors = list(graph.tensors)
    tensors[kernel.index] = dataclasses.replace(kernel, quantization=points)
    graph = of_the_file(dataclasses.replace(graph, tensors=tuple(tensors)))
    with pytest.raises(ModelError, match=r"FULLY_CONNECTED \(operator 4\) weights of four bits"):
        require_tflm_operators(graph)
    with pytest.raises(InterpreterError):
        run_tflm(graph, images(graph))
    np.testing.assert_array_equal(
        run_litert(graph, images(graph)), run_reference(graph, images(graph))
    )
