"""MobileNetV1 is keras.applications.MobileNet, at every width and resolution it offers."""

import functools
import inspect
import re

import keras
import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet.models.topology import scaled_side
from keras_mobilenet.quantization.decompose import float_nodes

ALPHAS = (0.25, 0.5, 0.75, 1.0)
SIDES = (128, 160, 192, 224)


@pytest.mark.parametrize(
    ("alpha", "side"),
    [
        # In CI, each alpha and each side once.
        pytest.param(alpha, side, marks=() if i == j else pytest.mark.exhaustive)
        for i, alpha in enumerate(ALPHAS)
        for j, side in enumerate(SIDES)
    ],
)
def test_is_keras_applications_mobilenet(random_weights, alpha, side):
    ours = keras_mobilenet.MobileNetV1((side, side, 3), alpha)
    theirs = keras.applications.MobileNet((side, side, 3), alpha, weights=None)
    assert ours.count_params() == theirs.count_params()

    ours.set_weights(random_weights(theirs, seed=side))
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, side, side, 3)).astype("float32")
    expected = theirs(image, training=False).numpy()
    assert np.ptp(expected) > 1e-3, "outputs that are all alike would prove nothing"
    assert np.abs(ours(image, training=False).numpy() - expected).max() < 1e-5


QUICK_SIZES = ((33, 33), (48, 48), (97, 113), (100, 100), (123, 123))
OTHER_SIZES = (
    *((32, 32), (34, 34), (40, 40), (45, 64), (47, 47), (49, 49), (56, 56), (63, 63), (64, 33)),
    *((65, 48), (80, 80), (96, 72), (111, 111), (127, 127), (135, 240), (160, 97), (191, 224)),
    *((200, 200), (223, 223)),
)
HEADS = (
    {"include_top": True},
    {"include_top": False, "pooling": None},
    {"include_top": False, "pooling": "avg"},
    {"include_top": False, "pooling": "max"},
)
COMPARISONS = (
    *(pytest.param(size, 0.25, 1, head) for size in QUICK_SIZES for head in HEADS[:1]),
    *(pytest.param(s, 0.25, 1, h, marks=pytest.mark.slow) for s in QUICK_SIZES for h in HEADS[1:]),
    *(pytest.param(size, 0.25, 1, HEADS[0], marks=pytest.mark.exhaustive) for size in OTHER_SIZES),
    *(
        pytest.param((side, side), alpha, 1, HEADS[0], marks=pytest.mark.exhaustive)
        for alpha in (0.1, 0.5, 0.75, 1.0)
        for side in (33, 100)
    ),
    *(
        pytest.param(size, 0.25, 2, head, marks=() if head is HEADS[2] else pytest.mark.slow)
        for size in ((33, 33), (97, 113))
        for head in HEADS[::2]
    ),
)
"""(height, width), alpha, depth_multiplier, and the end of the network."""


@functools.cache
def sizeless_official(alpha, depth_multiplier, head):
    """keras.applications' network for images of any size, built once for many of them."""
    images = keras.Input((None, None, 3))
    arguments = {"alpha": alpha, "depth_multiplier": depth_multiplier} | dict(head)
    return keras.applications.MobileNet(input_tensor=images, weights=None, **arguments)


@pytest.mark.parametrize(("size", "alpha", "depth_multiplier", "head"), COMPARISONS)
def test_outputs_are_those_of_keras_applications_at_every_size(
    random_weights, size, alpha, depth_multiplier, head
):
    ours = keras_mobilenet.MobileNetV1((*size, 3), alpha, depth_multiplier, **head)
    theirs = sizeless_official(alpha, depth_multiplier, tuple(head.items()))
    ours.set_weights(random_weights(theirs, seed=size[0]))
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, *size, 3)).astype("float32")
    expected = theirs([image], training=False).numpy()
    assert np.ptp(expected) > 1e-3, "outputs that are all alike would prove nothing"
    actual = ours(image, training=False).numpy()
    assert actual.shape == expected.shape == (1, *ours.output_shape[1:])
    assert np.abs(actual - expected).max() < 1e-5


