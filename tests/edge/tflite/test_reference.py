"""The NumPy kernels are LiteRT's reference kernels, byte for byte."""

import numpy as np
import pytest

from edge.errors import ModelError
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.reference import every_tensor, run_reference
from edge.tflite.requantization import add_multipliers

NAMES = ["vww_96_int8.tflite", "kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2"]


@pytest.mark.parametrize("name", NAMES)
def test_equals_litert(network, random_inputs, name):
    graph = network(name)
    inputs = random_inputs(graph, 10)
    np.testing.assert_array_equal(run_reference(graph, inputs), run_litert(graph, inputs))


def test_equals_litert_on_real_images(trained_tflite, digits):
    from edge.deploy.verify import quantize_inputs
    from edge.tflite.reader import read_graph

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


def activation(index, shape, scale, zero_point=0):
    return Tensor(
        index, f"tensor{index}", shape, "int8", Quantization((scale,), (zero_point,), 0), None
    )


@pytest.mark.parametrize("zero_point", [-128, 0, 5])
def test_the_padding_of_a_max_pool_is_never_the_largest(zero_point):
    """Below zero, and below the zero point, as TFLite's kernel cuts the window at the border."""
    tensors = (
        activation(0, (1, 3, 3, 1), 0.1, zero_point),
        activation(1, (1, 2, 2, 1), 0.1, zero_point),
    )
    options = {"stride": (2, 2), "filter": (2, 2), "padding": "SAME", "activation": "NONE"}
    pool = Operator(0, "MAX_POOL_2D", (0,), (1,), options)
    graph = Graph(tensors, (pool,), (0,), (1,), b"")
    image = np.arange(-9, 0, dtype=np.int8).reshape(1, 3, 3, 1)
    assert run_reference(graph, image).tolist() == [[-5, -4, -2, -1]]
    # The centre of each 3x3 window is the pixel itself: padding on all four sides.
    options = options | {"stride": (1, 1), "filter": (3, 3)}
    pool = Operator(0, "MAX_POOL_2D", (0,), (1,), options)
    tensors = (tensors[0], activation(1, (1, 3, 3, 1), 0.1, zero_point))
    graph = Graph(tensors, (pool,), (0,), (1,), b"")
    expected = [[-5, -4, -4, -2, -1, -1, -2, -1, -1]]
    assert run_reference(graph, image).tolist() == expected


@pytest.mark.parametrize("scales", [(0.5, 0.25), (0.25, 0.5)])
def test_the_multipliers_of_add_are_those_of_add_cc(scales):
    """Worked out by hand: the inputs over twice the larger scale, shifted left by 20 bits."""
    result = 0.375
    tensors = tuple(activation(n, (1, 4), scale) for n, scale in enumerate((*scales, result)))
    op = Operator(0, "ADD", (0, 1), (2,), {"activation": "NONE"})
    graph = Graph(tensors, (op,), (0, 1), (2,), b"")
    # Twice the larger is 1, so the ratios are 0.5 = 0.5 * 2 ** 0 and 0.25 = 0.5 * 2 ** -1.
    by_scale = {0.5: (2**30, 0), 0.25: (2**30, -1)}
    # 1 / 0.375 * 2 ** -20 = 2/3 * 2 ** (2 - 20); 2/3 * 2 ** 31 = 1431655765.33.
    expected = [by_scale[scales[0]], by_scale[scales[1]], (1_431_655_765, -18)]
    assert add_multipliers(graph, op) == expected
