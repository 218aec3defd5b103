"""Random images, and Pillow's resizing as the reference."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def random_pixels():
    """`random_pixels(seed, *shape)`: uint8 noise; every third seed gives extremes only."""

    def make(seed, *shape):
        rng = np.random.default_rng(seed)
        if seed % 3 == 0:
            # Extremes, where sums overflow first.
            return rng.choice([0, 255], shape).astype(np.uint8)
        return rng.integers(0, 256, shape).astype(np.uint8)

    return make


@pytest.fixture(scope="session")
def pillow_resized():
    """`pillow_resized(pixels, height, width)`: Pillow's bilinear resizing, width first."""

    def resize(pixels, height, width):
        image = Image.fromarray(pixels)
        # One pass a call, because Pillow 13 chooses the order of two by itself.
        for size in ((width, image.height), (width, height)):
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image)

    return resize
