"""Inputs and classes of the ImageNet weights are those of keras.applications."""

import json

import keras
import numpy as np

import keras_mobilenet


def test_preprocess_input_is_that_of_keras_applications():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype("float32")
    expected = keras.applications.mobilenet.preprocess_input(pixels.copy())
    np.testing.assert_array_equal(keras_mobilenet.preprocess_input(pixels.copy()), expected)
    assert np.abs(expected).max() <= 1


def test_decode_predictions_names_the_likeliest_classes_first(monkeypatch, tmp_path):
    names = {str(number): [f"n{number:08}", f"class {number}"] for number in range(1000)}
    (tmp_path / "names.json").write_text(json.dumps(names))
    monkeypatch.setattr("keras.src.applications.imagenet_utils.CLASS_INDEX", None)
    # The names cannot be downloaded here.
    monkeypatch.setattr(
        "keras.src.utils.file_utils.get_file", lambda *_, **__: str(tmp_path / "names.json")
    )
    scores = np.zeros((2, 1000))
    scores[0, 7], scores[0, 9], scores[1, 3] = 0.6, 0.4, 1.0
    first, second = keras_mobilenet.decode_predictions(scores, top=2)
    assert first == [("n00000007", "class 7", 0.6), ("n00000009", "class 9", 0.4)]
    assert second[0][:2] == ("n00000003", "class 3")
