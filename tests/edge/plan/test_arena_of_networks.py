"""The arena of whole families of networks, against what real TFLite Micro reports."""

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.graph import read_graph
from edge.interpreters import run_tflm
from edge.plan.planned import planned_model
from edge.plan.tflm_greedy import PYTHON_WHEEL, predict_arena

pytestmark = pytest.mark.slow

PAIRS = [(alpha, side) for alpha in (0.1, 0.25, 0.35, 0.5) for side in (32, 64, 96)]


def mobilenet(alpha, side):
    return keras_mobilenet.MobileNetV1((side, side, 3), alpha, classes=10)


def mobilenet_v2():
    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


def resnet8():
    """MLPerf Tiny's image classification network, in plain layers."""

    def conv(x, filters, strides=1, size=3):
        x = layers.Conv2D(filters, size, strides, padding="same")(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(inputs, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(conv(x, filters, strides))
        y = conv(y, filters)
        shortcut = conv(x, filters, strides, 1) if strides > 1 else x
        x = layers.ReLU()(layers.Add()([shortcut, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


NETWORKS = {f"alpha{a}-{s}": lambda a=a, s=s: mobilenet(a, s) for a, s in PAIRS}
NETWORKS |= {"mobilenet_v2": mobilenet_v2, "resnet8": resnet8}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_what_tflm_reports(random_weights, name):
    model = NETWORKS[name]()
    model.set_weights(random_weights(model))
    shape = model.input_shape[1:]
    samples = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    graph = read_graph(edge.convert(model, samples))
    inputs = np.random.default_rng(1).integers(-128, 128, (3, *shape)).astype(np.int8)
    expected, used = run_tflm(graph, inputs)
    assert predict_arena(graph, structures=PYTHON_WHEEL).used_bytes == used

    # The smallest plan, and the one that lets outputs reach into inputs, give the same bytes.
    for may_overlap in (False, True):
        planned = planned_model(graph, may_overlap)
        actual, used = run_tflm(planned.graph, inputs)
        np.testing.assert_array_equal(actual, expected)
        assert predict_arena(planned.graph, structures=PYTHON_WHEEL).used_bytes == used
        assert planned.planned_bytes <= planned.greedy_bytes
