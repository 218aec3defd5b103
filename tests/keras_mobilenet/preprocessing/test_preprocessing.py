"""Pixels become model inputs in one way only."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from keras_mobilenet.preprocessing.pixels import quantize_inputs
from keras_mobilenet.preprocessing.preprocessing import (
    Preprocessing,
    pixels_to_input,
    resize_pixels,
)

SIDES = st.integers(1, 120)


def test_default_input_values_are_one_int8_step_apart():
    inputs = pixels_to_input(np.arange(256, dtype=np.uint8))
    np.testing.assert_array_equal(np.round(inputs * 128), np.arange(-128, 128))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shape", [(8, 8), (20, 30, 3), (20, 30, 1)])
def test_resize_pixels_takes_gray_and_rgb(shape, channels):
    pixels = np.full(shape, 77, np.uint8)
    resized = resize_pixels(pixels, 32, 48, channels)
    assert resized.shape == (32, 48, channels)
    assert resized.dtype == np.uint8
    assert (np.abs(resized.astype(int) - 77) <= 1).all()


@pytest.mark.parametrize("size", [(120, 160), (240, 320), (480, 640), (96, 96), (25, 25), (8, 8)])
@pytest.mark.parametrize("side", [48, 96])
def test_resize_pixels_is_pillows_for_common_sizes(random_pixels, size, side):
    """Where Pillow 13 leaves the passes in their order, as all before it did."""
    pixels = random_pixels(1, *size, 3)
    expected = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_pixels(pixels, side, side, 3), np.asarray(expected))


CROPS = st.one_of(st.just("square"), st.floats(0.01, 1))


@settings(max_examples=50, deadline=None, database=None)
@given(SIDES, SIDES, CROPS, st.sampled_from([1, 3]), st.integers(0, 10**6))
def test_crop_gray_and_resize_are_pillows(
    random_pixels, pillow_resized, height, width, crop, channels, seed
):
    made = Preprocessing(24, 32, channels, crop=crop)
    pixels = random_pixels(seed, height, width, 3)
    top, left, kept_height, kept_width = made.crop_box(height, width)
    assert 0 <= top <= top + kept_height <= height
    assert abs((height - kept_height) - 2 * top) <= 1
    assert abs((width - kept_width) - 2 * left) <= 1
    image = Image.fromarray(pixels).crop((left, top, left + kept_width, top + kept_height))
    image = np.asarray(image.convert("L" if channels == 1 else "RGB"))
    expected = pillow_resized(image, 24, 32).reshape(24, 32, channels)
    np.testing.assert_array_equal(made.resize(pixels), expected)


@settings(max_examples=50, deadline=None, database=None)
@given(
    st.lists(st.floats(-300, 300), min_size=3, max_size=3),
    st.lists(st.floats(0.1, 300), min_size=3, max_size=3),
    st.floats(1e-4, 1),
    st.integers(-128, 127),
)
def test_int8_input_is_the_float_input_quantized(random_pixels, mean, std, scale, zero_point):
    made = Preprocessing(6, 5, mean=mean, std=std)
    pixels = random_pixels(7, 9, 8, 3)
    inputs = made.apply(pixels)
    exact = (made.resize(pixels).astype(np.float64) - mean) / std
    np.testing.assert_allclose(inputs, exact, rtol=1e-6, atol=1e-30)
    expected = quantize_inputs(inputs, scale, zero_point)
    np.testing.assert_array_equal(made.quantize(pixels, scale, zero_point), expected)


def test_default_preprocessing_is_that_of_training(random_pixels):
    pixels = random_pixels(1, 30, 40, 3)
    expected = pixels_to_input(resize_pixels(pixels, 16, 16, 1))
    np.testing.assert_array_equal(Preprocessing(16, 16, 1).apply(pixels), expected)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"height": 0}, "height must be a whole number of 1 to 8192, got 0"),
        ({"width": 9.5}, "width must be a whole number"),
        ({"channels": 4}, r"channels must be 1 \(gray\) or 3"),
        ({"crop": 0}, "crop must be a share"),
        ({"crop": "circle"}, "crop must be a share in"),
        ({"mean": [1, 2]}, "mean must be one number or 3, one per channel"),
        ({"mean": float("nan")}, "mean must be one number"),
        ({"std": 0}, "std must be above 0"),
        ({"std": "big"}, "std must be one number"),
    ],
)
def test_preprocessing_refuses_wrong_fields_by_name(fields, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**({"height": 8, "width": 8} | fields))


def test_preprocessing_survives_json():
    for made in (
        Preprocessing(96, 64, 1, crop="square", mean=0, std=255),
        Preprocessing(
            96, 64, crop=0.875, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375)
        ),
    ):
        assert Preprocessing.from_json(made.to_json()) == made
        assert hash(Preprocessing.from_json(made.to_json())) == hash(made)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "must be JSON"),
        ("[]", "must be a JSON object"),
        ('{"height": 8, "width": 8, "depth": 8}', "has no depth"),
        ('{"width": 8}', "lacks height"),
        (b"\xff\xfe{", "must be JSON"),
        (json.dumps({"height": 8, "width": 8, "mean": [True]}), "mean must be one number"),
    ],
)
def test_from_json_refuses_wrong_definitions_by_name(text, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing.from_json(text)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_preprocessing_refuses_wrong_shapes_and_dtypes(pixels):
    with pytest.raises(ValueError, match="An image must be"):
        Preprocessing(8, 8).resize(pixels)
    with pytest.raises(TypeError, match="must be uint8"):
        Preprocessing(8, 8).resize(pixels.astype(np.float32))
