"""Networks of others train with the callback, and the chip computes what Keras computes."""

import keras
import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.reader import read_graph
from keras_mobilenet.quantization.transform import is_quantized, set_exporting, untrained_ranges

NAMES = (
    # Minutes, for many layers of the kinds that the others have too.
    pytest.param("mobilenet_v1", marks=pytest.mark.exhaustive),
    pytest.param("mobilenet_v2", marks=pytest.mark.exhaustive),
    pytest.param("ds_cnn", marks=pytest.mark.exhaustive),
    pytest.param("resnet8", marks=pytest.mark.exhaustive),
    "mixture",
)
COUNT = 50


def four_shades(shape, count=64):
    """Noise around a brightness that tells the class."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count)
    shade = (labels[:, None, None, None] - 1.5) / 3
    return (rng.uniform(-0.5, 0.5, (count, *shape)) + shade).astype("float32"), labels


def trained(model, **arguments):
    keras.utils.set_random_seed(0)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5  # a few steps must do
    images, labels = four_shades(model.input_shape[1:])
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", jit_compile=False)
    callback = keras_mobilenet.QuantizationAwareTraining(start_epoch=3, **arguments)
    model.fit(images, labels, 16, epochs=7, verbose=0, callbacks=[callback])
    return images


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_fitted_network_computes_in_keras_what_the_interpreters_compute(networks, name):
    model = networks[name]()
    # Frozen from the start: the moving statistics are those of the float epochs.
    images = trained(model, ranges="lsq", freeze_bn_after=0 if name.startswith("mobilenet") else 2)[
        :COUNT
    ]
    assert is_quantized(model)
    assert untrained_ranges(model) == []
    graph = read_graph(edge.convert(model))
    # Blends of two images lie between the classes: their scores are not all alike.
    weights = np.linspace(0, 1, COUNT, dtype="float32")[:, None, None, None]
    images = weights * images + (1 - weights) * images[::-1]
    stored = quantize_inputs(graph, images)
    by_litert = run_litert(graph, stored)
    assert len(np.unique(by_litert, axis=0)) >= 5, "the outputs tell the inputs apart"
    is_equal = (by_litert == run_tflm(graph, stored)[0]).all(axis=1)
    # LiteRT rounds a Dense layer once, TFLite Micro twice: rarely, one of them is a step off.
    has_dense = any(op.opcode == "FULLY_CONNECTED" for op in graph.operators)
    assert is_equal.mean() >= (0.9 if has_dense else 1.0)

    # Exact int8 values, as pixels are: else the last bit of a division decides at a tie.
    parameters = graph.input.quantization
    images = (stored.astype("float32") - parameters.zero_points[0]) * np.float32(
        parameters.scales[0]
    )
    parameters = graph.output.quantization
    by_keras = model.predict(images, verbose=0) / parameters.scales[0] + parameters.zero_points[0]
    by_keras = by_keras.reshape(by_litert.shape)
    assert np.abs(np.clip(np.round(by_keras), -128, 127) - by_litert).max() <= 2


@pytest.mark.parametrize("name", ["ds_cnn", pytest.param("mixture", marks=pytest.mark.exhaustive)])
def test_saved_model_resumes_exactly(networks, name, tmp_path):
    model = networks[name]()
    images = trained(model, ranges="lsq")
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), again.predict(images, verbose=0)
    )
    for mine, its in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine, its, err_msg=mine.path)


def test_twin_computes_as_the_float_network_where_rounding_is_fine(networks, random_weights):
    """No wiring is lost: with the integer arithmetic switched off, the twin is the network."""
    model = networks["mixture"]()
    model.set_weights(random_weights(model))
    images, _ = four_shades(model.input_shape[1:], 8)
    twin = keras_mobilenet.quantize_model(model)
    for _ in range(100):
        twin(images, training=True)
    set_exporting(twin, True)
    logits = keras.Model(twin.inputs, twin.layers[-2].output)
    expected = keras.Model(model.inputs, model.layers[-2].output)(images, training=False)
    error = np.abs(logits(images, training=False) - expected).max()
    assert error < 0.15 * np.ptp(expected)


def test_training_steps_compile_under_xla(networks):
    model = networks["ds_cnn"]()
    images, labels = four_shades(model.input_shape[1:], 16)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=True)
    callback = keras_mobilenet.QuantizationAwareTraining(ranges="lsq")
    losses = model.fit(images, labels, 8, epochs=2, verbose=0, callbacks=[callback]).history["loss"]
    assert np.isfinite(losses).all()
    assert untrained_ranges(model) == []
