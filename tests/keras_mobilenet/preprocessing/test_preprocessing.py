"""Pixels become model inputs in one way only, and a model keeps that way with it."""

import json

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import keras_mobilenet
from keras_mobilenet.preprocessing.camera import CAMERA_FORMATS, camera_pixels
from keras_mobilenet.preprocessing.preprocessing import (
    Preprocessing,
    gray,
    pixels_to_input,
    quantize_inputs,
    resize_pixels,
)
from keras_mobilenet.preprocessing.record import PreprocessingRecord, preprocessing_of
from keras_mobilenet.preprocessing.resize import HALF, bilinear_taps, resize

SIDES = st.integers(1, 120)


def random_pixels(seed, *shape):
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        # Extremes, where sums run over first.
        return rng.choice([0, 255], shape).astype(np.uint8)
    return rng.integers(0, 256, shape).astype(np.uint8)


def pillow_resized(pixels, height, width):
    """Width first: one pass a call, because Pillow 13 chooses the order of two by itself."""
    image = Image.fromarray(pixels)
    for size in ((width, image.height), (width, height)):
        image = image.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(image)


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


@settings(max_examples=200, deadline=None, database=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 10**6))
def test_resizes_as_pillow_does(height, width, new_height, new_width, seed):
    pixels = random_pixels(seed, height, width, 3)
    expected = pillow_resized(pixels, new_height, new_width)
    np.testing.assert_array_equal(resize(pixels, new_height, new_width), expected)


@pytest.mark.parametrize("size", [(120, 160), (240, 320), (480, 640), (96, 96), (25, 25), (8, 8)])
@pytest.mark.parametrize("side", [48, 96])
def test_cameras_and_data_sets_resize_as_pillow_does_in_one_call(size, side):
    """Where Pillow 13 leaves the passes in their order, as all before it did."""
    pixels = random_pixels(1, *size, 3)
    expected = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(resize_pixels(pixels, side, side, 3), np.asarray(expected))


def test_no_sum_of_weights_runs_over():
    for source, target in ((8192, 1), (8192, 7), (8191, 8192), (1, 8192)):
        for taps in bilinear_taps(source, target):
            assert 255 * sum(taps.weights) + HALF < 256 << 22


def test_gray_is_pillows_gray():
    """Every red and green with a few blues, and every blue."""
    values = np.arange(256, dtype=np.uint8)
    grid = np.stack(np.meshgrid(values, values, values[::51], indexing="ij"), -1)
    for pixels in (grid.reshape(256, -1, 3), np.stack([values, values[::-1], values], -1)[None]):
        expected = np.asarray(Image.fromarray(pixels).convert("L"))
        np.testing.assert_array_equal(gray(pixels)[..., 0], expected)


CROPS = st.one_of(st.just("square"), st.floats(0.01, 1))


@settings(max_examples=50, deadline=None, database=None)
@given(SIDES, SIDES, CROPS, st.sampled_from([1, 3]), st.integers(0, 10**6))
def test_cuts_colours_and_resizes_as_pillow_does(height, width, crop, channels, seed):
    made = Preprocessing(24, 32, channels, crop)
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
def test_int8_is_the_float_input_quantized(mean, std, scale, zero_point):
    made = Preprocessing(6, 5, mean=mean, std=std)
    pixels = random_pixels(7, 9, 8, 3)
    inputs = made.apply(pixels)
    exact = (made.resize(pixels).astype(np.float64) - mean) / std
    np.testing.assert_allclose(inputs, exact, rtol=1e-6, atol=1e-30)
    expected = quantize_inputs(inputs, scale, zero_point)
    np.testing.assert_array_equal(made.quantize(pixels, scale, zero_point), expected)


def test_the_default_is_what_training_does():
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
def test_says_what_is_wrong_with_a_definition(fields, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing(**({"height": 8, "width": 8} | fields))


def test_json_there_and_back():
    for made in (
        Preprocessing(96, 64, 1, "square", 0, 255),
        Preprocessing(96, 64, 3, 0.875, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
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
def test_says_what_is_wrong_with_json(text, words):
    with pytest.raises(ValueError, match=words):
        Preprocessing.from_json(text)


@pytest.mark.parametrize("pixels", [np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4), np.uint8)])
def test_refuses_what_is_no_image(pixels):
    with pytest.raises(ValueError, match="An image must be"):
        Preprocessing(8, 8).resize(pixels)
    with pytest.raises(TypeError, match="must be uint8"):
        Preprocessing(8, 8).resize(pixels.astype(np.float32))


RECORDED = Preprocessing(8, 8, 3, "square", (1, 2, 3), 99)


@pytest.fixture(scope="module")
def recorded():
    inputs = keras.Input((8, 8, 3))
    x = PreprocessingRecord(RECORDED)(inputs)
    x = keras.layers.Conv2D(16, 3)(x)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, x)
    model.compile("sgd", "mse", jit_compile=False)
    return model


