"""The blocks that MobileNet is made of."""

import importlib.util
import json
import os
import subprocess
import sys

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
    layer = make(8, strides=2, alpha=0.5, activation="relu", padding="same")
    again = make.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert again.compute_output_shape((None, 7, 7, 3)) == (None, 4, 4, 4)


@pytest.mark.parametrize("make", [SeparableBlock, ConvBNReLU])
def test_second_argument_is_the_kernel_and_third_the_strides_as_in_keras(make):
    layer = make(64, 3, 2)
    assert (layer.kernel_size, layer.strides) == (3, 2)
    assert tuple(layer(np.zeros((1, 8, 8, 3), "float32")).shape) == (1, 4, 4, 64)
    with pytest.raises(TypeError):
        make(64, 3, 2, 0.5)


def test_a_configuration_from_before_padding_was_an_option_means_same():
    """As version 0.1 wrote it into `.keras` files."""
    old = {"filters": 8, "strides": 2, "alpha": 0.5, "activation": "relu", "kernel_size": 3}
    assert ConvBNReLU.from_config(old).padding == "same"
    old |= {"data_format": "channels_last", "dilation_rate": 1, "depth_multiplier": 1}
    block = SeparableBlock.from_config(old)
    assert (block.padding, block.strides) == ("same", 2)


@pytest.mark.parametrize("sides", [(8, 8), (9, 9), (8, 9), (9, 8), (2, 2), (3, 2)])
@pytest.mark.parametrize("make", [SeparableBlock, ConvBNReLU])
def test_padding_valid_is_zeros_behind_the_image(make, sides):
    block = make(4, strides=2, padding="valid")
    x = np.random.default_rng(0).normal(size=(1, *sides, 3)).astype("float32")
    expected_shape = block.compute_output_shape(x.shape)
    result = block(x)
    (first, *_), *_ = block.fusable_stages()
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    kind = keras.layers.DepthwiseConv2D if make is SeparableBlock else keras.layers.Conv2D
    plain = kind(
        **({"filters": 4} if make is ConvBNReLU else {}),
        kernel_size=3,
        strides=2,
        padding="valid",
        use_bias=False,
    )
    plain.build(padded.shape)
    plain.set_weights(first.get_weights())
    expected = plain(padded)
    for layer in [layer for stage in block.fusable_stages() for layer in stage][1:]:
        expected = layer(expected)
    np.testing.assert_allclose(result, expected, atol=1e-6)
    assert tuple(result.shape) == expected_shape
    again = make.from_config(block.get_config())
    assert again.padding == "valid"


def test_padding_valid_of_unknown_sides_is_right_for_each():
    model = keras.Sequential(
        [keras.Input((None, None, 3)), SeparableBlock(4, strides=2, padding="valid")]
    )
    for sides in ((8, 8), (9, 9), (8, 9)):
        fixed = SeparableBlock(4, strides=2, padding="valid")
        x = np.random.default_rng(0).normal(size=(1, *sides, 3)).astype("float32")
        fixed.build(x.shape)
        fixed.set_weights(model.get_weights())
        np.testing.assert_allclose(model(x), fixed(x), atol=1e-6)


def test_padding_valid_refuses_sides_that_it_was_not_built_for():
    block = SeparableBlock(4, strides=2, padding="valid")
    block(np.zeros((1, 8, 8, 3), "float32"))
    with pytest.raises(ValueError, match="expected axis 1 of input shape to have value 8"):
        block(np.zeros((1, 9, 9, 3), "float32"))


def test_padding_valid_refuses_an_image_smaller_than_the_kernel():
    with pytest.raises(ValueError, match="1 pixels is too small for a kernel of 3"):
        SeparableBlock(4, strides=2, padding="valid").build((None, 1, 1, 3))


def test_convolution_block_refuses_a_global_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="ConvBNReLU is channels_last"):
            ConvBNReLU(8)
    finally:
        keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"filters": 0}, "filters"),
        ({"filters": 8, "alpha": 0}, "alpha"),
        ({"filters": 8, "alpha": 1.5}, "alpha"),
        ({"filters": 8, "activation": "gelu"}, "activation"),
        ({"filters": 8, "padding": "full"}, "padding"),
        ({"filters": 8, "data_format": "channels_middle"}, "data_format"),
    ],
)
def test_separable_block_refuses_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        SeparableBlock(**arguments)


