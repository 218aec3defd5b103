"""Ranges and grids: what TFLite's quantization specification asks for."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_mobilenet.quantization.fake_quant import (
    QuantizationRange,
    fake_quant_activation,
    fake_quant_kernel,
    nudged_parameters,
    weight_limits,
)

magnitudes = st.floats(2.0**-10, 1000.0, width=32)


@given(magnitudes, magnitudes)
def test_nudged_parameters_are_tensorflows(low, high):
    """TensorFlow's fake quantization of a ramp lands on the grid that the parameters describe."""
    scale, zero_point = nudged_parameters(-low, high)
    ramp = np.linspace(-2 * low, 2 * high, 97, dtype=np.float32)
    quantized = fake_quant_activation(tf.constant(ramp), -low, high).numpy()
    steps = quantized / scale + zero_point
    assert np.abs(steps - np.round(steps)).max() < 1e-2
    assert round(float(steps.min())) == -128
    assert round(float(steps.max())) == 127


@given(magnitudes, magnitudes)
def test_zero_is_on_the_grid(low, high):
    assert float(fake_quant_activation(tf.constant(0.0), -low, high)) == 0.0


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (-1.0, -0.5), (0.0, 0.0)])
def test_a_range_without_zero_is_refused(low, high):
    with pytest.raises(ValueError, match="must hold 0"):
        nudged_parameters(low, high)


@pytest.mark.parametrize("is_depthwise", [False, True])
def test_kernels_are_symmetric_and_per_channel(is_depthwise):
    rng = np.random.default_rng(0)
    shape = (3, 3, 6, 1) if is_depthwise else (1, 1, 4, 6)
    kernel = rng.normal(size=shape).astype("float32") * 10
    quantized, scale = fake_quant_kernel(tf.constant(kernel), is_depthwise)
    by_channel = (lambda k: k.reshape(9, 6)) if is_depthwise else (lambda k: k.reshape(4, 6))
    steps = by_channel(quantized.numpy()) / scale.numpy()
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
    np.testing.assert_array_equal(np.abs(np.round(steps)).max(axis=0), 127)
    assert (np.abs(by_channel(kernel - quantized.numpy())) <= scale.numpy() * 0.5001).all()


def test_a_dead_channel_keeps_a_scale_whose_bias_fits_int32():
    kernel = tf.constant([[[[1.0, 0.0]]]])
    assert float(weight_limits(kernel, [0, 1, 2])[1]) == 2.0**-14


def test_gradients_pass_inside_the_range_only():
    x = tf.Variable([-2.0, 0.5, 9.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fake_quant_activation(x, -1.0, 6.0))
    np.testing.assert_array_equal(tape.gradient(total, x), [0, 1, 0])


def test_a_range_follows_the_moving_average_of_the_batches():
    grid = QuantizationRange(momentum=0.5)
    grid(tf.constant([-1.0, 1.0]), training=True)
    first = grid.scale_and_zero_point()
    assert first[0] == pytest.approx(2 / 255, rel=1e-6), "the first batch sets it"
    grid(tf.constant([-1.0, 3.0]), training=True)
    assert grid.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)
    grid(tf.constant([-50.0, 50.0]), training=False)
    assert grid.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)
