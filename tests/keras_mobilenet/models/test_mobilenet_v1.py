"""MobileNetV1 is keras.applications.MobileNet, at every width and resolution it offers."""

import re

import keras
import numpy as np
import pytest

import keras_mobilenet
from keras_mobilenet.models.topology import scaled_side

ALPHAS = (0.25, 0.5, 0.75, 1.0)
SIDES = (128, 160, 192, 224)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_is_keras_applications_mobilenet(random_weights, alpha, side):
    ours = keras_mobilenet.MobileNetV1((side, side, 3), alpha)
    theirs = keras.applications.MobileNet((side, side, 3), alpha, weights=None)
    assert ours.count_params() == theirs.count_params()

    ours.set_weights(random_weights(theirs, seed=side))
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, side, side, 3)).astype("float32")
    expected = theirs(image, training=False).numpy()
    assert np.ptp(expected) > 1e-3, "outputs that are all alike would prove nothing"
    assert np.abs(ours(image, training=False).numpy() - expected).max() < 1e-5


def test_parameters_of_the_default_microcontroller_model():
    model = keras_mobilenet.MobileNetV1(alpha=0.25, input_shape=(128, 128, 3))
    assert model.count_params() == 475_544


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_without_top_is_keras_applications_mobilenet(pooling):
    options = {"alpha": 0.25, "include_top": False, "pooling": pooling, "weights": None}
    ours = keras_mobilenet.MobileNetV1((128, 128, 3), **options)
    theirs = keras.applications.MobileNet((128, 128, 3), **options)
    assert ours.output_shape == theirs.output_shape
    assert ours.count_params() == theirs.count_params()


def test_rho_scales_the_input():
    assert keras_mobilenet.MobileNetV1((224, 224, 3), 0.25, rho=0.714).input_shape[1:3] == (
        160,
        160,
    )


def test_rho_does_not_change_the_parameters():
    full = keras_mobilenet.MobileNetV1((128, 128, 1), 0.3)
    half = keras_mobilenet.MobileNetV1((128, 128, 1), 0.3, rho=0.5)
    assert half.count_params() == full.count_params()


@pytest.mark.parametrize("alpha", [0.1, 0.33, 0.9])
def test_takes_any_alpha(alpha):
    model = keras_mobilenet.MobileNetV1((32, 32, 1), alpha, classes=3)
    assert model(np.zeros((2, 32, 32, 1), "float32")).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alpha": 0}, "alpha must be a number in (0, 1], got 0"),
        ({"alpha": 1.5}, "alpha must be a number in (0, 1], got 1.5"),
        ({"alpha": "wide"}, "alpha"),
        ({"rho": 0}, "rho must be a number in (0, 1]"),
        ({"rho": 0.1}, "= 22 pixels; MobileNetV1 needs at least 32"),
        ({"input_shape": (31, 64, 3)}, "at least 32"),
        ({"input_shape": (64, 64, 2)}, "1 (gray) or 3 (RGB) channels"),
        ({"input_shape": (None, 64, 3)}, "fixed integer height and width"),
        ({"input_shape": (64, 64)}, "(height, width, channels)"),
        ({"classes": 1}, "classes"),
        ({"pooling": "sum"}, "pooling"),
        ({"dropout": 1.0}, "dropout"),
        ({"classifier_activation": "tanh"}, "classifier_activation"),
        ({"activation": "swish"}, "activation"),
        ({"weights": "missing.keras"}, "No weights file at 'missing.keras'"),
        ({"weights": "noisy-student"}, "weights must be None, 'imagenet'"),
    ],
)
def test_refuses_bad_arguments_in_words(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        keras_mobilenet.MobileNetV1(**arguments)


def test_refuses_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            keras_mobilenet.MobileNetV1()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_weights_come_from_a_file(tmp_path):
    model = keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    again = keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2, weights=path)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_model_reloads(tmp_path):
    model = keras_mobilenet.MobileNetV1((32, 32, 3), 0.25, classes=4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(image), again(image))


@pytest.mark.parametrize(("side", "rho", "expected"), [(224, 0.857, 192), (224, 0.571, 128)])
def test_the_papers_resolutions(side, rho, expected):
    assert scaled_side(side, rho) == expected