OPTIONS = [
    {"strides": 2},
    {"dilation_rate": 2},
    {"depth_multiplier": 2},
    {"kernel_size": 5, "strides": 2, "depth_multiplier": 3},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_options_are_those_of_keras_layers(options):
    block = SeparableBlock(8, **options)
    x = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype("float32")
    result = block(x)
    inputs = keras.Input((9, 9, 4))
    depthwise = {"kernel_size": 3} | options
    y = keras.layers.DepthwiseConv2D(padding="same", use_bias=False, **depthwise)(inputs)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    y = keras.layers.Conv2D(8, 1, use_bias=False)(y)
    y = keras.layers.ReLU()(keras.layers.BatchNormalization()(y))
    plain = keras.Model(inputs, y)
    plain.set_weights(block.get_weights())
    np.testing.assert_allclose(result, plain(x), atol=1e-5)
    assert tuple(result.shape) == block.compute_output_shape(x.shape)


@pytest.mark.parametrize("options", OPTIONS)
def test_without_normalization_it_is_a_separable_convolution(options):
    """Positive numbers pass the ReLU as they are."""
    rng = np.random.default_rng(0)
    block = SeparableBlock(8, **options)
    x = rng.uniform(0, 1, (2, 9, 9, 4)).astype("float32")
    block(x)
    channels = 4 * options.get("depth_multiplier", 1)
    for norm, count in ((block.depthwise_bn, channels), (block.pointwise_bn, 8)):
        ones = np.ones(count)
        norm.set_weights([ones, 0 * ones, 0 * ones, ones - norm.epsilon])
    kernels = [
        rng.uniform(0, 1, layer.kernel.shape) for layer in (block.depthwise, block.pointwise)
    ]
    block.depthwise.set_weights(kernels[:1])
    block.pointwise.set_weights(kernels[1:])
    plain = keras.layers.SeparableConv2D(
        8, padding="same", use_bias=False, **({"kernel_size": 3} | options)
    )
    plain.build(x.shape)
    plain.set_weights(kernels)
    np.testing.assert_allclose(block(x), plain(x), rtol=1e-5)


def test_works_in_a_sequential_model_and_in_mixed_precision():
    policy = keras.DTypePolicy("mixed_float16")
    model = keras.Sequential([keras.Input((8, 8, 3)), SeparableBlock(4, strides=2, dtype=policy)])
    result = model(np.ones((1, 8, 8, 3), "float32"))
    assert result.dtype == "float16"
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)


def test_quantization_refuses_channels_first():
    from keras_mobilenet import quantize_model

    inputs = keras.Input((3, 8, 8))
    model = keras.Model(
        inputs, SeparableBlock(4, data_format="channels_first", name="first")(inputs)
    )
    with pytest.raises(ValueError, match=r"first.*channels_last"):
        quantize_model(model)


TRAINING = """
import json, sys
import keras, numpy as np
from keras_mobilenet import SeparableBlock

rng = np.random.default_rng(0)
inputs = keras.Input((12, 12, 3))
x = SeparableBlock(8, strides=2)(inputs)
x = SeparableBlock(16, dilation_rate=2, depth_multiplier=2)(x)
x = keras.layers.GlobalAveragePooling2D()(x)
model = keras.Model(inputs, keras.layers.Dense(4)(x))
model.set_weights([
    np.abs(rng.normal(0.5, 0.2, w.shape)) if "variance" in w.path or "gamma" in w.path
    else rng.normal(0, 0.3, w.shape)
    for w in model.weights
])
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.SGD(0.05), loss)
images = rng.normal(size=(10, 16, 12, 12, 3)).astype("float32")
labels = rng.integers(0, 4, (10, 16))
losses = [float(model.train_on_batch(x, y)) for x, y in zip(images, labels)]
print(json.dumps([keras.backend.backend(), losses]))
"""


CHANNELS_FIRST = """
import json
import keras, numpy as np
from keras_mobilenet import SeparableBlock

x = np.random.default_rng(0).normal(size=(2, 9, 9, 4)).astype("float32")
last = SeparableBlock(8, strides=2, data_format="channels_last")
expected = np.asarray(last(x))
first = SeparableBlock(8, strides=2, data_format="channels_first")
first.build((2, 4, 9, 9))
first.set_weights(last.get_weights())
actual = np.asarray(first(x.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
print(json.dumps([keras.backend.backend(), float(np.abs(actual - expected).max())]))
"""


def run_on(backend, code):
    """The last line that the code prints, on another backend, in a process of its own."""
    if importlib.util.find_spec("jax") is None:
        if os.environ.get("CI"):
            pytest.fail("jax is missing, and CI must have it")
        pytest.skip("jax is not installed: pip install 'keras-mobilenet[dev]'")
    environment = os.environ | {"KERAS_BACKEND": backend, "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    name, result = json.loads(done.stdout.splitlines()[-1])
    assert name == backend
    return result


@pytest.mark.slow
def test_is_channels_first_where_the_backend_is():
    assert run_on("jax", CHANNELS_FIRST) < 1e-5


@pytest.mark.slow
def test_trains_the_same_on_jax_and_on_tensorflow():
    losses = {backend: run_on(backend, TRAINING) for backend in ("tensorflow", "jax")}
    assert np.isfinite(losses["jax"]).all()
    np.testing.assert_allclose(losses["jax"], losses["tensorflow"], atol=1e-4)
