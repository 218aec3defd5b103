"""LiteRT's reference kernels and TFLite Micro compute the same bytes."""

import dataclasses

import numpy as np
import pytest

import edge
from edge.deploy.verify import quantize_inputs, verify
from edge.errors import EdgeError
from edge.runtimes.interpreters import InterpreterError, run_litert, run_tflm
from edge.tflite.reader import read_graph


def test_a_trained_network_on_real_images(digits, trained_tflite):
    graph = read_graph(trained_tflite)
    proof = verify(graph, quantize_inputs(graph, digits.test_inputs()))
    assert proof.is_equal
    assert proof.sentence() == "LiteRT reference == TFLM on 360 of 360 inputs"


def test_a_model_of_the_benchmark_on_random_bytes(vww):
    assert edge.verify(vww, count=20).sentence() == "LiteRT reference == TFLM on 20 of 20 inputs"


@pytest.mark.parametrize("run", [run_litert, lambda *args: run_tflm(*args)[0]])
def test_zeros_give_the_benchmarks_published_output(vww, run):
    output = run(read_graph(vww), np.zeros((1, 96, 96, 3), np.int8))
    np.testing.assert_array_equal(output, [[116, -116]])


def test_litert_rounds_a_dense_layer_once_and_tflm_twice(kws):
    """A difference between the two that is theirs: found, counted, and not hidden."""
    proof = verify(kws, count=100)
    assert 90 <= proof.equal_count < 100
    assert "largest difference" in proof.sentence()


def test_refuses_inputs_of_another_shape(vww):
    with pytest.raises(InterpreterError, match=r"must be int8 of shape \('count', 96, 96, 3\)"):
        verify(vww, np.zeros((1, 96, 96, 1), np.int8))


def test_quantizes_as_the_specification_says(vww):
    graph = read_graph(vww)
    scale = graph.input.quantization.scales[0]
    reals = np.float32([0.0, scale, 127 * scale, 300 * scale, -scale])
    image = np.zeros((1, 96, 96, 3), np.float32)
    image[0, 0, :5, 0] = reals
    assert quantize_inputs(graph, image)[0, 0, :5, 0].tolist() == [-128, -127, -1, 127, -128]


def test_a_model_that_tflm_dislikes_is_an_error_not_a_crash(vww):
    graph = read_graph(vww)
    damaged = dataclasses.replace(graph, content=graph.content.replace(b"TFL3", b"TFL2", 1)[:5000])
    with pytest.raises(EdgeError, match=r"^TFLite Micro "):
        run_tflm(damaged, np.zeros((1, 96, 96, 3), np.int8))
