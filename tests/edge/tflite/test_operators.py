"""Every operator has one entry, and what contradicts it is found when the file is read."""

import dataclasses

import numpy as np
import pytest

from edge.engine import layers, packing
from edge.errors import ModelError
from edge.memory.arena_rules import ARENA_RULES
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import (
    OPERATORS,
    has_kernel,
    kernel_of,
    mean_axes,
    padding_of,
    window_of,
)
from edge.tflite.reader import read_graph
from edge.tflite.reference import KERNELS
from edge.tflite.validate import check_operators
from edge.tflite.windows import slid_sides
from edge.transforms.scale import scaled_model


def changed(graph, index, **changes):
    tensors = list(graph.tensors)
    tensors[index] = dataclasses.replace(tensors[index], **changes)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def operator(graph, opcode):
    return next(op for op in graph.operators if op.opcode == opcode)


@pytest.mark.parametrize(
    "known", [KERNELS, ARENA_RULES, layers.LAYERS], ids=["reference", "arena", "engine"]
)
def test_every_operator_that_is_computed_has_an_entry(known):
    assert set(known) <= set(OPERATORS)


def test_every_operator_of_the_engine_has_an_oracle_and_an_arena():
    # RESHAPE moves no byte, so that the engine has no layer for it.
    assert {*layers.LAYERS, "RESHAPE"} == set(KERNELS) == set(ARENA_RULES)
    assert set(layers.LAYERS) == set(packing.KERNELS)


NETWORKS = ["vww_96_int8.tflite", "kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2"]


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_at_scale_1_are_those_that_checking_accepts(network, name):
    graph = network(name)
    check_operators(graph)
    # Half a network, whose shapes no file states, has to pass the same check.
    for alpha, factor in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.75)):
        scaled = scaled_model(graph, alpha, round(factor * max(graph.input.shape[1:3]))).graph
        check_operators(scaled)
        if alpha == factor == 1:
            assert [t.shape for t in scaled.tensors] == [t.shape for t in graph.tensors]
            assert [op.options for op in scaled.operators] == [op.options for op in graph.operators]


def test_the_entries_say_what_an_operator_reads(network):
    graph = network("vww_96_int8.tflite")
    first = graph.operators[0]
    # 96x96 pixels to 48x48 with a window of 3: one row lacks, and comes after the image.
    assert (window_of(graph, first), padding_of(graph, first)) == ((3, 3), (0, 0))
    assert kernel_of(graph, first).shape == (8, 3, 3, 3)
    pool = operator(graph, "AVERAGE_POOL_2D")
    assert (has_kernel(pool), window_of(graph, pool)) == (False, (3, 3))
    with pytest.raises(ModelError, match=r"AVERAGE_POOL_2D \(operator \d+\) has no weights"):
        kernel_of(graph, pool)


def test_negative_axes_of_mean_count_from_the_last():
    axes = np.array([-2, 1], np.int32)
    tensors = (
        Tensor(0, "image", (1, 4, 5, 3), "int8", None, None),
        Tensor(1, "axes", (2,), "int32", None, np.frombuffer(axes.tobytes(), np.uint8)),
        Tensor(2, "pooled", (1, 3), "int8", None, None),
    )
    op = Operator(0, "MEAN", (0, 1), (2,), {"keep_dims": False})
    graph = Graph(tensors, (op,), (0,), (2,), b"")
    assert mean_axes(graph, op) == (1, 2)
    check_operators(graph)


def test_real_models_are_consistent(vww, kws, shared_data):
    for path in (vww, kws, shared_data / "models" / "mobilenet_v1_0.25_128_quant.tflite"):
        check_operators(read_graph(path))


@pytest.mark.parametrize(
    ("opcode", "shape"),
    [
        ("CONV_2D", (1, 47, 48, 8)),
        ("CONV_2D", (1, 48, 48, 9)),
        ("DEPTHWISE_CONV_2D", (1, 48, 48)),
        ("AVERAGE_POOL_2D", (1, 2, 1, 256)),
        ("RESHAPE", (1, 255)),
        ("FULLY_CONNECTED", (1, 3)),
        ("SOFTMAX", (1, 1)),
    ],
)
def test_a_wrong_output_is_found(vww, opcode, shape):
    graph = read_graph(vww)
    broken = changed(graph, operator(graph, opcode).outputs[0], shape=shape)
    with pytest.raises(ValueError, match=r".+"):
        check_operators(broken)


@pytest.mark.parametrize("options", [{"stride": (0, 1)}, {"dilation": (1, 1 << 20)}])
def test_an_absurd_option_is_found(vww, options):
    graph = read_graph(vww)
    op = graph.operators[0]
    broken = dataclasses.replace(op, options={**op.options, **options})
    with pytest.raises(ValueError, match="stride"):
        check_operators(dataclasses.replace(graph, operators=(broken, *graph.operators[1:])))


@pytest.mark.parametrize(
    ("padding", "sides", "window", "stride", "dilation", "expected"),
    [
        # VALID: ceil((side - (taps - 1) * dilation) / stride).
        ("VALID", (11, 13), (3, 2), (1, 1), (2, 3), (7, 10)),
        ("VALID", (11, 13), (3, 5), (2, 3), (2, 2), (4, 2)),
        ("VALID", (5, 7), (3, 3), (1, 1), (2, 3), (1, 1)),
        ("VALID", (9, 9), (1, 1), (1, 1), (4, 5), (9, 9)),
        # SAME: ceil(side / stride), whatever the window.
        ("SAME", (11, 13), (3, 5), (2, 3), (2, 2), (6, 5)),
    ],
)
def test_a_dilated_window_reaches_farther(padding, sides, window, stride, dilation, expected):
    """By the formulas in the documentation of `tf.nn.convolution`."""
    options = {"stride": stride, "dilation": dilation, "padding": padding}
    op = Operator(0, "CONV_2D", (0, 1), (2,), options)
    assert slid_sides((1, *sides, 3), window, op) == expected


def test_nothing_is_left_of_an_image_below_a_dilated_window():
    options = {"stride": (1, 1), "dilation": (2, 3), "padding": "VALID"}
    op = Operator(0, "CONV_2D", (0, 1), (2,), options)
    with pytest.raises(ValueError, match="nothing is left"):
        slid_sides((1, 4, 7, 3), (3, 3), op)