def test_there_are_fifty_comparisons_with_keras_applications():
    assert len(COMPARISONS) >= 50


@pytest.mark.parametrize(
    ("size", "expected"),
    [((33, 33), 0), ((48, 48), 0), ((123, 123), 0), ((96, 64), 0), ((45, 64), 3)],
)
def test_only_an_even_side_beside_an_odd_one_takes_a_pad_operator(size, expected):
    model = keras_mobilenet.MobileNetV1((*size, 1), 0.1, classes=2)
    kinds = [node.kind for node in float_nodes(model).nodes]
    assert kinds.count("pad") == expected
    same = keras_mobilenet.MobileNetV1((*size, 1), 0.1, classes=2, padding="same")
    assert "pad" not in [node.kind for node in float_nodes(same).nodes]


@pytest.mark.parametrize(
    ("size", "pads"), [((45, 64), 3), pytest.param((33, 33), 0, marks=pytest.mark.slow)]
)
def test_an_odd_size_trains_quantization_aware_and_litert_agrees(random_weights, size, pads):
    model = keras_mobilenet.MobileNetV1((*size, 1), 0.1, classes=3, classifier_activation=None)
    model.set_weights(random_weights(model))
    model.trainable = False
    quantized = keras_mobilenet.quantize_model(model)
    # Only the ranges follow the images.
    for layer in quantized.layers:
        layer.trainable = False
    images = np.random.default_rng(0).uniform(-1, 1, (16, *size, 1)).astype("float32")
    images *= np.linspace(0.1, 1, 16, dtype="float32").reshape(-1, 1, 1, 1)
    quantized(images, training=True)
    graph = read_graph(edge.convert(quantized))
    assert [op.opcode for op in graph.operators].count("PAD") == pads
    stored = quantize_inputs(graph, images)
    grid = graph.input.quantization
    on_grid = (stored.astype("float32") - grid.zero_points[0]) * np.float32(grid.scales[0])
    grid = graph.output.quantization
    computed = quantized(on_grid).numpy() / grid.scales[0] + grid.zero_points[0]
    by_litert = run_litert(graph, stored)
    assert len(np.unique(by_litert, axis=0)) >= 5, "the outputs tell the inputs apart"
    assert np.abs(np.clip(np.round(computed), -128, 127) - by_litert).max() <= 1


def test_padding_same_keeps_more_of_a_small_image():
    options = {"alpha": 0.1, "include_top": False}
    same = keras_mobilenet.MobileNetV1((48, 48, 1), padding="same", **options)
    valid = keras_mobilenet.MobileNetV1((48, 48, 1), **options)
    assert same.output_shape[1:3] == (2, 2)
    assert valid.output_shape[1:3] == (1, 1)


def test_arguments_are_named_and_ordered_as_in_keras_applications():
    def names(function):
        parameters = inspect.signature(function).parameters.values()
        return [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]

    official = names(keras.applications.MobileNet)
    assert [*names(keras_mobilenet.MobileNetV1), "name"] == official


def test_reads_an_input_tensor_as_keras_applications_does(random_weights):
    images = keras.Input((70, 98, 3))
    small = keras.layers.AveragePooling2D(2)(images)
    options = {"input_tensor": small, "alpha": 0.25, "weights": None, "include_top": False}
    ours = keras_mobilenet.MobileNetV1(**options)
    theirs = keras.applications.MobileNet(**options)
    ours.set_weights(random_weights(theirs))
    theirs.set_weights(ours.get_weights())
    image = np.random.default_rng(0).uniform(-1, 1, (1, 70, 98, 3)).astype("float32")
    np.testing.assert_allclose(ours(image), theirs([image]), atol=1e-5)
    assert ours.inputs[0] is images
    assert keras_mobilenet.preprocessing_of(ours) is None


