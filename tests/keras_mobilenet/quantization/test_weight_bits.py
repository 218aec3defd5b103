"""Weights of four bits: learned steps, and as many as a flash budget asks for."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_mobilenet
from keras_mobilenet.quantization.transform import set_quantizing
from keras_mobilenet.quantization.weight_bits import (
    check_bits,
    check_budget,
    flash_bytes_of,
    kernel_layers,
    start_weight_bits,
)
from keras_mobilenet.quantization.weight_steps import best_factors, learned_fake_quant_kernel

BYTES = {"stem": (216, 32), "depthwise": (72, 32), "pointwise": (128, 64), "dense": (32, 8)}
"""Of each layer: a byte for each weight, four for each bias."""


def network():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False, name="stem")(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False, name="depthwise")(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 1, activation="relu", name="pointwise")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(2, name="dense")(x))


def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 64)
    shade = labels[:, None, None, None] - 0.5
    return (rng.normal(0, 0.5, (64, 8, 8, 3)) + shade).astype("float32"), labels


def fitted(weight_bits, start_epoch=0, epochs=1, **arguments):
    model = network()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    callback = keras_mobilenet.QuantizationAwareTraining(
        start_epoch, weight_bits=weight_bits, **arguments
    )
    model.fit(*data(), batch_size=16, epochs=epochs, verbose=0, callbacks=[callback])
    return model


def bits_of(model):
    return {
        layer.name.removeprefix("quantized_"): layer.weight_bits for layer in kernel_layers(model)
    }


def test_weights_stay_within_seven_steps_and_the_steps_are_learned():
    model = fitted(4, start_epoch=1, epochs=2)
    assert set(bits_of(model).values()) == {4}
    for layer in kernel_layers(model):
        weights = layer.int8_weights()
        assert (weights.bits, np.abs(weights.kernel).max()) == (4, 7)
        kernel, _ = layer.weights_of(lambda value: np.array(value, np.float64), np)
        start = np.log(best_factors(kernel, layer.scale_axes, 7))
        assert not np.allclose(np.array(layer.log_weight_factors), start, atol=1e-4)


def test_other_layers_keep_eight_bits():
    model = keras_mobilenet.quantize_model(network(), weight_bits={"pointwise": 4})
    assert bits_of(model) == {"stem": 8, "depthwise": 8, "pointwise": 4, "dense": 8}
    assert flash_bytes_of(model) == sum(map(sum, BYTES.values())) - 64
    for layer in kernel_layers(model):
        weights = layer.int8_weights()
        assert np.abs(weights.kernel).max() == {8: 127, 4: 7}[weights.bits]


def undecided():
    model = keras_mobilenet.quantize_model(network(), weight_bits="auto")
    set_quantizing(model, False)
    return model


@pytest.mark.parametrize("calibration_data", [None, data()[0]])
def test_auto_meets_its_budget_with_as_few_layers_as_it_takes(calibration_data):
    model = undecided()
    before = [np.array(weight) for weight in model.weights if weight.name == "kernel"]
    budget = 0.8 * flash_bytes_of(model)
    start_weight_bits(model, budget, calibration_data)
    taken = flash_bytes_of(model)
    chosen = [name for name, bits in bits_of(model).items() if bits == 4]
    assert taken <= budget
    assert any(taken + BYTES[name][0] / 2 > budget for name in chosen)
    after = [np.array(weight) for weight in model.weights if weight.name == "kernel"]
    for kernel, same in zip(before, after, strict=True):
        np.testing.assert_array_equal(kernel, same)


def test_auto_asks_the_counter_that_is_given():
    model = undecided()
    start_weight_bits(model, 1, counter=lambda made: 2 - (set(bits_of(made).values()) == {8}))
    assert set(bits_of(model).values()) == {8}, "the counter says 1 before any layer has four"


def test_a_budget_that_cannot_be_met_is_refused():
    with pytest.raises(ValueError, match="flash_bytes=100 cannot be met: with four bits"):
        start_weight_bits(undecided(), 100)


def test_what_was_chosen_is_saved_with_the_model_and_with_its_weights(tmp_path):
    model = fitted("auto", flash_bytes=500)
    assert set(bits_of(model).values()) == {4, 8}
    images = data()[0]
    expected = np.array(model(images, training=False))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    model.save_weights(tmp_path / "model.weights.h5")
    twin = keras_mobilenet.quantize_model(network(), weight_bits="auto")
    twin.load_weights(tmp_path / "model.weights.h5")
    start_weight_bits(twin, flash_bytes=1)
    for other in (loaded, twin):
        assert bits_of(other) == bits_of(model)
        np.testing.assert_array_equal(np.array(other(images, training=False)), expected)


def test_the_gradient_of_a_step_is_the_rounding_error():
    import tensorflow as tf

    kernel = tf.constant([[7.0, 2.4], [30.0, -1.2]])
    with tf.GradientTape() as tape:
        factors = tf.zeros((2,))
        tape.watch([kernel, factors])
        rounded = learned_fake_quant_kernel(kernel * 1.0, factors + 0.0, (0,), 7)
        loss = tf.reduce_sum(rounded)
    by_kernel, by_factor = tape.gradient(loss, [kernel, factors])
    np.testing.assert_allclose(by_kernel, np.ones((2, 2)), rtol=1e-6)
    error = (rounded - kernel).numpy().sum(axis=0) / np.sqrt(2 * 7)
    np.testing.assert_allclose(by_factor, error, rtol=1e-4)


@pytest.mark.parametrize("weight_bits", [5, "four", {"stem": 2}, None])
def test_other_bits_are_refused(weight_bits):
    with pytest.raises(ValueError, match="weight_bits must be 8, 4, 'auto' or a dict"):
        check_bits(weight_bits)


@pytest.mark.parametrize(
    ("weight_bits", "flash_bytes", "said"),
    [("auto", None, "needs flash_bytes"), (4, 100, "no other"), ("auto", -1, "positive")],
)
def test_a_budget_goes_with_auto(weight_bits, flash_bytes, said):
    with pytest.raises(ValueError, match=said):
        check_budget(weight_bits, flash_bytes)


def test_a_name_that_no_layer_has_is_refused():
    with pytest.raises(ValueError, match="names 'head', which is no layer with weights; those"):
        keras_mobilenet.quantize_model(network(), weight_bits={"head": 4})
