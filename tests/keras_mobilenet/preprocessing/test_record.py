"""A model keeps its preprocessing with it."""

import keras
import numpy as np
import pytest

import keras_mobilenet
from keras_mobilenet.preprocessing.preprocessing import Preprocessing
from keras_mobilenet.preprocessing.record import PreprocessingRecord, preprocessing_of

RECORDED = Preprocessing(8, 8, crop="square", mean=(1, 2, 3), std=99)


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


def test_model_keeps_its_preprocessing_when_saved_cloned_and_quantized(recorded, tmp_path):
    assert preprocessing_of(recorded) == RECORDED
    assert preprocessing_of(reloaded(recorded, tmp_path)) == RECORDED
    assert preprocessing_of(keras.models.clone_model(recorded)) == RECORDED
    twin = keras_mobilenet.quantize_model(recorded)
    assert preprocessing_of(twin) == RECORDED
    assert preprocessing_of(keras.models.clone_model(twin)) == RECORDED


def test_preprocessing_survives_pruning_and_quantization_aware_training(recorded, tmp_path):
    pruning = keras_mobilenet.ChannelPruning(target_macs=0.5, end_epoch=1)
    quantization = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    images, targets = np.ones((2, 8, 8, 3)), np.zeros((2, 2))
    recorded.fit(images, targets, epochs=2, verbose=0, callbacks=[pruning, quantization])
    assert preprocessing_of(recorded) == RECORDED
    assert preprocessing_of(reloaded(recorded, tmp_path)) == RECORDED
    assert preprocessing_of(pruning.pruned_model) == RECORDED


def test_sequential_model_keeps_its_preprocessing():
    layers = [keras.Input((8, 8, 3)), PreprocessingRecord(RECORDED), keras.layers.Conv2D(2, 3)]
    model = keras.Sequential(layers)
    assert preprocessing_of(model) == RECORDED
    assert preprocessing_of(keras_mobilenet.quantize_model(model)) == RECORDED
    assert preprocessing_of(keras.Sequential(layers[::2])) is None


def test_preprocessing_record_counts_right_behind_the_input_only():
    inputs = keras.Input((8, 8, 3))
    inner = keras.Sequential([keras.Input((8, 8, 3)), PreprocessingRecord(RECORDED)])
    assert preprocessing_of(keras.Model(inputs, inner(inputs))) == RECORDED
    scaled = keras.layers.Rescaling(2.0)(inputs)
    assert preprocessing_of(keras.Model(inputs, inner(scaled))) is None


@pytest.mark.parametrize(
    ("first", "reads_pixels"),
    [
        (lambda x: keras.layers.Rescaling(1 / 255)(x), True),
        (lambda x: keras.layers.Rescaling(1 / 127.5, -1)(keras.layers.RandomFlip()(x)), True),
        (lambda x: keras.layers.Normalization(mean=[123.0] * 3, variance=[3000.0] * 3)(x), True),
        # What comes as [0, 1] has a deviation of about a quarter.
        (lambda x: keras.layers.Normalization(mean=[0.5] * 3, variance=[0.06] * 3)(x), False),
        (lambda x: keras.layers.Conv2D(2, 1)(x), False),
    ],
)
def test_a_model_that_scales_its_input_reads_raw_pixels(first, reads_pixels):
    inputs = keras.Input((8, 6, 3))
    recorded = preprocessing_of(keras.Model(inputs, first(inputs)))
    assert recorded == (Preprocessing(8, 6, mean=0, std=1) if reads_pixels else None)


def test_mobilenet_v1_records_the_default_preprocessing_or_none():
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
