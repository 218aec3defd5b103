"""Post-training quantization finds what TensorFlow's converter finds, on any network."""

import numpy as np
import pytest
from converter_oracle import by_tensorflow, check
from networks import BY_BOTH_CONVERTERS

import edge
import keras_mobilenet
from edge.converter.calibration import calibrate
from edge.tflite.reader import read_graph

LAST_BITS = 1e-5
"""Relative: a layer's sums, each in an order of its own."""

SMALL = ("ds_cnn", "resnet8")


def calibrated(model, samples):
    twin = keras_mobilenet.quantize_model(model)
    calibrate(twin, samples)
    return twin


def typical(model, count=8):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, *model.input_shape[1:])).astype("float32")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in SMALL else pytest.mark.exhaustive)
        for name in BY_BOTH_CONVERTERS
    ],
)
def test_is_what_tensorflows_converter_writes(random_weights, name):
    model = BY_BOTH_CONVERTERS[name]()
    model.set_weights(random_weights(model))
    samples = typical(model)
    ours = read_graph(edge.convert(model, samples))
    check(ours, read_graph(by_tensorflow(model, samples)), calibrated(model, samples), LAST_BITS)
