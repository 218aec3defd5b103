"""What a narrower or smaller network would take is what it takes once it is made."""

import keras
import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.memory.tflm_arena import predict_arena
from edge.tflite.reader import read_graph
from edge.transforms.scale import NoScaleRuleError, scaled_model


def mobilenet(random_weights, alpha, side):
    model = keras_mobilenet.MobileNetV1((side, side, 3), alpha, classes=5, padding="same")
    model.set_weights(random_weights(model))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, side, side, 3)).astype("float32")
    return read_graph(edge.convert(model, samples))


@pytest.fixture(scope="module")
def original(random_weights):
    return mobilenet(random_weights, 0.25, 96)


@pytest.mark.parametrize(("factor", "side"), [(1.0, 64), (0.5, 96), (0.5, 48)])
def test_predicts_the_model_that_keras_would_build(random_weights, original, factor, side):
    predicted, made = (
        scaled_model(original, factor, side),
        mobilenet(random_weights, 0.25 * factor, side),
    )
    assert predict_arena(predicted.graph).arena_bytes == predict_arena(made).arena_bytes
    assert predicted.graph.total_macs() == made.total_macs()
    # The file's own records vary by some bytes with the names of the layers.
    assert predicted.model_bytes == pytest.approx(made.model_bytes, rel=0.01)


@pytest.mark.parametrize("name", ["vww", "kws"])
def test_a_model_at_its_own_size_is_itself(request, name):
    graph = read_graph(request.getfixturevalue(name))
    same = scaled_model(graph, 1.0, max(graph.input.shape[1:3]))
    assert same.model_bytes == graph.model_bytes
    assert [t.shape for t in same.graph.tensors] == [t.shape for t in graph.tensors]


def test_the_classes_stay(original):
    assert scaled_model(original, 0.25, 32).graph.output.shape == (1, 5)


def test_refuses_an_operator_without_a_rule():
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Concatenate()([inputs, inputs]))
    graph = read_graph(edge.convert(model, np.ones((2, 16, 16, 3), "float32")))
    with pytest.raises(NoScaleRuleError, match="CONCATENATION"):
        scaled_model(graph, 1.0, 8)
