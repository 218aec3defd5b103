"""Post-training quantization finds what TensorFlow's converter finds, on any network."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from converter_oracle import NETWORKS, by_tensorflow, check
from networks import BY_BOTH_CONVERTERS, residual_of_random_weights

import edge
import keras_mobilenet
from edge.converter.calibration import calibrate
from edge.errors import ConversionError
from edge.tflite.reader import read_graph

ROOT = pathlib.Path(__file__).parents[3]

LAST_BITS = 1e-5
"""Relative: a layer's sums, each in an order of its own."""


def calibrated(model, samples):
    twin = keras_mobilenet.quantize_model(model)
    calibrate(twin, samples)
    return twin


def typical(model, count=8):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, *model.input_shape[1:])).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_is_what_tensorflows_converter_writes(random_weights, name):
    model = BY_BOTH_CONVERTERS[name]()
    model.set_weights(random_weights(model))
    samples = typical(model)
    ours = read_graph(edge.convert(model, samples))
    check(ours, read_graph(by_tensorflow(model, samples)), calibrated(model, samples), LAST_BITS)


def operators(model, samples, **options):
    """Opcode, scale and zero point of every operator's output."""
    graph = read_graph(edge.convert(model, samples, **options))
    found = []
    for op in graph.operators:
        quantization = graph.tensors[op.outputs[0]].quantization
        found.append((op.opcode, quantization.scales[0], quantization.zero_points[0]))
    return found


def two_branches():
    """A sum of two convolutions, in place of the first; each doubles its input, less one."""
    image = keras.Input((2, 2, 1))
    convolutions = [keras.layers.Conv2D(1, 1, name=name) for name in ("first", "second")]
    x = keras.layers.Add()([convolution(image) for convolution in convolutions])
    model = keras.Model(image, keras.layers.MaxPooling2D(2)(x))
    for convolution in convolutions:
        convolution.set_weights([np.full((1, 1, 1, 1), 2.0), np.array([-1.0])])
    return model


@pytest.fixture
def ramp():
    """Four images whose values go from 0 to 1, 2, 3 and 4."""
    steps = np.linspace(0, 1, 4, dtype="float32").reshape(1, 2, 2, 1)
    return steps * np.arange(1, 5, dtype="float32").reshape(4, 1, 1, 1)


def test_a_range_holds_what_the_tensor_held_and_a_sum_s_first_input_the_sum_too(ramp):
    first, second, total, pooled = operators(two_branches(), ramp)
    assert second == ("CONV_2D", pytest.approx(8 / 255), -96)
    assert total == ("ADD", pytest.approx(16 / 255), -96)
    # Where TensorFlow's calibrator looks at the first input, the sum is already there.
    assert first == ("CONV_2D", pytest.approx(16 / 255), -96)
    assert pooled[1:] == total[1:]


def test_a_moving_average_takes_the_mean_of_the_extremes_of_32_inputs_each(ramp):
    batches = np.repeat(ramp, 32, axis=0)
    first, second, total, _ = operators(two_branches(), batches, calibration="moving_average")
    assert first == second == ("CONV_2D", pytest.approx(5 / 255), -77)
    assert total == ("ADD", pytest.approx(10 / 255), -77)


@pytest.mark.parametrize(("calibration", "most"), [("percentile", 0.25), ("mse", 0.96)])
def test_a_rare_value_is_cut_off(calibration, most):
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (40, 32, 32, 1)).astype("float32")
    images[0, 0, 0, 0] = 30.0
    image = keras.Input((32, 32, 1))
    model = keras.Model(image, keras.layers.Conv2D(1, 1)(image))
    model.set_weights([np.ones((1, 1, 1, 1)), np.zeros(1)])
    ((_, wide, _),) = operators(model, images)
    ((_, narrow, _),) = operators(model, images, calibration=calibration)
    assert wide == pytest.approx(31 / 255, rel=1e-3)
    assert 2 / 255 < narrow < wide * most
    # What is left of the input's range is all of it.
    graph = read_graph(edge.convert(model, images, calibration=calibration))
    assert graph.input.quantization.scales[0] == pytest.approx(31 / 255, rel=1e-3)


