"""Ties of a convolution's sums are rounded away from zero, whatever their channels' shifts."""

from __future__ import annotations

import numpy as np
import pytest
from graph_builder import GraphBuilder

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated
from edge.engine.layers import network_of
from edge.engine.packing_dsp import conv_dsp
from edge.tflite.fixed_point import divide_by_power
from edge.tflite.graph import Quantization
from edge.tflite.reference import run_reference

ONE = Quantization((1.0,), (0,), 0)
SHIFTS = np.array([3, 6, 2, 13, 14, 5, 16, 4, 12, 7])
"""Sums are divided by these powers of two: the kernels shift by one less."""


def ties(width):
    """Half of the pixels are zeros: their sums are the biases, which are ties."""
    biases = -(2 * np.arange(len(SHIFTS)) + 1) * 2 ** (SHIFTS - 1)

    def weights(shape, axis, source, dead_share):
        values = np.random.default_rng(0).integers(-3, 4, shape).astype(np.int8)
        quantization = Quantization(tuple(2.0**-SHIFTS), (0,) * len(SHIFTS), axis)
        return values, quantization, biases.astype(np.int32), None

    made = GraphBuilder(
        (1, 4, width, 8),
        draw_quantization=lambda: ONE,
        draw_weights=weights,
        quantization=ONE,
    )
    made.conv(len(SHIFTS), (1, 1), activation="NONE")
    return made.graph()


@pytest.mark.parametrize("width", [1, 5, 11])
def test_a_core_rounds_ties_away_from_zero(arm_compiler, qemu, width):
    graph = ties(width)
    inputs = np.random.default_rng(1).integers(-128, 128, (1, *graph.input.shape[1:]))
    inputs[:, ::2] = 0
    inputs = inputs.astype(np.int8)
    outputs = run_emulated(graph, find_board("mps2-an386"), inputs)[0].outputs
    np.testing.assert_array_equal(outputs, run_reference(graph, inputs))
    expected = -(np.arange(len(SHIFTS)) + 1)
    np.testing.assert_array_equal(outputs.reshape(4, width, -1)[0, 0], expected)


@pytest.mark.parametrize("right", range(1, 17))
@pytest.mark.parametrize("bias", [0, 2**28])
def test_scales_round_whatever_does_not_saturate(bias, right):
    """As the kernel scales: the first step of the sum, if the shift is even, then one product."""
    graph = ties(1)
    network = network_of(graph)
    headers = np.array([[bias, 2**31 - 1, right]] * 2)
    kernel = np.full((2, 1, 1, 8), 127)
    shift = conv_dsp(network, network.layers[0], kernel, headers).weights[-3]
    assert bool(shift % 2) == (1 < right < (13 if bias else 16))
    largest = min(bias + 128 * 127 * 8 + 1, 2 ** (right + 9), 2**21)
    values = np.arange(-largest, largest + 1)
    away = values if shift % 2 else values + (values >> 31)
    for zero_point in (-128, 0, 127):
        scaled = (zero_point * 2**32 - away * shift + 2**31) >> 32
        expected = divide_by_power(values, right) + zero_point
        np.testing.assert_array_equal(np.clip(scaled, -128, 127), np.clip(expected, -128, 127))
