"""An operator that contradicts its tensors is found when the file is read."""

import dataclasses

import pytest

from edge.tflite.graph import Operator
from edge.tflite.reader import read_graph
from edge.tflite.shapes import slid_sides
from edge.tflite.validate import check_operators


def changed(graph, index, **changes):
    tensors = list(graph.tensors)
    tensors[index] = dataclasses.replace(tensors[index], **changes)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def operator(graph, opcode):
    return next(op for op in graph.operators if op.opcode == opcode)


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