def test_a_dead_layer_gets_the_range_that_tensorflows_converter_gives_it():
    image = keras.Input((4, 4, 1))
    model = keras.Model(image, keras.layers.Conv2D(2, 3, activation="relu", name="dead")(image))
    model.layers[-1].bias.assign([-100.0, -100.0])
    samples = typical(model)
    expected = read_graph(by_tensorflow(model, samples)).output.quantization
    ours = read_graph(edge.convert(model, samples)).output.quantization
    assert ours == expected


def test_takes_blocks_nested_models_and_what_only_training_sees():
    image = keras.Input((16, 16, 3))
    x = keras_mobilenet.ConvBNReLU(8, 3, 2)(image)
    x = keras.layers.Dropout(0.5)(keras_mobilenet.SeparableBlock(8)(x))
    inner = keras.Sequential([keras.Input((8, 8, 8)), keras.layers.Conv2D(4, 1)])
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(inner(x)))
    samples = typical(model)
    names = [name for name, _, _ in operators(model, samples)]
    assert names == ["CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "CONV_2D", "MEAN"]
    before = model.predict(samples, verbose=0)
    edge.convert(model, samples)
    np.testing.assert_array_equal(model.predict(samples, verbose=0), before)


def test_a_model_need_not_be_one_that_keras_can_save(monkeypatch, ramp):
    class Distilled(keras.Model):
        def train_step(self, data):
            raise NotImplementedError

        def get_config(self):
            raise NotImplementedError

    plain = two_branches()
    monkeypatch.setitem(sys.modules, "edge.converter.converter_child", None)
    assert edge.convert(Distilled(plain.inputs, plain.outputs), ramp) == edge.convert(plain, ramp)


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None
import pathlib, keras, numpy as np, edge
from networks import residual_of_random_weights
samples = np.load(sys.argv[1])
pathlib.Path(sys.argv[2]).write_bytes(edge.convert(residual_of_random_weights(), samples))
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_find_the_same_without_tensorflow(keras_backend, backend, tmp_path):
    model = residual_of_random_weights()
    samples = typical(model, count=40)
    np.save(tmp_path / "samples.npy", samples)
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, "samples.npy", "model.tflite"]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = os.environ | {"KERAS_BACKEND": keras_backend(backend), "PYTHONPATH": paths}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=300)
    ours = read_graph((tmp_path / "model.tflite").read_bytes())
    theirs = read_graph(edge.convert(model, samples))
    check(ours, theirs, calibrated(model, samples), LAST_BITS)


def parametric():
    image = keras.Input((8, 8, 3))
    x = keras.layers.PReLU(name="prelu")(keras.layers.Conv2D(4, 3)(image))
    return keras.Model(image, x)


@pytest.mark.slow
def test_what_has_no_rule_goes_through_tensorflows_converter():
    model = parametric()
    names = [name for name, _, _ in operators(model, typical(model))]
    assert names == ["CONV_2D", "PRELU"]


def overflowing():
    model = two_branches()
    model.get_layer("second").bias.assign([np.inf])
    return model


@pytest.mark.parametrize(
    ("build", "options", "words"),
    [
        (two_branches, {"calibration": "best"}, "calibration must be one of .*, got 'best'"),
        (parametric, {"calibration": "mse"}, "'prelu' .* calibrates by min_max only, not 'mse'"),
        (overflowing, {}, "Layer 'quantized_second' computes NaN or infinity"),
    ],
)
def test_refuses_in_one_line(build, options, words):
    model = build()
    with pytest.raises(ConversionError, match=words) as error:
        edge.convert(model, typical(model), **options)
    assert "\n" not in str(error.value)
