"""Every kind of layer of Keras: its int8 operators, or the words with which it is refused."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edge
import keras_mobilenet
from edge.tflite.reader import read_graph
from keras_mobilenet.preprocessing.first_layers import AUGMENTATIONS
from keras_mobilenet.quantization.scheme import UnsupportedLayerError

IMAGE, SEQUENCE, VECTOR = (8, 8, 3), (16, 3), (6,)

WORKS = [
    (IMAGE, layers.Conv2D(4, 3), ["CONV_2D"]),
    (IMAGE, layers.Conv2D(4, 3, activation="sigmoid"), ["CONV_2D", "LOGISTIC"]),
    (IMAGE, layers.Conv2D(4, 3, activation="leaky_relu"), ["CONV_2D", "LEAKY_RELU"]),
    (IMAGE, layers.DepthwiseConv2D(3), ["DEPTHWISE_CONV_2D"]),
    (IMAGE, layers.SeparableConv2D(4, 3), ["DEPTHWISE_CONV_2D", "CONV_2D"]),
    (IMAGE, layers.BatchNormalization(), ["DEPTHWISE_CONV_2D"]),
    (IMAGE, layers.Rescaling(1 / 127.5, -1), ["DEPTHWISE_CONV_2D"]),
    (IMAGE, layers.Normalization(mean=[1, 2, 3], variance=[1, 2, 3]), ["DEPTHWISE_CONV_2D"]),
    (IMAGE, layers.MaxPooling2D(), ["MAX_POOL_2D"]),
    (IMAGE, layers.AveragePooling2D(2), ["AVERAGE_POOL_2D"]),
    (IMAGE, layers.GlobalAveragePooling2D(), ["MEAN"]),
    (IMAGE, layers.GlobalMaxPooling2D(), ["MAX_POOL_2D", "RESHAPE"]),
    (IMAGE, layers.ZeroPadding2D(), ["PAD"]),
    (IMAGE, layers.Flatten(), ["RESHAPE"]),
    (IMAGE, layers.Reshape((16, 12)), ["RESHAPE"]),
    (IMAGE, layers.ReLU(6.0), ["QUANTIZE"]),
    (IMAGE, layers.LeakyReLU(0.1), ["LEAKY_RELU"]),
    (IMAGE, layers.ReLU(negative_slope=0.1), ["LEAKY_RELU"]),
    (IMAGE, layers.Activation("hard_silu"), ["HARD_SWISH"]),
    (IMAGE, layers.Activation("sigmoid"), ["LOGISTIC"]),
    (IMAGE, layers.Activation("tanh"), ["TANH"]),
    (IMAGE, layers.Softmax(), ["SOFTMAX"]),
    (IMAGE, layers.Dropout(0.5), []),
    (IMAGE, layers.SpatialDropout2D(0.5), []),
    (IMAGE, layers.GaussianNoise(0.1), []),
    (IMAGE, layers.RandomCrop(8, 8), []),
    (IMAGE, layers.ActivityRegularization(0.1), []),
    (SEQUENCE, layers.Conv1D(4, 3), ["RESHAPE", "CONV_2D", "RESHAPE"]),
    (SEQUENCE, layers.Conv1D(4, 3, padding="causal"), ["RESHAPE", "PAD", "CONV_2D", "RESHAPE"]),
    (SEQUENCE, layers.DepthwiseConv1D(3), ["RESHAPE", "DEPTHWISE_CONV_2D", "RESHAPE"]),
    (
        SEQUENCE,
        layers.SeparableConv1D(4, 3),
        ["RESHAPE", "DEPTHWISE_CONV_2D", "CONV_2D", "RESHAPE"],
    ),
    (SEQUENCE, layers.MaxPooling1D(2), ["RESHAPE", "MAX_POOL_2D", "RESHAPE"]),
    (SEQUENCE, layers.AveragePooling1D(2), ["RESHAPE", "AVERAGE_POOL_2D", "RESHAPE"]),
    (SEQUENCE, layers.GlobalAveragePooling1D(), ["RESHAPE", "MEAN"]),
    (SEQUENCE, layers.GlobalMaxPooling1D(), ["RESHAPE", "MAX_POOL_2D", "RESHAPE"]),
    (SEQUENCE, layers.ZeroPadding1D(), ["RESHAPE", "PAD", "RESHAPE"]),
    (SEQUENCE, layers.BatchNormalization(), ["RESHAPE", "DEPTHWISE_CONV_2D", "RESHAPE"]),
    (SEQUENCE, layers.Flatten(), ["RESHAPE"]),
    (VECTOR, layers.Dense(4, activation="relu"), ["FULLY_CONNECTED"]),
    (VECTOR, layers.Dense(1, activation="sigmoid"), ["FULLY_CONNECTED", "LOGISTIC"]),
    (VECTOR, layers.Rescaling(2.0), ["RESHAPE", "DEPTHWISE_CONV_2D", "RESHAPE"]),
]

REFUSED = [
    (SEQUENCE, layers.LSTM(4), "use Conv1D or DepthwiseConv1D along time"),
    (SEQUENCE, layers.GRU(4), "use Conv1D or DepthwiseConv1D along time"),
    (SEQUENCE, layers.Bidirectional(layers.GRU(4)), "use Conv1D or DepthwiseConv1D along time"),
    (SEQUENCE, layers.Conv1DTranspose(4, 3), "give up the larger output"),
    (SEQUENCE, layers.UpSampling1D(2), "give up the larger output"),
    (IMAGE, layers.UpSampling2D(), "give up the larger output"),
    (IMAGE, layers.Conv2DTranspose(4, 3), "give up the larger output"),
    (IMAGE, layers.LayerNormalization(), "use BatchNormalization"),
    (IMAGE, layers.GroupNormalization(3), "use BatchNormalization"),
    (IMAGE, layers.BatchNormalization(axis=1), "use axis=-1"),
    (IMAGE, layers.Normalization(axis=(1, 2, 3)), "use axis=-1"),
    (IMAGE, layers.Resizing(4, 4), "a Preprocessing, which the chip's code follows, resizes"),
    (IMAGE, layers.CenterCrop(4, 4), "a Preprocessing, which the chip's code follows, resizes"),
    (IMAGE, layers.RandomCrop(4, 4), r"makes \(4, 4, 3\) of \(8, 8, 3\)"),
    (IMAGE, layers.Lambda(lambda x: x * 2), "write it as layers"),
    (IMAGE, layers.PReLU(), "use ReLU"),
    (IMAGE, layers.ELU(), "use ReLU"),
    (IMAGE, layers.ReLU(4.0), r"only ReLU\(\) and ReLU\(6\)"),
    (IMAGE, layers.Conv2D(4, 3, activation="gelu"), "use relu, relu6, leaky_relu or hard_silu"),
    (IMAGE, layers.Activation("swish"), "use relu, relu6, leaky_relu or hard_silu"),
    (IMAGE, layers.Permute((2, 1, 3)), "in the right order"),
    (IMAGE, layers.Conv2D(4, 3, data_format="channels_first"), "build it that way"),
    (IMAGE, layers.Conv2D(4, 3, dtype="mixed_float16"), "int8 ranges need float32"),
    (IMAGE, layers.EinsumDense("bhwc,cd->bhwd", (8, 8, 4)), "use convolutions or Dense"),
]


def twin_of(shape, layer):
    inputs = keras.Input(shape)
    return keras_mobilenet.quantize_model(keras.Model(inputs, layer(inputs)))


@pytest.mark.parametrize(("shape", "layer", "operators"), WORKS)
def test_a_layer_is_these_int8_operators(shape, layer, operators):
    twin = twin_of(shape, layer)
    twin(np.random.default_rng(0).normal(size=(4, *shape)).astype("float32"), training=True)
    # Without an operator there is no model to convert.
    if operators:
        made = [op.opcode for op in read_graph(edge.convert(twin)).operators]
        assert made == operators
    assert twin.output_shape == layer.compute_output_shape((None, *shape))


@pytest.mark.parametrize(("shape", "layer", "words"), REFUSED)
def test_a_layer_is_refused_in_one_line_with_what_to_do(shape, layer, words):
    layer.name = "odd_one"
    with pytest.raises(UnsupportedLayerError, match=words) as error:
        twin_of(shape, layer)
    assert str(error.value).startswith(f"Cannot quantize layer 'odd_one' ({type(layer).__name__}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("kind", AUGMENTATIONS, ids=lambda kind: kind.__name__)
def test_augmentation_passes_its_input_on_in_inference(kind):
    arguments = {
        "GaussianDropout": (0.5,),
        "GaussianNoise": (0.5,),
        "RandomColorJitter": ((0, 255),),
        "RandomCrop": (8, 8),
        "RandomErasing": (0.5,),
        "RandomInvert": (0.5,),
        "RandomPosterization": (4,),
        "RandomTranslation": (0.2, 0.2),
    }.get(kind.__name__, (0.5,))
    layer = layers.RandomFlip() if kind is layers.RandomFlip else kind(*arguments)
    image = ops.convert_to_tensor(np.full((2, *IMAGE), 100, "float32"))
    np.testing.assert_array_equal(layer(image, training=False), image)


def shared(layer, rounds=2):
    inputs = keras.Input(IMAGE)
    x = inputs
    for number in range(rounds):
        x = layer(layers.Conv2D(3, 3, padding="same", name=f"conv{number}")(x))
    return keras.Model(inputs, x)


@pytest.mark.parametrize(
    "layer", [layers.ReLU(), layers.Dropout(0.1), layers.MaxPooling2D(2), layers.LeakyReLU()]
)
def test_a_layer_without_weights_may_be_called_twice(layer):
    model = shared(layer)
    twin = keras_mobilenet.quantize_model(model)
    assert twin.output_shape == model.output_shape
    assert len({one.name for one in twin.layers}) == len(twin.layers)


def test_a_layer_with_weights_may_not():
    layer = layers.Conv2D(3, 3, padding="same", name="twice")
    with pytest.raises(UnsupportedLayerError, match=r"'twice'.*has weights and is called more"):
        keras_mobilenet.quantize_model(shared(layer))


def test_a_model_inside_may_not_be_called_twice():
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.ReLU()], name="inner")
    with pytest.raises(UnsupportedLayerError, match=r"'inner'.*give each call a model"):
        keras_mobilenet.quantize_model(shared(inner))


def test_a_dense_layer_takes_its_batch_normalization():
    inputs = keras.Input((6,))
    x = layers.BatchNormalization(name="norm")(layers.Dense(4, name="dense")(inputs))
    model = keras.Model(inputs, layers.ReLU()(x))
    model.get_layer("norm").momentum = 0.5
    twin = keras_mobilenet.quantize_model(model)
    assert [layer.name for layer in twin.layers[1:]] == ["quantized_input", "quantized_dense"]
    samples = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
    for _ in range(60):
        twin(samples, training=True)
    expected = ops.convert_to_numpy(model(samples, training=False))
    error = np.abs(ops.convert_to_numpy(twin(samples, training=False)) - expected).max()
    assert error < 0.05 * np.ptp(expected)


def test_augmentation_stays_in_training_and_comes_before_the_int8_input():
    inputs = keras.Input(IMAGE)
    x = layers.GaussianNoise(1.0, name="noise")(inputs)
    model = keras.Model(inputs, layers.Conv2D(2, 1, name="conv")(layers.Rescaling(1 / 255)(x)))
    twin = keras_mobilenet.quantize_model(model)
    assert [layer.name for layer in twin.layers[2:4]] == ["noise", "quantized_input"]
    pixels = np.full((64, *IMAGE), 100, "float32")
    twin(pixels, training=True)
    assert float(twin.get_layer("quantized_input").output_range.range_max) > 101
