"""Whole blocks go, the smallest first, and no channel loses all of its weights."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import edge
import keras_mobilenet
from edge.engine.compile import compile_engine
from edge.tflite.reader import read_graph
from keras_mobilenet.pruning import ChannelPruning, ConstantSparsity, MagnitudePruning
from keras_mobilenet.pruning.blocks import block_numbers, largest_blocks

sides = st.tuples(*[st.integers(1, 3)] * 2, st.integers(1, 20), st.integers(1, 9))


@settings(deadline=None, max_examples=60)
@given(sides, st.integers(1, 4), st.integers(1, 16), st.floats(0, 0.95), st.integers(0, 99))
def test_blocks_go_whole_and_the_smallest_first(shape, outputs, taps, sparsity, seed):
    values = np.random.default_rng(seed).normal(size=shape)
    numbers = block_numbers(shape, outputs, taps)
    kept = largest_blocks(values, (outputs, taps), sparsity)
    flat = kept.reshape(-1, shape[3])
    for start in range(0, len(flat), taps):
        for channel in range(0, shape[3], outputs):
            part = flat[start : start + taps, channel : channel + outputs]
            assert part.all() or not part.any()
    assert flat.any(axis=0).all(), "no channel is empty"
    means = np.array([np.abs(values[numbers == n]).mean() for n in range(numbers.max() + 1)])
    is_kept = np.array([kept[numbers == n].all() for n in range(len(means))])
    channels = -(-shape[3] // outputs)
    assert abs(is_kept.sum() - max(len(means) * (1 - sparsity), channels)) <= channels
    # Beyond the best block of each channel, none that is kept is smaller than one that is not.
    best = means.reshape(channels, -1) == means.reshape(channels, -1).max(axis=1, keepdims=True)
    others = is_kept & ~best.reshape(-1)
    assert not others.any() or is_kept.all() or means[others].min() >= means[~is_kept].max()


def test_blocks_are_those_of_the_channels_that_are_there():
    """What is left of a kernel without some channels has whole blocks of zeros, and as many."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(1, 1, 40, 12))
    inputs, outputs = np.flatnonzero(np.arange(40) % 5 > 0), np.flatnonzero(np.arange(12) % 3 > 0)
    there = np.zeros_like(values)
    there[:, :, inputs[:, None], outputs] = 1
    kept = largest_blocks(values * there, (2, 8), 0.5)
    left = kept[0, 0][inputs[:, None], outputs].reshape(4, 8, 4, 2)
    assert (left.all(axis=(1, 3)) == left.any(axis=(1, 3))).all()
    assert left.mean() == 0.5
    assert kept.sum() == left.sum()


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(inputs)
    for number in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Conv2D(32, 1, use_bias=False, name=f"pointwise_{number}")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="head")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    return model


def trained(*callbacks):
    rng = np.random.default_rng(0)
    model = network()
    images = rng.uniform(-1, 1, (64, 8, 8, 3)).astype("float32")
    model.fit(images, rng.integers(0, 2, 64), 8, epochs=3, verbose=0, callbacks=list(callbacks))
    return model


@pytest.mark.slow
def test_the_engine_skips_them_in_the_int8_file():
    board = edge.find_board("nucleo-f446re")
    pruning = MagnitudePruning(schedule=ConstantSparsity(0.5, 4), block=edge.pruning_block(board))
    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    engine = compile_engine(read_graph(edge.convert(trained(pruning, qat))), "dsp")
    convolutions = [kernel for kernel in engine.kernels if kernel.name.startswith("conv_")]
    assert [kernel.name for kernel in convolutions] == ["conv_4_sparse_dsp"] * 3
    # Of two channels seven words, and five of each block that is left: one of two, two of four.
    assert [len(kernel.weights) for kernel in convolutions[1:]] == [16 * (7 + 5), 16 * (7 + 10)]


def test_blocks_are_whole_in_the_smaller_network():
    channels = ChannelPruning(target_macs=0.6, end_epoch=1)
    blocks = MagnitudePruning(
        schedule=ConstantSparsity(0.5, 4, frequency=8), block=(2, 8), exclude=["stem", "head"]
    )
    trained(channels, blocks)
    kernels = [
        np.array(layer.kernel)[0, 0]
        for layer in channels.pruned_model.layers
        if layer.name.startswith("pointwise")
    ]
    for kernel in kernels:
        numbers = block_numbers(kernel.shape, 2, 8)
        zeros = [(kernel[numbers == n] == 0).mean() for n in range(numbers.max() + 1)]
        assert set(zeros) == {0.0, 1.0}


def test_kernels_whose_target_skips_nothing_stay():
    pruning = MagnitudePruning(
        schedule=ConstantSparsity(0.5, 0), block=edge.pruning_block("nucleo-f446re")
    )
    model = trained(pruning)
    shares = {
        name: (np.array(model.get_layer(name).kernel) == 0).mean()
        for name in ("pointwise_0", "pointwise_1", "head")
    }
    assert shares == {"pointwise_0": 0.5, "pointwise_1": 0.5, "head": 0.0}


def test_a_network_without_blocks_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    pruning = MagnitudePruning(0.5, block=edge.pruning_block("nucleo-f446re"))
    with pytest.raises(ValueError, match="skips blocks of no kernel"):
        model.fit(np.zeros((4, 4)), np.zeros((4, 2)), verbose=0, callbacks=[pruning])


@pytest.mark.parametrize("block", [3, (2,), (0, 8), (2, 8.0), "dsp"])
def test_a_wrong_block_is_refused(block):
    with pytest.raises(ValueError, match="block must be"):
        MagnitudePruning(0.5, block=block)
