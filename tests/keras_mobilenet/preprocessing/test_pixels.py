"""Gray is Pillow's."""

import numpy as np
from PIL import Image

from keras_mobilenet.preprocessing.pixels import gray


def test_gray_is_pillows_mode_l_to_the_byte():
    """Every red and green with a few blues, and every blue."""
    values = np.arange(256, dtype=np.uint8)
    colours = np.stack(np.meshgrid(values, values, values[::51], indexing="ij"), -1)
    for pixels in (colours.reshape(256, -1, 3), np.stack([values, values[::-1], values], -1)[None]):
        expected = np.asarray(Image.fromarray(pixels).convert("L"))
        np.testing.assert_array_equal(gray(pixels)[..., 0], expected)
