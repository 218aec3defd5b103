"""Pixels become model inputs in one way only."""

import numpy as np
import pytest

from keras_mobilenet.preprocessing import pixels_to_input, resize_pixels


def test_every_pixel_value_is_an_int8_step_apart():
    inputs = pixels_to_input(np.arange(256, dtype=np.uint8))
    np.testing.assert_array_equal(np.round(inputs * 128), np.arange(-128, 128))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (20, 30, 3), (20, 30, 1)])
def test_resizes_gray_and_colour(shape, channels):
    pixels = np.full(shape, 77, np.uint8)
    resized = resize_pixels(pixels, 32, 48, channels)
    assert resized.shape == (32, 48, channels)
    assert resized.dtype == np.uint8
    assert (np.abs(resized.astype(int) - 77) <= 1).all()
