"""What Keras's tutorials build trains with the callback; the engine computes what it learned."""

import keras
import numpy as np
import pytest
from tutorials import PIXELS, TUTORIALS

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.engine.compile import compile_engine
from edge.firmware.host import run_on_host
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.reader import read_graph
from keras_mobilenet.preprocessing.record import preprocessing_of

COUNT = 32
IN_EVERY_RUN = ("flowers", "cnn_with_norms", "sensor")
NAMES = [
    name if name in IN_EVERY_RUN else pytest.param(name, marks=pytest.mark.exhaustive)
    for name in TUTORIALS
]


def samples(model, is_pixels):
    rng = np.random.default_rng(0)
    classes = model.output_shape[-1]
    labels = rng.integers(0, max(classes, 2), COUNT)
    shade = labels.reshape(-1, *[1] * (len(model.input_shape) - 1)) / max(classes, 2)
    noise = rng.uniform(0, 0.5, (COUNT, *model.input_shape[1:])) + shade
    inputs = np.round(noise * 170) if is_pixels else noise * 2 - 1
    return inputs.astype("float32"), labels.reshape(-1, 1).astype("float32")


@pytest.fixture(scope="module", params=NAMES)
def trained(request):
    keras.utils.set_random_seed(0)
    build = TUTORIALS[request.param]
    model = build()
    inputs, labels = samples(model, build in PIXELS)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5  # a few steps must do
    is_binary = model.output_shape[-1] == 1
    loss = "binary_crossentropy" if is_binary else "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(1e-3), loss)
    callback = keras_mobilenet.QuantizationAwareTraining(start_epoch=0)
    model.fit(inputs, labels, 16, epochs=2, verbose=0, callbacks=[callback])
    return build, model, read_graph(edge.convert(model)), inputs


def test_the_engine_litert_and_keras_compute_the_same(trained, host_compiler):
    _, model, graph, inputs = trained
    stored = quantize_inputs(graph, inputs)
    by_litert = run_litert(graph, stored)
    assert len(np.unique(by_litert, axis=0)) > 3, "the outputs tell the inputs apart"
    np.testing.assert_array_equal(run_on_host(compile_engine(graph), stored), by_litert)
    by_tflm = run_tflm(graph, stored)[0]
    # LiteRT rounds a Dense layer once, TFLite Micro twice.
    assert np.abs(by_tflm.astype(int) - by_litert).max() <= 3

    # Exact int8 values, as pixels are: else the last bit of a division decides at a tie.
    ends = graph.input.quantization, graph.output.quantization
    (scale, point), (out_scale, out_point) = ((q.scales[0], q.zero_points[0]) for q in ends)
    exact = (stored.astype("float32") - point) * np.float32(scale)
    by_keras = model.predict(exact.reshape(COUNT, *model.input_shape[1:]), verbose=0)
    steps = np.clip(np.round(by_keras / out_scale + out_point), -128, 127)
    assert np.abs(steps.reshape(by_litert.shape) - by_litert).max() <= 3


def test_the_int8_model_reads_what_the_keras_model_reads(trained):
    build, model, graph, inputs = trained
    quantization = graph.input.quantization
    low, high = ((q - quantization.zero_points[0]) * quantization.scales[0] for q in (-128, 127))
    step = quantization.scales[0]
    assert low <= inputs.min() + step
    assert high >= inputs.max() - step
    recorded = preprocessing_of(model)
    assert (recorded is not None) == (build in PIXELS)
    if recorded is not None:
        assert (set(recorded.mean), set(recorded.std)) == ({0.0}, {1.0})


def test_the_trained_model_is_saved_and_loaded(trained, tmp_path):
    _, model, graph, inputs = trained
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        loaded.predict(inputs, verbose=0), model.predict(inputs, verbose=0)
    )
    assert edge.convert(tmp_path / "model.keras") == graph.content
