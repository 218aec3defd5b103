"""Eager, in a graph or under XLA: a quantized layer computes the int8 kernels' integers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.tflite.reader import read_graph
from edge.tflite.reference import every_tensor
from keras_mobilenet.quantization.fake_quant import rounded_kernel
from keras_mobilenet.quantization.int8_arithmetic import (
    hard_swish,
    quantized_multiplier,
    sum_exactly,
)
from keras_mobilenet.quantization.precision import ON_HOST
from keras_mobilenet.quantization.quantizer import QuantizationRange

COMPILERS = {
    "eager": lambda function: function,
    "graph": tf.function,
    "xla": lambda function: tf.function(function, jit_compile=True),
}


@pytest.fixture(params=COMPILERS)
def compiled(request):
    return COMPILERS[request.param]


def nearly_halves(channels=512):
    """A kernel of (127, channels) whose weights lie a last bit below and above k + 1/2 steps."""
    rng = np.random.default_rng(0)
    limits = rng.uniform(0.1, 1.0, channels).astype("float32")
    halves = np.arange(-63, 63)[:, np.newaxis] + 0.5
    halves = (halves * limits / 127).astype("float32")
    sides = rng.choice([-np.inf, np.inf], halves.shape).astype("float32")
    return np.concatenate([np.nextafter(halves, sides), limits[np.newaxis]])


@pytest.mark.parametrize("axes", [(0,), None])
def test_kernel_and_its_scales_have_the_same_bits_under_every_compiler(compiled, axes):
    kernel = nearly_halves().astype("float64")
    steps, scale = compiled(lambda k: rounded_kernel(k, axes))(tf.constant(kernel))
    limits = np.abs(kernel).max(axis=axes)
    np.testing.assert_array_equal(scale, (limits / 127).astype("float32"))
    # Exact in double precision: both factors have 24 bits at most, and no quotient is a tie.
    np.testing.assert_array_equal(steps, np.round(kernel * 127 / limits))
    on_host = rounded_kernel(kernel, axes, ON_HOST)
    np.testing.assert_array_equal(steps, on_host[0])
    np.testing.assert_array_equal(scale, on_host[1])


def test_learned_range_has_the_same_bits_under_every_compiler(compiled):
    tensor_range = QuantizationRange(learns_step=True)
    tensor_range.build(())
    tensor_range.set_limits(-0.7, 1.3)
    limits = compiled(lambda: tensor_range.limits())
    for log_factor in np.linspace(-2, 2, 101, dtype="float32"):
        tensor_range.log_factor.assign(log_factor)
        factor = np.exp(np.float64(log_factor))
        expected = (np.float32([-0.7, 1.3]) * factor).astype("float32")
        np.testing.assert_array_equal(limits(), expected)


def test_quantized_multipliers_have_the_same_bits_under_every_compiler(compiled):
    ratios = np.random.default_rng(0).uniform(1e-5, 2.0, 1000)
    multiplier, shift = compiled(quantized_multiplier)(tf.constant(ratios))
    mantissas, exponents = np.frexp(ratios)
    np.testing.assert_array_equal(multiplier, np.floor(mantissas * 2**31 + 0.5))
    np.testing.assert_array_equal(shift, exponents)


def test_hard_swish_is_the_same_under_every_compiler(compiled):
    """Its fixed-point numbers have 16 bits: one bit of a scale shows up here soonest."""
    steps = tf.range(-128.0, 128.0)
    run = compiled(hard_swish)
    for scale in np.random.default_rng(0).uniform(0.01, 0.1, 50).astype("float32"):
        result = run(steps, tf.constant(scale), tf.constant(scale))
        np.testing.assert_array_equal(result, hard_swish(steps, scale, scale))


@pytest.mark.parametrize(
    ("operation", "steps_shape", "kernel_shape"),
    [
        ("dense", (2, 3000), (3000, 4)),
        ("conv", (2, 5, 5, 300), (3, 3, 300, 4)),
        ("conv", (2, 40, 40, 2), (25, 25, 2, 3)),
        ("depthwise", (2, 40, 40, 2), (30, 30, 2, 1)),
        ("grouped", (2, 5, 5, 300), (3, 3, 100, 6)),
    ],
)
def test_sums_beyond_float32_are_exact(compiled, operation, steps_shape, kernel_shape):
    """Above 2 ** 24, where float32 skips the odd numbers."""
    rng = np.random.default_rng(0)
    steps = rng.integers(200, 256, steps_shape).astype("float32")
    kernel = rng.integers(100, 128, kernel_shape).astype("float32")
    multiply = {
        "dense": keras.ops.matmul,
        "depthwise": keras.ops.depthwise_conv,
    }.get(operation, keras.ops.conv)
    total = compiled(lambda s, k: sum_exactly(multiply, s, k, operation == "depthwise"))(
        tf.constant(steps), tf.constant(kernel)
    )
    if operation == "dense":
        expected = steps.astype("int64") @ kernel.astype("int64")
    else:
        height, width = kernel_shape[:2]
        windows = np.lib.stride_tricks.sliding_window_view(
            steps.astype("int64"), (height, width), (1, 2)
        )
        k = kernel.astype("int64")
        if operation == "depthwise":
            expected = np.einsum("byxchw,hwcm->byxc", windows, k)
        elif operation == "conv":
            expected = np.einsum("byxchw,hwco->byxo", windows, k, optimize=True)
        else:
            expected = np.concatenate(
                [
                    np.einsum("byxchw,hwco->byxo", windows[..., c : c + 100, :, :], part)
                    for c, part in zip((0, 100, 200), np.split(k, 3, axis=-1), strict=True)
                ],
                axis=-1,
            )
    assert expected.max() > 2**24
    np.testing.assert_array_equal(total, expected)


def test_every_layer_computes_the_integers_of_the_int8_kernels(compiled, random_weights):
    """Batch normalizations folded, ranges learned: no tensor before the softmax differs at all."""
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(32, 3, use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for filters in (128, 640, 64):
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
        x = layers.Conv2D(filters, 1, use_bias=False)(x)
        x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    # No Dense: LiteRT rounds it once, TFLite Micro and Keras twice.
    model = keras.Model(inputs, layers.Conv2D(10, 1)(x))
    model.set_weights(random_weights(model))
    twin = keras_mobilenet.quantize_model(model)
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    twin(images, training=True)
    for layer in twin.layers[2:]:
        layer.output_range.log_factor.assign(rng.uniform(-0.3, 0.1))
    graph = read_graph(edge.convert(twin))
    stored = quantize_inputs(graph, images)
    parameters = graph.input.quantization
    images = (stored.astype("float32") - parameters.zero_points[0]) * np.float32(
        parameters.scales[0]
    )

    by_kernels = [every_tensor(graph, sample) for sample in stored]
    whole = keras.Model(twin.inputs, [layer.output for layer in twin.layers[2:]])
    by_keras = compiled(lambda x: whole([x], training=False))(tf.constant(images))
    assert len(by_keras) == len(graph.operators)
    for op, layer, values in zip(graph.operators, twin.layers[2:], by_keras, strict=True):
        (index,) = op.outputs
        expected = np.stack([values[index] for values in by_kernels]).reshape(values.shape)
        scale, zero_point = layer.output_range.scale_and_zero_point()
        np.testing.assert_array_equal(
            np.round(np.array(values) / scale) + zero_point, expected, err_msg=layer.name
        )
