"""ADD of every pair of bytes: each kernel has a shorter way than LiteRT, to the same sums."""

import numpy as np
import pytest
from graph_builder import GraphBuilder

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated
from edge.engine.compile import compile_engine
from edge.firmware.host import run_on_host
from edge.tflite.graph import Quantization
from edge.tflite.reference import run_reference

SIDE = 256
SCALES = {
    "equal": (0.05, 0.05, 0.1),
    "the second is wider": (0.013, 0.11, 0.09),
    "the first is wider": (0.7, 0.2, 0.31),
    "far apart": (1e-6, 0.2, 0.2),
    "as good as nothing": (0.5, 1e-12, 0.4),
    "all saturate": (0.05, 0.07, 1e-5),
    "the sum is not shifted": (0.06, 0.045, 0.06 * 2 / 0.75 / 2**20),
    "a tie": (0.5, 0.25, 1.0),
}


def pairs(first, second, output, points, activation="NONE"):
    """ADD of the first channel of an image and the second one, each as it is."""
    # A scale of one, and a bias that takes the output's zero point out again.
    drawn = iter(
        [
            (np.array(kernel, np.int8).reshape(1, 1, 1, 2), scale, -point)
            for kernel, scale, point in zip(
                ([1, 0], [0, 1]), (first, second), points[:2], strict=True
            )
        ]
    )

    def weights(shape, axis, source, dead_share):
        kernel, scale, bias = next(drawn)
        return kernel, Quantization((scale,), (0,), axis), np.array([bias], np.int32), None

    made = GraphBuilder(
        (1, SIDE, SIDE, 2),
        draw_quantization=lambda: None,
        draw_weights=weights,
        quantization=Quantization((1.0,), (0,), 0),
    )
    sources = []
    for scale, point in zip((first, second), points[:2], strict=True):
        made.last = 0
        quantization = Quantization((scale,), (point,), 0)
        made.conv(1, (1, 1), activation="NONE", quantization=quantization)
        sources.append(made.last)
    made.last = sources[0]
    made.add(sources[1], activation, quantization=Quantization((output,), (points[2],), 0))
    return made.graph()


def every_pair():
    first, second = np.mgrid[-128:128, -128:128]
    return np.stack([first, second], axis=-1)[None].astype(np.int8)


@pytest.mark.parametrize("points", [(0, 0, 0), (-128, 127, 5), (17, -3, -128)], ids=str)
@pytest.mark.parametrize("name", SCALES)
def test_on_this_machine(host_compiler, name, points):
    graph = pairs(*SCALES[name], points)
    expected = run_reference(graph, every_pair())
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), every_pair()), expected)


@pytest.mark.parametrize("board", ["qemu-m0plus", "mps2-an385", "mps2-an386", "mps3-an547"])
@pytest.mark.parametrize("name", SCALES)
def test_on_a_core(arm_compiler, qemu, name, board):
    graph = pairs(*SCALES[name], (17, -3, -9), "RELU6")
    outputs = run_emulated(graph, find_board(board), every_pair())[0].outputs
    np.testing.assert_array_equal(outputs, run_reference(graph, every_pair()))
