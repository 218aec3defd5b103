"""Models that an earlier version saved load, and compute the same bytes."""

from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest

import keras_mobilenet

SAVED = pathlib.Path(__file__).parent / "saved"


@pytest.mark.parametrize("name", ["float", "pruned_weights", "pruned_channels"])
def test_saved_float_model_computes_the_same(name):
    expected, outputs = _outputs(name)
    # The last bit of a float32 sum differs from processor to processor.
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=1e-6)


def test_saved_quantized_model_computes_the_same_bytes():
    expected, outputs = _outputs("quantized")
    assert outputs.tobytes() == expected.tobytes()


def test_saved_preprocessing_comes_back():
    model = keras.saving.load_model(SAVED / "float.keras")
    assert keras_mobilenet.preprocessing_of(model).std == (255.0, 255.0, 255.0)


def _outputs(name):
    saved = np.load(SAVED / "outputs.npz")
    model = keras.saving.load_model(SAVED / f"{name}.keras")
    return saved[name], model.predict(saved["inputs"], verbose=0)
