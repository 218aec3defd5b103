"""Resizing is Pillow's, byte for byte."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mobilenet.preprocessing.resize import HALF, bilinear_taps, resize

SIDES = st.integers(1, 120)


@settings(max_examples=200, deadline=None, database=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 10**6))
def test_resize_is_pillows_to_the_byte(
    random_pixels, pillow_resized, height, width, new_height, new_width, seed
):
    pixels = random_pixels(seed, height, width, 3)
    expected = pillow_resized(pixels, new_height, new_width)
    np.testing.assert_array_equal(resize(pixels, new_height, new_width), expected)


def test_sums_of_resize_weights_stay_within_a_byte():
    for source, target in ((8192, 1), (8192, 7), (8191, 8192), (1, 8192)):
        for taps in bilinear_taps(source, target):
            assert 255 * sum(taps.weights) + HALF < 256 << 22
