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


def pooled(padding, stride):
    """A network of one pool over the whole image of 12x12 pixels, and a dense layer."""
    inputs = keras.Input((12, 12, 4))
    x = keras.layers.AveragePooling2D(12, stride, padding)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(x)))
    return read_graph(edge.convert(model, np.ones((2, 12, 12, 4), "float32")))


def test_a_pool_over_the_whole_image_stays_one():
    scaled = scaled_model(pooled("valid", 12), 1.0, 30).graph
    pool = next(op for op in scaled.operators if op.opcode == "AVERAGE_POOL_2D")
    assert scaled.tensors[pool.outputs[0]].shape == (1, 1, 1, 4)
    assert pool.options["filter"] == (30, 30)
    assert scaled.output.shape == (1, 3)


def test_a_pool_that_slides_over_its_padding_keeps_the_image_s_size():
    graph = pooled("same", 1)
    assert [t.shape for t in scaled_model(graph, 1.0, 12).graph.tensors] == [
        t.shape for t in graph.tensors
    ]


def test_the_classes_stay(original):
    assert scaled_model(original, 0.25, 32).graph.output.shape == (1, 5)


def test_refuses_an_operator_without_a_rule():
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Concatenate()([inputs, inputs]))
    graph = read_graph(edge.convert(model, np.ones((2, 16, 16, 3), "float32")))
    with pytest.raises(NoScaleRuleError, match="CONCATENATION"):
        scaled_model(graph, 1.0, 8)
