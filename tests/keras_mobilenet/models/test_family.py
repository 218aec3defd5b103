"""One builder for the family: MobileNetV1 is a case of it, and small images have their own."""

import keras
import numpy as np
import pytest

from keras_mobilenet import (
    ConvBNReLU,
    MobileNet,
    MobileNetV1,
    SeparableBlock,
    ShallowMobileNet,
    cost,
    preprocessing_of,
)
from keras_mobilenet.models.topology import BLOCKS

V1 = [(filters, 3, strides) for filters, strides in BLOCKS]
SMALL = [(16, 3, 2, 2), (24, 5, 1, 2, "conv"), (32, 3, 2)]


def blocks_of(model):
    return [layer for layer in model.layers if isinstance(layer, (ConvBNReLU, SeparableBlock))]


def test_mobilenet_v1_is_a_case_of_it():
    ours = MobileNet(V1, (64, 64, 3), 0.25, classes=4, activation="relu6", padding="valid")
    theirs = MobileNetV1((64, 64, 3), 0.25, classes=4)
    ours.set_weights(theirs.get_weights())
    images = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(
        ours.predict(images, verbose=0), theirs.predict(images, verbose=0)
    )
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]


def test_repeats_stride_once():
    model = MobileNet([(16, 3, 2, 3)], (32, 32, 3), stem=(8, 3, 1), classes=2)
    assert [block.strides for block in blocks_of(model)] == [1, 2, 1, 1]
    assert [tuple(block.output.shape[1:3]) for block in blocks_of(model)] == [(32, 32)] + [
        (16, 16)
    ] * 3


def test_kinds_and_kernels_are_those_asked_for():
    model = MobileNet(SMALL, (32, 32, 3), stem=(8, 5, 1), head=40, classes=2)
    stem, *blocks, head = blocks_of(model)
    assert [type(block) for block in blocks] == [SeparableBlock] * 2 + [ConvBNReLU] * 2 + [
        SeparableBlock
    ]
    assert [block.kernel_size for block in (stem, *blocks, head)] == [5, 3, 3, 5, 5, 3, 1]
    assert head.output.shape[-1] == 40


def test_only_blocks_that_keep_the_shape_are_added():
    model = MobileNet(SMALL, (32, 32, 3), stem=(16, 3, 1), is_residual=True, classes=2)
    added = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert added == ["add_2", "add_4"]
    assert [block.is_linear for block in blocks_of(model)] == [
        False,
        False,
        True,
        False,
        True,
        False,
    ]


def test_an_added_block_is_its_input_where_its_weights_are_nothing():
    """So additions do what the residual networks' paper says: the identity is easy."""
    model = MobileNet([(8, 3, 1, 2)], (16, 16, 3), stem=(8, 3, 1), is_residual=True, classes=2)
    for block in blocks_of(model)[1:]:
        block.pointwise.kernel.assign(np.zeros(block.pointwise.kernel.shape))
    inner = keras.Model(model.input, [model.get_layer(n).output for n in ("conv1", "relu_2")])
    before, after = inner.predict(np.ones((1, 16, 16, 3)), verbose=0)
    np.testing.assert_allclose(before, after, rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("side", [16, 17, 31, 48])
def test_takes_small_images_of_any_channels(side, channels):
    stages = [(8, 3, 2), (12, 3, 2, 2)]
    model = MobileNet(stages, (side, side, channels), stem=(4, 3, 1), classes=3)
    assert model.output.shape == (None, 3)
    has_record = preprocessing_of(model) is not None
    assert has_record == (channels in (1, 3))
    assert cost.cost(model).mult_adds > 0


def test_comes_back_from_a_file(tmp_path):
    model = MobileNet(SMALL, (32, 32, 3), is_residual=True, classes=2)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3))
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), again.predict(images, verbose=0)
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"stages": []}, r"stages must list \(filters"),
        ({"stages": "64"}, r"stages must list"),
        ({"stages": [64]}, r"stages\[0\] must be a tuple \(filters, kernel"),
        ({"stages": [(8, 3, 1, 1, "conv", 1)]}, r"stages\[0\] must be a tuple"),
        ({"stages": [(8,), (8, 3, True)]}, r"stages\[1\].strides must be a positive integer"),
        ({"stages": [(8, 3, 1, 1, "dense")]}, r"stages\[0\].kind must be one of"),
        ({"stem": (8, 0)}, r"stem.kernel must be a positive integer"),
        ({"input_shape": (15, 32, 3)}, r"needs at least 16"),
        ({"input_shape": (32, 32, 5)}, r"1 to 4 channels"),
        ({"stages": [(8, 3, 2)] * 6}, r"stages\[4\] strides over a map of one pixel"),
        ({"head": 0}, r"filters must be a positive integer"),
    ],
)
def test_refuses_with_the_place(arguments, words):
    given = {"stages": [(8,)], "input_shape": (32, 32, 3), "classes": 2} | arguments
    with pytest.raises(ValueError, match=words):
        MobileNet(**given)


def test_the_shallow_variant_is_mobilenet_without_five_blocks():
    full = MobileNetV1((32, 32, 3), 0.25, classes=2)
    shallow = ShallowMobileNet((32, 32, 3), 0.25, classes=2)
    assert len(blocks_of(full)) - len(blocks_of(shallow)) == 5