def test_an_input_of_ones_own_has_its_preprocessing_recorded():
    images = keras.Input((32, 64, 1), name="camera")
    model = keras_mobilenet.MobileNetV1(input_tensor=images, alpha=0.1, classes=2)
    assert model.inputs[0] is images
    assert keras_mobilenet.preprocessing_of(model).width == 64


def test_parameters_of_the_default_microcontroller_model():
    model = keras_mobilenet.MobileNetV1(alpha=0.25, input_shape=(128, 128, 3))
    assert model.count_params() == 475_544


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
def test_without_top_is_keras_applications_mobilenet(pooling):
    options = {"alpha": 0.25, "include_top": False, "pooling": pooling, "weights": None}
    ours = keras_mobilenet.MobileNetV1((128, 128, 3), **options)
    theirs = keras.applications.MobileNet((128, 128, 3), **options)
    assert ours.output_shape == theirs.output_shape
    assert ours.count_params() == theirs.count_params()


def test_rho_scales_the_input():
    assert keras_mobilenet.MobileNetV1((224, 224, 3), 0.25, rho=0.714).input_shape[1:3] == (
        160,
        160,
    )


def test_rho_does_not_change_the_parameters():
    full = keras_mobilenet.MobileNetV1((128, 128, 1), 0.3)
    half = keras_mobilenet.MobileNetV1((128, 128, 1), 0.3, rho=0.5)
    assert half.count_params() == full.count_params()


@pytest.mark.parametrize("alpha", [0.1, 0.33, 0.9])
def test_takes_any_alpha(alpha):
    model = keras_mobilenet.MobileNetV1((32, 32, 1), alpha, classes=3)
    assert model(np.zeros((2, 32, 32, 1), "float32")).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alpha": 0}, "alpha must be a number in (0, 1], got 0"),
        ({"alpha": 1.5}, "alpha must be a number in (0, 1], got 1.5"),
        ({"alpha": "wide"}, "alpha"),
        ({"rho": 0}, "rho must be a number in (0, 1]"),
        ({"rho": 0.1}, "= 22 pixels; the network needs at least 32"),
        ({"input_shape": (31, 64, 3)}, "at least 32"),
        ({"input_shape": (64, 64, 2)}, "1 (gray) or 3 (RGB) channels"),
        ({"input_shape": (None, 64, 3)}, "fixed integer height and width"),
        ({"input_shape": (64, 64)}, "(height, width, channels)"),
        ({"classes": 1}, "classes"),
        ({"pooling": "sum"}, "pooling"),
        ({"dropout": 1.0}, "dropout"),
        ({"classifier_activation": "tanh"}, "classifier_activation"),
        ({"activation": "swish"}, "activation"),
        ({"padding": "full"}, "padding must be one of ('same', 'valid'), got 'full'"),
        ({"input_tensor": np.zeros((1, 64, 64, 3))}, "input_tensor must be a Keras tensor"),
        ({"input_tensor": keras.Input((64, 64, 3)), "rho": 0.5}, "cannot scale an input_tensor"),
        ({"weights": "missing.keras"}, "No weights file at 'missing.keras'"),
        ({"weights": "noisy-student"}, "weights must be None, 'imagenet'"),
    ],
)
def test_refuses_bad_arguments_in_words(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        keras_mobilenet.MobileNetV1(**arguments)


def test_refuses_channels_first():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels_last"):
            keras_mobilenet.MobileNetV1()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_weights_come_from_a_file(tmp_path):
    model = keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    again = keras_mobilenet.MobileNetV1((32, 32, 1), 0.1, classes=2, weights=path)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_saved_model_reloads(tmp_path):
    model = keras_mobilenet.MobileNetV1((32, 32, 3), 0.25, classes=4)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    image = np.random.default_rng(0).uniform(-1, 1, (1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(image), again(image))


@pytest.mark.parametrize(("side", "rho", "expected"), [(224, 0.857, 192), (224, 0.571, 128)])
def test_the_papers_resolutions(side, rho, expected):
    assert scaled_side(side, rho) == expected
