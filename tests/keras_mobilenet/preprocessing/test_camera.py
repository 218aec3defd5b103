"""The bytes of a camera become the pixels that they stand for."""

import numpy as np
import pytest
from PIL import Image

from keras_mobilenet.preprocessing.camera import CAMERA_FORMATS, camera_pixels

SQUARE = {"height": 256, "width": 256, "channels": 3}


def test_rgb565_spreads_every_value_over_eight_bits():
    words = np.arange(65536, dtype=np.uint16)
    rgb = camera_pixels(words.astype(">u2").tobytes(), "rgb565", **SQUARE).reshape(-1, 3)
    little = camera_pixels(words.astype("<u2").tobytes(), "rgb565le", **SQUARE).reshape(-1, 3)
    np.testing.assert_array_equal(rgb, little)
    np.testing.assert_array_equal(
        rgb >> [3, 2, 3], np.stack([words >> 11, words >> 5 & 63, words & 31], -1)
    )
    exact = (rgb >> [3, 2, 3]) * (255 / np.array([31, 63, 31]))
    assert np.abs(rgb - exact).max() < 1


def test_yuyv_is_decoded_as_jpeg_colour():
    """Beside exact arithmetic, and beside Pillow, whose own tables have six bits."""
    data = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    rgb = camera_pixels(data.tobytes(), "yuyv", height=64, width=128, channels=3)
    y = data[..., [0, 2]].reshape(64, 128)
    u, v = (np.repeat(data[..., n], 2, axis=1) for n in (1, 3))
    real_u, real_v = u - 128.0, v - 128.0
    exact = np.stack(
        [y + 1.402 * real_v, y - 0.344136 * real_u - 0.714136 * real_v, y + 1.772 * real_u], -1
    )
    np.testing.assert_allclose(rgb, np.clip(exact, 0, 255), rtol=0, atol=0.505)
    bands = [Image.fromarray(band) for band in (y, u, v)]
    pillow = np.asarray(Image.merge("YCbCr", bands).convert("RGB"))
    assert np.abs(rgb.astype(int) - pillow).max() <= 1
    gray_frame = camera_pixels(data.tobytes(), "yuyv", height=64, width=128, channels=1)
    np.testing.assert_array_equal(gray_frame[..., 0], y)


@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_camera_frame_must_have_the_length_of_its_format(camera_format):
    frame = bytes(6 * 4 * CAMERA_FORMATS[camera_format])
    size = {"height": 6, "width": 4, "channels": 3}
    assert camera_pixels(frame, camera_format, **size).shape[:2] == (6, 4)
    with pytest.raises(ValueError, match="frame of 4x6 has"):
        camera_pixels(frame[1:], camera_format, **size)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (("bayer", 8, 8), "camera must be one of rgb565"),
        (("rgb565", 0, 8), "sides must be 1 to 8192"),
        (("yuyv", 8, 7), "even width"),
    ],
)
def test_camera_refuses_unknown_formats_and_sizes(camera, words):
    camera_format, height, width = camera
    with pytest.raises(ValueError, match=words):
        camera_pixels(b"", camera_format, height=height, width=width, channels=3)
