"""Equalization changes no output, and saves a network that per-tensor rounding destroys."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

import keras_mobilenet
from keras_mobilenet.quantization.equalize import equalize_weights


def images(shape):
    return np.random.default_rng(1).uniform(-1, 1, (8, *shape)).astype("float32")


def logits(model, x):
    """Before the softmax, which would hide what happened."""
    return keras.Model(model.inputs, model.layers[-2].output)(x, training=False).numpy()


def uneven(model, seed=2):
    """Channels far apart in range, in a network that computes what it computed before."""
    rng = np.random.default_rng(seed)
    stages = [
        s
        for layer in model.layers
        if hasattr(layer, "fusable_stages")
        for s in layer.fusable_stages()
    ]
    for (_, norm, _), (convolution, _, _) in itertools.pairwise(stages):
        factors = 10.0 ** rng.uniform(-1.5, 1.5, norm.gamma.shape)
        norm.gamma.assign(np.array(norm.gamma) * factors)
        norm.beta.assign(rng.normal(0, 0.1, norm.gamma.shape) * factors)
        kernel = convolution.kernel
        kernel.assign(np.array(kernel) / factors.reshape(-1, 1))


def rounded_per_tensor(model):
    """One int8 scale for each folded kernel, as under per-tensor quantization."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        stages = layer.fusable_stages() if hasattr(layer, "fusable_stages") else []
        for convolution, norm, _ in stages:
            factor = np.array(norm.gamma) / np.sqrt(np.array(norm.moving_variance) + norm.epsilon)
            is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
            factor = factor.reshape(-1, 1) if is_depthwise else factor
            folded = np.array(convolution.kernel) * factor
            step = np.abs(folded).max() / 127
            convolution.kernel.assign(np.round(folded / step) * step / factor)
    return copy


def test_equalizing_keeps_outputs_and_saves_them_from_per_tensor_rounding():
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((32, 32, 3))
    for filters in (16, 16, 32):
        x = keras_mobilenet.SeparableBlock(filters, alpha=1.0, activation="relu")(x)
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Softmax()(x))
    uneven(model)
    x = images((32, 32, 3))
    before, harmed = logits(model, x), logits(rounded_per_tensor(model), x)
    assert equalize_weights(model) == 5, "all neighbours in the three blocks; not the head"
    after, saved = logits(model, x), logits(rounded_per_tensor(model), x)
    size = np.abs(before).max()
    np.testing.assert_allclose(after, before, atol=1e-3 * size)
    assert np.abs(saved - before).mean() < 0.1 * np.abs(harmed - before).mean()


@pytest.mark.parametrize("name", ["mobilenet_v2", "ds_cnn", "resnet8"])
def test_equalizing_keeps_the_outputs_of_every_network(networks, random_weights, name):
    model = networks[name]()
    model.set_weights(random_weights(model))
    x = images(model.input_shape[1:])
    before = model(x, training=False).numpy()
    pairs = equalize_weights(model)
    # ReLU6 and joints stand in the way of the others.
    assert pairs == {"mobilenet_v2": 2, "ds_cnn": 8, "resnet8": 3}[name]
    np.testing.assert_allclose(model(x, training=False), before, atol=1e-4)
