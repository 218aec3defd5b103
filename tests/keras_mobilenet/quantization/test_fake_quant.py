"""Ranges, scales and rounding: what TFLite's quantization specification asks for."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_mobilenet.quantization.fake_quant import (
    fake_quant_activation,
    fake_quant_kernel,
    learned_fake_quant,
    nudged_parameters,
    rounded_kernel,
    weight_limits,
)

magnitudes = st.floats(2.0**-10, 1000.0, width=32)


def limits(low, high):
    return tf.constant(low), tf.constant(high)


# The first call loads TensorFlow's operators.
@settings(deadline=None)
@given(magnitudes, magnitudes)
def test_nudged_parameters_are_those_of_tensorflow(low, high):
    """TensorFlow's fake quantization of a ramp gives the values that the parameters describe, and
    ours the same."""
    zero_from_min = 255.0 * low / (low + high)
    # At a tie TensorFlow's last float32 bit decides.
    assume(abs(zero_from_min % 1.0 - 0.5) > 1e-4)
    scale, zero_point = nudged_parameters(-low, high)
    ramp = np.linspace(-2 * low, 2 * high, 97, dtype=np.float32)
    quantized = tf.quantization.fake_quant_with_min_max_vars(ramp, -low, high).numpy()
    ours = fake_quant_activation(tf.constant(ramp), *limits(-low, high)).numpy()
    np.testing.assert_allclose(ours, quantized, atol=1.001 * scale, err_msg="ties may differ")
    assert (np.abs(ours - quantized) < 0.01 * scale).mean() > 0.9
    steps = quantized / scale + zero_point
    assert np.abs(steps - np.round(steps)).max() < 1e-2
    assert round(float(steps.min())) == -128
    assert round(float(steps.max())) == 127


@settings(deadline=None)
@given(magnitudes, magnitudes)
def test_zero_is_represented_exactly(low, high):
    assert float(fake_quant_activation(tf.constant(0.0), *limits(-low, high))) == 0.0


@pytest.mark.parametrize(("low", "high"), [(0.5, 1.0), (-1.0, -0.5), (0.0, 0.0)])
def test_nudged_parameters_refuse_a_range_without_zero(low, high):
    with pytest.raises(ValueError, match="must hold 0"):
        nudged_parameters(low, high)


@pytest.mark.parametrize(
    ("shape", "axes"), [((3, 3, 6, 1), (0, 1)), ((1, 1, 4, 6), (0, 1, 2)), ((5, 3), None)]
)
def test_kernel_is_symmetric_and_per_channel(shape, axes):
    rng = np.random.default_rng(0)
    kernel = rng.normal(size=shape).astype("float32") * 10
    steps, scale = (np.array(x) for x in rounded_kernel(tf.cast(kernel, tf.float64), axes))
    np.testing.assert_array_equal(np.abs(steps).max(axis=axes), 127)
    np.testing.assert_array_equal(steps, np.round(steps))
    assert (np.abs(kernel - steps * scale) <= scale * 0.5001).all()
    trained = fake_quant_kernel(tf.constant(kernel), axes)
    np.testing.assert_allclose(trained, steps * scale, rtol=1e-6, err_msg="training rounds so too")


def test_kernel_passes_its_gradient_whole():
    kernel = tf.Variable([[0.3, -1.0], [0.26, 4.0]])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fake_quant_kernel(kernel, None))
    np.testing.assert_array_equal(tape.gradient(total, kernel), np.ones((2, 2)))


def test_dead_channel_keeps_a_scale_whose_bias_fits_int32():
    kernel = tf.constant([[[[1.0, 0.0]]]])
    assert float(weight_limits(kernel, [0, 1, 2])[1]) == 2.0**-14


def test_activation_gradients_pass_inside_the_range_only():
    x = tf.Variable([-2.0, 0.5, 9.0])
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fake_quant_activation(x, *limits(-1.0, 6.0)))
    np.testing.assert_array_equal(tape.gradient(total, x), [0, 1, 0])


def step_gradient(x, upstream=1.0, is_learning=1.0, low=-128.0, high=127.0):
    factor = tf.Variable(0.0)
    with tf.GradientTape() as tape:
        y = upstream * learned_fake_quant(tf.constant([x]), factor, *limits(low, high), is_learning)
    return float(tape.gradient(y, factor))


@pytest.mark.parametrize("x", [0.3, 0.8, -40.4, 500.0, -500.0])
def test_learned_scales_gradient_is_that_of_the_lsq_paper(x):
    """Equation 3 with a step of one, by its own words, and the gradient scale of section 2.2."""
    by_paper = {500.0: 127.0, -500.0: -128.0}.get(x, round(x) - x)
    assert step_gradient([x]) == pytest.approx(by_paper / np.sqrt(255.0), rel=1e-4)


def test_learned_scales_gradient_is_a_difference_quotient_outside_the_range():
    """Where rounding plays no part, the true derivative exists and is the same."""
    x, h = tf.constant([[500.0, -500.0, 700.0]]), 1e-3
    y = [
        float(tf.reduce_sum(learned_fake_quant(x, tf.constant(f), *limits(-128.0, 127.0), 1.0)))
        for f in (-h, h)
    ]
    expected = (y[1] - y[0]) / (2 * h) / np.sqrt(3 * 255.0)
    assert step_gradient([500.0, -500.0, 700.0]) == pytest.approx(expected, rel=1e-3)


def test_scale_that_does_not_learn_has_no_gradient():
    assert step_gradient([500.0], is_learning=0.0) == 0.0
