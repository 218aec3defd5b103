"""Weights from elsewhere arrive in a network for other images and classes."""

import keras
import numpy as np
import pytest

from keras_mobilenet import MobileNet, MobileNetV1, quantize_model
from keras_mobilenet.models.weights import from_h5, from_tflite
from keras_mobilenet.training.transfer import body, pretrained_network


def features(model):
    """What the classifier reads."""
    return keras.Model(model.inputs, model.get_layer("global_average_pooling").output)


def assert_same_features(ours, theirs, shape, **tolerance):
    gray = np.random.default_rng(0).uniform(-1, 1, (2, *shape[:2], 1)).astype("float32")
    wide = np.repeat(gray, theirs.input_shape[-1], axis=-1)
    expected = features(theirs).predict(wide, verbose=0)
    found = features(ours).predict(gray, verbose=0)
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("mobilenet_v1_0.25_128_quant.tflite", from_tflite),
        pytest.param("vww_96.h5", from_h5, marks=pytest.mark.exhaustive),
    ],
)
def test_real_rgb_weights_read_gray_images(shared_data, name, read):
    path = shared_data / "models" / name
    source = read(path)
    side = source.input_shape[1]
    made = pretrained_network(path, (side, side, 1), 5)
    assert made.output_shape == (None, 5)
    assert_same_features(made, source, (side, side, 1))
    norms = [layer for layer in body(made) if isinstance(layer, keras.layers.BatchNormalization)]
    assert norms
    assert not any(norm.trainable for norm in norms)


@pytest.fixture(scope="module")
def small():
    model = MobileNet([(8, 3, 2, 2), (12, 3, 2)], (32, 32, 3), stem=(8,), classes=3)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.2, 1.0, w.shape) for w in model.get_weights()])
    return model


def other(channels=1, filters=8):
    stages = [(filters, 3, 2, 2), (12, 3, 2)]
    return MobileNet(stages, (32, 32, channels), stem=(8,), classes=2)


@pytest.mark.parametrize("is_quantized", [False, True])
def test_network_of_the_family_takes_its_own_kind_of_file(small, tmp_path, is_quantized):
    (quantize_model(small) if is_quantized else small).save(tmp_path / "small.keras")
    made = pretrained_network(tmp_path / "small.keras", (32, 32, 1), 2, model=other())
    assert_same_features(made, small, (32, 32, 1))


@pytest.mark.exhaustive
def test_file_of_keras_applications_gives_its_body(tmp_path):
    official = keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, include_top=False)
    official.save_weights(tmp_path / "no_top.weights.h5")
    made = pretrained_network(tmp_path / "no_top.weights.h5", (64, 64, 1), 2)
    gray = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype("float32")
    expected = official.predict(np.repeat(gray, 3, axis=-1), verbose=0).mean(axis=(1, 2))
    found = features(made).predict(gray, verbose=0).reshape(2, -1)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_weights_of_another_network_are_refused(small, tmp_path):
    small.save(tmp_path / "small.keras")
    small.save_weights(tmp_path / "small.weights.h5")
    (tmp_path / "text.keras").write_text("text")
    shape = (32, 32, 3)

    def refused(name, words, **options):
        with pytest.raises(ValueError, match=words):
            pretrained_network(tmp_path / name, shape, 2, **options)

    refused("none.tflite", "there is no '.*none.tflite'")
    refused("text.keras", "text.keras cannot be loaded")
    refused("small.weights.h5", "give the .keras file")
    refused("small.keras", "Give the stages that it was made of")
    refused("small.keras", r"takes \(1, 1, 8, 9\)", model=other(3, filters=9))
    MobileNetV1(shape, 0.25, classes=2).save(tmp_path / "narrow.keras")
    refused("narrow.keras", "has alpha 0.25, not 0.5", alpha=0.5)


def test_imagenet_without_a_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path), raising=False)

    def unreachable(*args, **options):
        raise Exception("URL fetch failure on https://example.org: None")  # as Keras does

    monkeypatch.setattr("keras.utils.get_file", unreachable)
    with pytest.raises(ValueError, match=r"put mobilenet_2_5_224_tf_no_top.h5 .* into ") as refusal:
        pretrained_network("imagenet", (48, 48, 1), 2)
    assert "\n" not in str(refusal.value)
    assert "://" not in str(refusal.value)
