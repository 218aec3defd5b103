"""How far an output may reach into its operator's input, against a count of byte after byte."""

import itertools

import numpy as np
import pytest

from edge.memory.live_ranges import activation_buffers
from edge.memory.overlap import reference_overlaps
from edge.tflite.graph import Graph, Operator, Tensor


def convolution(side, window, dilation, channels, filters):
    """One CONV_2D with stride 2 and SAME padding."""
    out_side = -(-side // 2)
    kernel = np.zeros((filters, window, window, channels), np.uint8)
    tensors = (
        Tensor(0, "input", (1, side, side, channels), "int8", None, None),
        Tensor(1, "kernel", kernel.shape, "int8", None, kernel.reshape(-1)),
        Tensor(2, "output", (1, out_side, out_side, filters), "int8", None, None),
    )
    options = {"stride": (2, 2), "padding": "SAME", "dilation": (dilation, dilation)}
    operator = Operator(0, "CONV_2D", (0, 1), (2,), options)
    return Graph(tensors, (operator,), (0,), (2,), b"")


def counted_distance(side, window, dilation, before, channels, filters):
    """The least distance: each output byte is written where no later one reads."""
    first_read = []
    out_side = -(-side // 2)
    for row, column, _ in itertools.product(range(out_side), range(out_side), range(filters)):
        taps = [
            (2 * row - before + dilation * i, 2 * column - before + dilation * j)
            for i, j in itertools.product(range(window), repeat=2)
        ]
        bytes_read = [(y * side + x) * channels for y, x in taps if 0 <= y < side and 0 <= x < side]
        first_read.append(min(bytes_read))
    return max(
        written + 1 - min(first_read[written + 1 :]) for written in range(len(first_read) - 1)
    )


# Padding by TensorFlow's rule: what the last window lacks, the smaller half before the image.
@pytest.mark.parametrize(
    ("side", "window", "dilation", "before"),
    [
        (8, 3, 1, 0),  # 2 * 3 + 3 - 8 = 1
        (9, 3, 1, 1),  # 2 * 4 + 3 - 9 = 2
        (8, 5, 1, 1),  # 2 * 3 + 5 - 8 = 3
        (9, 3, 2, 2),  # 2 * 4 + 5 - 9 = 4
        (8, 1, 1, 0),
    ],
)
@pytest.mark.parametrize(("channels", "filters"), [(2, 16), (3, 12), (4, 4)])
def test_of_a_strided_convolution(side, window, dilation, before, channels, filters):
    graph = convolution(side, window, dilation, channels, filters)
    needed = counted_distance(side, window, dilation, before, channels, filters)
    gaps = reference_overlaps(graph, activation_buffers(graph))
    # The plan keeps a window until its pixel's last channel is written too: a byte more at most.
    assert gaps[1, 0] - needed in (0, 1)