def reloaded(model, folder):
    model.save(folder / "model.keras")
    return keras.saving.load_model(folder / "model.keras", compile=False)


def test_a_model_keeps_its_preprocessing(recorded, tmp_path):
    assert preprocessing_of(recorded) == RECORDED
    assert preprocessing_of(reloaded(recorded, tmp_path)) == RECORDED
    assert preprocessing_of(keras.models.clone_model(recorded)) == RECORDED
    twin = keras_mobilenet.quantize_model(recorded)
    assert preprocessing_of(twin) == RECORDED
    assert preprocessing_of(keras.models.clone_model(twin)) == RECORDED


def test_training_keeps_it(recorded, tmp_path):
    pruning = keras_mobilenet.ChannelPruning(target_macs=0.5, end_epoch=1)
    quantization = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    images, targets = np.ones((2, 8, 8, 3)), np.zeros((2, 2))
    recorded.fit(images, targets, epochs=2, verbose=0, callbacks=[pruning, quantization])
    assert preprocessing_of(recorded) == RECORDED
    assert preprocessing_of(reloaded(recorded, tmp_path)) == RECORDED
    assert preprocessing_of(pruning.pruned_model) == RECORDED


def test_any_model_can_keep_one():
    layers = [keras.Input((8, 8, 3)), PreprocessingRecord(RECORDED), keras.layers.Conv2D(2, 3)]
    model = keras.Sequential(layers)
    assert preprocessing_of(model) == RECORDED
    assert preprocessing_of(keras_mobilenet.quantize_model(model)) == RECORDED
    assert preprocessing_of(keras.Sequential(layers[::2])) is None


def test_a_record_counts_right_behind_the_input_only():
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), PreprocessingRecord(RECORDED)])
    assert preprocessing_of(keras.Model(inputs, inner(inputs))) == RECORDED
    scaled = keras.layers.Rescaling(1 / 255)(inputs)
    assert preprocessing_of(keras.Model(inputs, inner(scaled))) is None


def test_mobilenet_records_the_default_or_nothing():
    model = keras_mobilenet.MobileNetV1((64, 32, 1), 0.1, classes=2)
    assert preprocessing_of(model) == Preprocessing(64, 32, 1)
    silent = keras_mobilenet.MobileNetV1((64, 32, 1), 0.1, classes=2, preprocessing=None)
    assert preprocessing_of(silent) is None
    silent.set_weights(model.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 64, 32, 1)).astype("float32")
    np.testing.assert_array_equal(silent(image), model(image))
    with pytest.raises(ValueError, match="must agree"):
        keras_mobilenet.MobileNetV1((64, 32, 1), preprocessing=Preprocessing(32, 32, 1))
    with pytest.raises(ValueError, match="must be a Preprocessing"):
        keras_mobilenet.MobileNetV1((64, 32, 1), preprocessing="none")


def test_rgb565_is_every_value_spread_over_eight_bits():
    words = np.arange(65536, dtype=np.uint16)
    rgb = camera_pixels(words.astype(">u2").tobytes(), "rgb565", 256, 256, 3).reshape(-1, 3)
    little = camera_pixels(words.astype("<u2").tobytes(), "rgb565le", 256, 256, 3).reshape(-1, 3)
    np.testing.assert_array_equal(rgb, little)
    np.testing.assert_array_equal(
        rgb >> [3, 2, 3], np.stack([words >> 11, words >> 5 & 63, words & 31], -1)
    )
    exact = (rgb >> [3, 2, 3]) * (255 / np.array([31, 63, 31]))
    assert np.abs(rgb - exact).max() < 1


def test_yuyv_is_jpegs_colour():
    """Beside exact arithmetic, and beside Pillow, whose own tables have six bits."""
    data = np.random.default_rng(0).integers(0, 256, (64, 64, 4)).astype(np.uint8)
    rgb = camera_pixels(data.tobytes(), "yuyv", 64, 128, 3)
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
    np.testing.assert_array_equal(camera_pixels(data.tobytes(), "yuyv", 64, 128, 1)[..., 0], y)


@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_a_frame_has_the_length_of_its_format(camera_format):
    frame = bytes(6 * 4 * CAMERA_FORMATS[camera_format])
    assert camera_pixels(frame, camera_format, 6, 4, 3).shape[:2] == (6, 4)
    with pytest.raises(ValueError, match="frame of 4x6 has"):
        camera_pixels(frame[1:], camera_format, 6, 4, 3)


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (("bayer", 8, 8), "camera must be one of rgb565"),
        (("rgb565", 0, 8), "sides must be 1 to 8192"),
        (("yuyv", 8, 7), "even width"),
    ],
)
def test_says_what_is_no_camera(camera, words):
    with pytest.raises(ValueError, match=words):
        camera_pixels(b"", *camera, 3)
