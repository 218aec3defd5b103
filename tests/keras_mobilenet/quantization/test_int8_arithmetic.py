"""The integer arithmetic of the int8 kernels, against Python's unbounded integers."""

import math

import numpy as np
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_mobilenet.quantization.int8_arithmetic import (
    mean_multiplier,
    quantized_multiplier,
    requantize,
)


def exact_multiplier(real):
    """TFLite's QuantizeMultiplier."""
    mantissa, shift = math.frexp(real)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        return multiplier // 2, shift + 1
    return multiplier, shift


def exact_requantize(value, multiplier, shift):
    """TFLite's MultiplyByQuantizedMultiplier: two roundings, the first half towards infinity."""
    product = value * 2 ** max(shift, 0) * multiplier
    nudge = 2**30 if product >= 0 else 1 - 2**30
    high = (
        math.trunc((product + nudge) / 2**31) if abs(product) < 2**52 else _trunc(product + nudge)
    )
    right = max(-shift, 0)
    remainder, threshold = high & ((1 << right) - 1), ((1 << right) - 1) >> 1
    return (high >> right) + (remainder > threshold + (high < 0))


def _trunc(value):
    return -(-value // 2**31) if value < 0 else value // 2**31


@given(st.floats(1e-7, 60.0))
def test_quantized_multiplier_is_that_of_frexp(real):
    multiplier, shift = quantized_multiplier(tf.constant(real, tf.float64))
    assert (int(multiplier), int(shift)) == exact_multiplier(real)


@given(st.integers(-20, 5))
def test_quantized_multiplier_of_a_power_of_two_is_exact(exponent):
    multiplier, shift = quantized_multiplier(tf.constant(2.0**exponent, tf.float64))
    assert (int(multiplier), int(shift)) == (2**30, exponent + 1)


@given(st.lists(st.integers(-(2**24), 2**24), min_size=1, max_size=40), st.floats(1e-6, 0.99))
def test_requantize_is_that_of_tflite(accumulators, real):
    multiplier, shift = exact_multiplier(real)
    result = requantize(
        tf.constant(accumulators, tf.int64),
        tf.constant(multiplier, tf.int64),
        tf.constant(shift, tf.int64),
    )
    expected = [exact_requantize(a, multiplier, shift) for a in accumulators]
    np.testing.assert_array_equal(result, expected)


@given(st.floats(0.01, 4.0), st.integers(1, 3000))
def test_mean_multiplier_divides_by_the_count(real, count):
    multiplier, shift = exact_multiplier(real)
    m, s = mean_multiplier(tf.constant(multiplier, tf.int64), tf.constant(shift, tf.int64), count)
    assert 0 < int(m) < 2**31
    assert math.isclose(int(m) * 2.0 ** (int(s) - 31), real / count, rel_tol=1e-5)
