"""Fixed-point arithmetic against the definitions of gemmlowp, on whole numbers of any size."""

import fractions
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import ModelError
from edge.tflite.fixed_point import (
    divide_by_power,
    exp_table,
    high_multiply,
    quantized_multiplier,
    reciprocal,
    requantize,
    requantize_once,
)

INT32 = st.integers(-(2**31) + 1, 2**31 - 1)


def nearest(value):
    """To nearest, ties away from zero."""
    return int(math.copysign(math.floor(abs(value) + fractions.Fraction(1, 2)), value))


@given(INT32, INT32)
@example(1, 2**30).via("a tie")
@example(-1, 2**30).via("a tie below zero")
def test_the_high_product_is_rounded_upwards_at_ties(a, b):
    exact = fractions.Fraction(a * b, 2**31)
    assert int(high_multiply(a, b)) == math.floor(exact + fractions.Fraction(1, 2))


@given(INT32, st.integers(0, 31))
def test_division_by_a_power_rounds_ties_away_from_zero(value, exponent):
    expected = nearest(fractions.Fraction(value, 2**exponent))
    assert int(divide_by_power(np.array(value), exponent)) == expected


@given(st.floats(2**-30, 2**20))
def test_a_multiplier_is_within_31_bits_of_the_number(real):
    multiplier, shift = quantized_multiplier(real)
    assert 2**30 <= multiplier < 2**31
    assert multiplier * 2.0 ** (shift - 31) == pytest.approx(real, rel=2**-30)


def test_multipliers_end_where_the_kernels_do():
    assert quantized_multiplier(0.0) == (0, 0)
    assert quantized_multiplier(2.0**-33) == (0, 0)
    assert quantized_multiplier(2.0**-32) == (2**30, -31)
    assert quantized_multiplier(2.0**29) == (2**30, 30)
    with pytest.raises(ModelError, match="beyond 31-bit arithmetic"):
        quantized_multiplier(2.0**30)


@given(st.integers(-(2**24), 2**24), st.floats(2**-20, 0.999))
def test_one_rounding_is_never_off_by_more_than_a_half(accumulator, real):
    pair = quantized_multiplier(real)
    exact = accumulator * fractions.Fraction(pair[0]) * fractions.Fraction(2) ** (pair[1] - 31)
    assert abs(int(requantize_once(np.array(accumulator), *pair)) - exact) <= 0.5
    # Two roundings may be: that is why the kernels differ.
    assert abs(int(requantize(np.array(accumulator), *pair)) - exact) <= 1


def test_one_rounding_takes_ties_away_from_zero():
    halves = np.array([-17, -3, -1, 1, 3, 17])
    rounded = requantize_once(halves, *quantized_multiplier(0.5))
    assert rounded.tolist() == [-9, -2, -1, 1, 2, 9]


@pytest.mark.parametrize("scale", [0.002, 0.05, 0.3])
def test_exponentials_are_as_good_as_their_31_bits(scale):
    table = exp_table(scale, 1.0) / 2**31
    expected = np.exp(-scale * np.arange(256))
    np.testing.assert_allclose(table, np.where(table > 0, expected, 0), atol=3e-6)
    assert table[0] == pytest.approx(1)


def test_exponentials_end_where_the_kernels_do():
    """At 31 in fixed point with five bits above the point: here 62 steps of a half."""
    table = exp_table(0.3, 1.0)
    assert table[62] > 0
    assert not table[63:].any()


@given(st.integers(2**19, 2**30))
def test_the_reciprocal_of_a_sum(total):
    value, bits = reciprocal(total)
    assert value / 2**31 / 2**bits == pytest.approx(2**19 / total, rel=1e-6)
