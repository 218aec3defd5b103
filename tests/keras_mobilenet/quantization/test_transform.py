"""A functional model becomes its quantization-aware twin."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_mobilenet
from keras_mobilenet.quantization.scheme import UnsupportedLayerError
from keras_mobilenet.quantization.transform import (
    is_quantized,
    model_ranges,
    untrained_ranges,
)


def images(count=16, side=16, channels=3):
    shape = (count, side, side, channels)
    return np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")


def observe(twin, inputs, times=3):
    for _ in range(times):
        twin(inputs, training=True)


def test_batch_normalization_and_relu_fuse_into_each_convolution():
    model = keras_mobilenet.MobileNetV1((32, 32, 3), 0.25, classes=3)
    kinds = [type(layer).__name__ for layer in keras_mobilenet.quantize_model(model).layers]
    # The stem, thirteen depthwise and pointwise pairs, and the classifier.
    assert kinds.count("QuantizedConvolution") == 1 + 2 * 13 + 1
    assert kinds.count("QuantizedTensor") == 1
    assert kinds.count("QuantizedMean") == 1
    assert not {"BatchNormalization", "ReLU", "SeparableBlock"} & set(kinds)


def test_fusing_does_not_depend_on_layer_names():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, use_bias=False, name="a")(inputs)
    x = layers.BatchNormalization(name="conv_of_something_else")(x)
    x = layers.Activation("relu6", name="b")(x)
    twin = keras_mobilenet.quantize_model(keras.Model(inputs, x))
    assert [type(layer).__name__ for layer in twin.layers[1:]] == [
        "QuantizedTensor",
        "QuantizedConvolution",
    ]


def test_model_with_two_outputs_is_refused():
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, name="conv")(inputs)
    model = keras.Model(inputs, [layers.ReLU()(x), x])
    with pytest.raises(ValueError, match="one output"):
        keras_mobilenet.quantize_model(model)


def test_twin_computes_nearly_what_the_float_model_computes():
    inputs = keras.Input((16, 16, 3))
    block = keras_mobilenet.SeparableBlock(8, alpha=1.0)
    x = layers.GlobalAveragePooling2D()(block(inputs))
    model = keras.Model(inputs, layers.Dense(5)(x))
    block.depthwise_bn.momentum = block.pointwise_bn.momentum = 0.9
    twin = keras_mobilenet.quantize_model(model)
    x = images()
    observe(twin, x, times=40)
    expected = model(x, training=False).numpy()
    error = np.abs(twin(x, training=False).numpy() - expected).max()
    assert error < 0.05 * np.ptp(expected)


def test_twin_shares_its_weights_with_the_float_model():
    model = keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2)
    twin = keras_mobilenet.quantize_model(model)
    shared = {id(weight) for weight in twin.weights}
    assert {id(weight) for weight in model.weights} <= shared


def test_untrained_ranges_are_listed():
    twin = keras_mobilenet.quantize_model(keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2))
    assert is_quantized(twin)
    assert untrained_ranges(twin)
    observe(twin, images(2, 32, 1), times=1)
    assert untrained_ranges(twin) == []


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (layers.LayerNormalization(name="norm"), r"'norm' \(LayerNormalization\).*no int8 rule"),
        (layers.ReLU(4.0, name="clip"), r"'clip' \(ReLU\).*only ReLU\(\) and ReLU\(6\)"),
        (layers.Conv2D(2, 1, activation="gelu", name="c"), "activation 'gelu' has no int8 rule"),
    ],
)
def test_layer_without_an_int8_rule_is_refused_by_name(layer, words):
    inputs = keras.Input((8, 8, 3))
    with pytest.raises(UnsupportedLayerError, match=words):
        keras_mobilenet.quantize_model(keras.Model(inputs, layer(inputs)))


def small(**options):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="first")(inputs)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.Conv2D(4, 3, name="second")(x)
    return keras.Model(inputs, x, **options)


@pytest.mark.parametrize("excluded", ["first", "norm", "relu"])
def test_excluded_layer_stays_float_with_what_would_fuse_with_it(excluded):
    twin = keras_mobilenet.quantize_model(small(), exclude=[excluded])
    names = [layer.name for layer in twin.layers[2:]]
    assert names == ["first", "norm", "relu", "quantized_relu", "quantized_second"]


def test_exclude_refuses_an_unknown_layer_by_name():
    with pytest.raises(ValueError, match=r"exclude names no layer of model .*: nowhere"):
        keras_mobilenet.quantize_model(small(), exclude=["nowhere"])


def test_nested_model_is_taken_apart():
    inputs = keras.Input((8, 8, 3))
    twin = keras_mobilenet.quantize_model(keras.Model(inputs, layers.Flatten()(small()(inputs))))
    names = [layer.name for layer in twin.layers[1:4]]
    assert names == ["quantized_input", "quantized_first", "quantized_second"]


def test_inputs_of_a_concatenation_share_its_scale():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(4, 1, name=name)(inputs) for name in ("a", "b")]
    twin = keras_mobilenet.quantize_model(
        keras.Model(inputs, layers.Concatenate(name="c")(parts)), ranges="moving_average"
    )
    observe(twin, images(4, 8) * 3.0)
    a, b, c = (twin.get_layer(f"quantized_{name}").output_range for name in "abc")
    assert a.scale_and_zero_point() == b.scale_and_zero_point() == c.scale_and_zero_point()
    assert [name for name, _ in model_ranges(twin)] == ["quantized_input", "quantized_c"]


def shared():
    inputs = keras.Input((8, 8, 3))
    twice = layers.Conv2D(3, 1, name="twice")
    return keras.Model(inputs, twice(twice(inputs)))


def softmax_in_the_middle():
    inputs = keras.Input((8, 8, 3))
    x = layers.Softmax(name="early")(layers.Conv2D(3, 1)(inputs))
    return keras.Model(inputs, layers.Conv2D(3, 1)(x))


def half_precision():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Conv2D(3, 1, name="half", dtype="mixed_float16")(inputs))


def normalized_along_rows():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same")(inputs)
    return keras.Model(inputs, layers.BatchNormalization(axis=1, name="rows")(x))


def plus_one():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, layers.Conv2D(3, 1)(inputs) + 1.0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (shared, "'twice'.*called more than once"),
        (softmax_in_the_middle, "'early'.*softmax must come last"),
        (half_precision, "'half'.*computes in float16"),
        (normalized_along_rows, "'rows'.*axis 1, and only channels"),
        (plus_one, "joins a tensor with a constant"),
    ],
)
def test_unsupported_graph_is_refused_with_its_reason(build, words):
    with pytest.raises(UnsupportedLayerError, match=words):
        keras_mobilenet.quantize_model(build())


def test_subclassed_and_unbuilt_models_are_refused():
    class Hidden(keras.Model):
        pass

    with pytest.raises(ValueError, match="subclassed, so its graph is hidden"):
        keras_mobilenet.quantize_model(Hidden())
    with pytest.raises(ValueError, match="is not built"):
        keras_mobilenet.quantize_model(keras.Sequential([layers.Dense(2)]))
    with pytest.raises(ValueError, match="ranges must be one of"):
        keras_mobilenet.quantize_model(small(), ranges="minmax")
