"""A quantization-aware model is written as TensorFlow's converter would write it."""

import sys

import keras
import numpy as np
import pytest
from converter_oracle import NETWORKS, by_tensorflow, check, with_ranges
from networks import BY_BOTH_CONVERTERS, mixture

import edge
from edge.errors import ConversionError
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.reader import read_graph

LAST_BITS = 2.0**-21
"""Relative: what a machine's float32 arithmetic may make of a scale."""


def check_model(model):
    twin = with_ranges(model)
    ours, theirs = read_graph(edge.convert(twin)), read_graph(by_tensorflow(twin))
    check(ours, theirs, twin, LAST_BITS)
    assert ours.model_bytes < theirs.model_bytes


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_is_what_tensorflows_converter_writes(random_weights, name):
    model = BY_BOTH_CONVERTERS[name]()
    model.set_weights(random_weights(model))
    check_model(model)


@pytest.mark.slow
def test_is_what_tensorflows_converter_writes_of_the_other_operators(random_weights):
    model = mixture()
    model.set_weights(random_weights(model))
    check_model(model)


@pytest.mark.slow
def test_takes_paddings_poolings_and_heads_of_all_kinds(random_weights):
    layers = keras.layers
    image = keras.Input((13, 10, 3))
    x = layers.ZeroPadding2D(((0, 1), (0, 1)))(image)
    x = layers.Conv2D(8, 2, activation="relu6")(x)
    x = layers.ZeroPadding2D(((2, 1), (0, 3)))(x)
    x = layers.SeparableConv2D(8, 3, strides=2, dilation_rate=1, depth_multiplier=2)(x)
    x = layers.Dropout(0.5)(layers.MaxPooling2D(2, padding="same")(x))
    x = layers.Flatten()(layers.Conv2D(6, 1, use_bias=False)(x))
    x = layers.Activation("softmax")(layers.Dense(3)(layers.Dense(5, activation="relu")(x)))
    model = keras.Model(image, x)
    model.set_weights(random_weights(model))
    check_model(model)


def test_needs_no_tensorflow_converter_and_no_saved_model(monkeypatch):
    """A user's own class with its own training step cannot be saved, and need not be."""

    class Distilled(keras.Model):
        def train_step(self, data):
            raise NotImplementedError

        def get_config(self):
            raise NotImplementedError

    image = keras.Input((8, 8, 3))
    plain = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    twin = with_ranges(plain)
    own = Distilled(twin.inputs, twin.outputs)
    monkeypatch.setitem(sys.modules, "edge.converter.converter_child", None)
    assert edge.convert(own) == edge.convert(twin)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 4.0, ["QUANTIZE"]),
        (0.0, 9.0, ["RELU6", "QUANTIZE"]),
        (-1.0, 4.0, ["RELU6", "QUANTIZE"]),
    ],
)
def test_an_activation_of_its_own_is_cut_off_by_its_range_where_that_does(low, high, expected):
    image = keras.Input((4, 4, 2))
    model = keras.Model(image, keras.layers.ReLU(6)(keras.layers.MaxPooling2D(2)(image)))
    twin = with_ranges(model)
    twin.layers[-1].output_range.set_limits(low, high)
    twin.layers[1].output_range.set_limits(-8.0, 8.0)
    graph = read_graph(edge.convert(twin))
    assert [op.opcode for op in graph.operators][1:] == expected
    stored = np.random.default_rng(0).integers(-128, 128, (20, 4, 4, 2), np.int8)
    found = run_litert(graph, stored)
    np.testing.assert_array_equal(found, run_tflm(graph, stored)[0])
    scale, zero_point = graph.input.quantization.scales[0], graph.input.quantization.zero_points[0]
    images = (stored.astype("float32") - zero_point) * np.float32(scale)
    output = graph.output.quantization
    by_keras = twin.predict(images, verbose=0) / output.scales[0] + output.zero_points[0]
    assert np.abs(np.round(by_keras).reshape(found.shape) - found).max() <= 1


def test_refuses_a_layer_without_an_int8_operator():
    image = keras.Input((8, 8, 3))
    twin = with_ranges(keras.Model(image, keras.layers.Conv2D(4, 3)(image)))
    model = keras.Model(twin.inputs, keras.layers.Cropping2D(1, name="crop")(twin.outputs[0]))
    with pytest.raises(ConversionError, match="'crop'"):
        edge.convert(model)
