"""Multiply-adds and parameters of any Keras model."""

import keras
import pytest
from keras import layers

from keras_mobilenet import MobileNetV1, SeparableBlock
from keras_mobilenet.analysis.cost import (
    cost,
    separable_mult_adds,
    separable_ratio,
    standard_mult_adds,
)


def test_mobilenet_v1_costs_as_much_as_that_of_keras_applications():
    ours = cost(MobileNetV1((96, 96, 3), 0.25))
    theirs = cost(keras.applications.MobileNet((96, 96, 3), 0.25, weights=None))
    assert ours.mult_adds == theirs.mult_adds
    assert ours.parameters == theirs.parameters
    assert [c.mult_adds for c in ours.layers] == [c.mult_adds for c in theirs.layers]
    counted = sum(c.trainable for c in theirs.layers)
    model = keras.applications.MobileNet((96, 96, 3), 0.25, weights=None)
    sizes = [weight.shape.num_elements() for weight in model.trainable_weights]
    assert counted == sum(sizes)


def test_mult_adds_are_those_of_the_tflite_file(trained_tflite):
    from edge.tflite.reader import read_graph

    model = MobileNetV1((48, 48, 1), 0.25, classes=10, padding="same")
    assert cost(model).mult_adds == read_graph(trained_tflite).total_macs()


def test_every_kind_of_layer_is_counted():
    inputs = keras.Input((8, 8, 4))
    x = layers.SeparableConv2D(6, 3, padding="same", use_bias=False)(inputs)
    x = SeparableBlock(8)(x)
    inner = keras.Sequential([keras.Input((8, 8, 8)), layers.Conv2D(4, 2, 2, groups=2)])
    x = layers.Dense(5)(layers.Flatten()(inner(x)))
    counted = cost(keras.Model(inputs, x))
    assert [c.mult_adds for c in counted.layers] == [
        64 * 9 * 4,
        64 * 4 * 6,
        64 * 9 * 6,
        64 * 6 * 8,
        16 * 4 * 4 * 4,
        64 * 5,
    ]
    assert counted.parameters == 36 + 24 + 54 + 48 + 64 + 320
    assert sum(share for share, _ in counted.by_kind().values()) == pytest.approx(100)
    assert str(counted).count("\n") == len(counted.layers) + 1
    assert counted.rows()[0]["kind"] == "depthwise 3x3"


def test_quantization_aware_model_costs_what_the_float_one_does():
    from keras_mobilenet.quantization.transform import quantize_model

    for model in (
        MobileNetV1((64, 64, 3), 0.25),
        keras.Sequential(
            [
                keras.Input((9, 7, 1)),
                layers.SeparableConv2D(4, 3),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Flatten(),
                layers.Dense(5),
            ]
        ),
    ):
        before, after = cost(model), cost(quantize_model(model))
        assert [
            (layer.kind, layer.output_shape, layer.mult_adds, layer.parameters)
            for layer in after.layers
        ] == [
            (layer.kind, layer.output_shape, layer.mult_adds, layer.parameters)
            for layer in before.layers
        ]
        assert after.mult_adds > 0


def test_cost_refuses_a_kernel_without_a_rule():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2DTranspose(4, 3, name="up")])
    with pytest.raises(ValueError, match=r"'up' \(Conv2DTranspose\)"):
        cost(model)


def test_formulas_of_the_paper_are_the_costs_of_its_layers():
    ratio = separable_mult_adds(3, 512, 512, 14) / standard_mult_adds(3, 512, 512, 14)
    assert ratio == pytest.approx(separable_ratio(3, 512))


def test_cost_refuses_a_model_without_a_size():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, layers.Conv2D(4, 3)(inputs))
    with pytest.raises(ValueError, match="fixed input size"):
        cost(model)
    with pytest.raises(ValueError, match="is not built"):
        cost(keras.Sequential([layers.Dense(2)]))
