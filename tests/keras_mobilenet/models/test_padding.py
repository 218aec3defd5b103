"""The zeros that a block puts around its input are those that its windows read."""

import keras
import numpy as np
import pytest

from keras_mobilenet.models.padding import output_side, resolved_padding


@pytest.mark.parametrize(("kernel_size", "strides"), [(3, 2), (5, 2), (5, 3), (4, 3), (1, 2)])
@pytest.mark.parametrize("side", range(6, 14))
def test_lowered_padding_computes_what_zeros_behind_the_image_do(kernel_size, strides, side):
    """For a kernel of 3 and strides of 2, those are keras.applications' (0, 1)."""
    pairs = {"kernel_size": (kernel_size,) * 2, "strides": (strides,) * 2}
    image = np.random.default_rng(0).normal(size=(1, side, side + 1, 1)).astype("float32")
    kernel = (
        np.random.default_rng(1).normal(size=(kernel_size, kernel_size, 1, 1)).astype("float32")
    )
    total = max(kernel_size - strides, 0)
    around = (total // 2, total - total // 2)
    padded = np.pad(image, ((0, 0), around, around, (0, 0)))
    expected = keras.ops.conv(padded, kernel, strides, "valid")

    own, zeros = resolved_padding("valid", image.shape[1:3], **pairs)
    widths = ((0, 0), *(zeros or ((0, 0), (0, 0))), (0, 0))
    actual = keras.ops.conv(np.pad(image, widths), kernel, strides, own)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    sides = [output_side(n, "valid", kernel_size, strides) for n in image.shape[1:3]]
    assert sides == list(actual.shape[1:3])
