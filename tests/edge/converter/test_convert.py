"""Keras to int8 .tflite: trained ranges arrive exactly, Keras computes what the file computes."""

import keras
import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.errors import ConversionError, ModelError
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.transform import QUANTIZED_LAYERS


@pytest.fixture(scope="module")
def graph(trained_tflite):
    return read_graph(trained_tflite)


def test_refuses_a_model_that_was_left_float_in_part():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="float_one")(inputs)
    model = keras.Model(inputs, keras.layers.Conv2D(4, 3)(x))
    twin = keras_mobilenet.quantize_model(model, exclude=["float_one"])
    twin(np.ones((2, 8, 8, 3)), training=True)
    with pytest.raises(ConversionError, match="float_one left float"):
        edge.convert(twin)


def test_is_pure_int8_with_a_static_batch_of_one(graph):
    assert graph.op_names() == ["CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "RESHAPE", "SOFTMAX"]
    assert graph.input.shape == (1, 48, 48, 1)
    assert not any(tensor.is_dynamic for tensor in graph.tensors)
    activations = [t for t in graph.tensors if not t.is_constant]
    assert {t.dtype for t in activations} == {"int8"}


def test_every_scale_is_the_trained_one(trained, graph):
    """No representative data was given: the ranges are those of training, bit for bit."""
    found = [graph.input] + [graph.tensors[op.outputs[0]] for op in graph.operators]
    in_file = [(t.quantization.scales[0], t.quantization.zero_points[0]) for t in found]
    layers = [layer for layer in trained.model.layers if isinstance(layer, QUANTIZED_LAYERS)]
    expected = [layer.output_range.scale_and_zero_point() for layer in layers]
    # RESHAPE keeps the grid of the layer before it, SOFTMAX's is fixed.
    assert in_file == [*expected, expected[-1], (1 / 256, -128)]


def test_every_kernel_scale_is_the_trained_one(trained, graph):
    layers = [la for la in trained.model.layers if isinstance(la, QuantizedConvolution)]
    operators = [op for op in graph.operators if "CONV" in op.opcode]
    assert len(layers) == len(operators) == 28
    for layer, op in zip(layers, operators, strict=True):
        kernel = graph.tensors[op.inputs[1]]
        assert kernel.quantization.per_channel
        assert set(kernel.quantization.zero_points) == {0}
        np.testing.assert_allclose(kernel.quantization.scales, folded_scales(layer), rtol=1e-6)


def folded_scales(layer):
    """Largest magnitude of each channel over 127, batch normalization folded in NumPy."""
    kernel = np.array(layer.convolution.kernel)
    if layer.is_depthwise:
        kernel = kernel[..., 0]
    norm = layer.batch_norm
    if norm is not None:
        kernel = (
            kernel * np.array(norm.gamma) / np.sqrt(np.array(norm.moving_variance) + norm.epsilon)
        )
    magnitude = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    return np.maximum(magnitude, magnitude.max() * 2.0**-14) / 127


def test_keras_computes_what_the_file_computes(digits, trained, graph):
    """Within 2 steps of the output on 100 real images, same class on all but at most one."""
    images = digits.test_inputs()[:100]
    simulated = trained.model.predict(images, verbose=0)
    scale, zero_point = 1 / 256, -128
    steps = np.round(simulated / scale) + zero_point
    computed = run_litert(graph, quantize_inputs(graph, images))
    assert np.abs(np.clip(steps, -128, 127) - computed).max() <= 2
    assert (simulated.argmax(axis=1) != computed.argmax(axis=1)).sum() <= 1


def test_trained_ranges_need_no_representative_dataset(trained, trained_tflite):
    samples = np.zeros((4, 48, 48, 1), "float32")
    assert edge.convert(trained.model, samples) == trained_tflite


def test_post_training_quantization_keeps_the_network(digits):
    keras.utils.set_random_seed(0)
    model = keras_mobilenet.MobileNetV1(
        (48, 48, 1), 0.25, classes=10, padding="same", classifier_activation=None
    )
    # Statistics of real images, as training would leave them.
    for _ in range(3):
        model(digits.train_inputs()[:64], training=True)
    images = digits.test_inputs()[:20]
    graph = read_graph(edge.convert(model, digits.train_inputs()[:100]))
    expected = model.predict(images, verbose=0)
    computed = run_litert(graph, quantize_inputs(graph, images)).astype("float32")
    quantization = graph.output.quantization
    real = quantization.scales[0] * (computed - quantization.zero_points[0])
    assert np.corrcoef(real.ravel(), expected.ravel())[0, 1] > 0.95


def test_reads_a_keras_file(tmp_path, trained, trained_tflite):
    trained.model.save(tmp_path / "model.keras")
    again = read_graph(edge.convert(tmp_path / "model.keras"))
    ours = read_graph(trained_tflite)
    for left, right in zip(again.tensors, ours.tensors, strict=True):
        assert left.quantization == right.quantization
        if left.is_constant:
            np.testing.assert_array_equal(left.values(), right.values())


def plain():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name="plain")


def resized():
    inputs = keras.Input((None, None, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name="resized")


def two_outputs():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, [keras.layers.Flatten()(inputs), inputs], name="twins")


def untrained():
    return keras_mobilenet.quantize_model(plain())


ONES = np.ones((2, 8, 8, 3), "float32")


@pytest.mark.parametrize(
    ("build", "samples", "words"),
    [
        (plain, None, "Pass representative_dataset"),
        (plain, np.ones((2, 9, 8, 3)), r"representative_dataset has shape \(2, 9, 8, 3\)"),
        (plain, ONES * np.nan, "holds NaN or infinity"),
        (plain, "images", "no float array"),
        (resized, ONES, "must be fixed"),
        (two_outputs, ONES, "convert takes one input and one output; model 'twins' has 1 and 2"),
        (untrained, None, "run model.fit first"),
        (lambda: "missing.keras", None, r"Cannot read missing\.keras: no such file"),
        (lambda: 42, None, "takes a built Keras model or a .keras file, got int"),
    ],
)
def test_refuses_in_one_line(build, samples, words):
    with pytest.raises((ConversionError, ModelError), match=words) as error:
        edge.convert(build(), samples)
    assert "\n" not in str(error.value)


def test_names_the_layer_that_the_converter_has_no_operator_for():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.UnitNormalization(name="unit")(inputs)
    model = keras.Model(
        inputs, keras.layers.LSTM(4, name="memory")(keras.layers.Reshape((8, 24))(x))
    )
    with pytest.raises(ConversionError, match="memory") as error:
        edge.convert(model, ONES)
    assert "\n" not in str(error.value)
