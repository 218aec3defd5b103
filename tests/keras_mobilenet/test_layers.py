"""The blocks that MobileNet is made of."""

import keras
import numpy as np
import pytest

from keras_mobilenet import ConvBNReLU, SeparableBlock


def test_separable_block_is_keras_layers_one_after_another():
    block = SeparableBlock(16, strides=2, alpha=0.5, activation="relu6")
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 6)).astype("float32")
    result = block(x)
    depthwise, pointwise = block.weights[0], block.weights[5]
    assert depthwise.shape == (3, 3, 6, 1)
    assert pointwise.shape == (1, 1, 6, 8)

    inputs = keras.Input((9, 9, 6))
    y = keras.layers.DepthwiseConv2D(3, 2, "same", use_bias=False)(inputs)
    y = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(y))
    y = keras.layers.Conv2D(8, 1, padding="same", use_bias=False)(y)
    y = keras.layers.ReLU(6.0)(keras.layers.BatchNormalization()(y))
    plain = keras.Model(inputs, y)
    plain.set_weights(block.get_weights())
    np.testing.assert_allclose(result, plain(x), atol=1e-6)


@pytest.mark.parametrize("make", [SeparableBlock, ConvBNReLU])
def test_layers_come_back_from_their_configuration(make):
    layer = make(8, strides=2, alpha=0.5, activation="relu")
    again = make.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.compute_output_shape((None, 7, 7, 3)) == (None, 4, 4, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"filters": 0}, "filters"),
        ({"filters": 8, "alpha": 0}, "alpha"),
        ({"filters": 8, "alpha": 1.5}, "alpha"),
        ({"filters": 8, "activation": "gelu"}, "activation"),
        ({"filters": 8, "data_format": "channels_first"}, "channels_last"),
    ],
)
def test_separable_block_refuses_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        SeparableBlock(**arguments)
