"""Whole channels go, and the smaller network computes what the masked one computes."""

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.memory.live_ranges import activation_buffers
from edge.tflite.reader import read_graph
from keras_mobilenet.analysis.cost import cost
from keras_mobilenet.pruning import ChannelPruning
from keras_mobilenet.pruning.channel_costs import (
    Costs,
    cheapest_removals,
    flash_bytes,
    macs,
    ram_bytes,
)
from keras_mobilenet.pruning.channel_groups import ChannelGroups
from keras_mobilenet.quantization.scheme import UnsupportedLayerError
from keras_mobilenet.quantization.transform import untrained_ranges

PADDED = (33, 32, 3)
"""An even and an odd side: its blocks pad on their own, and the int8 file has PADs."""


def ours(shape=(32, 32, 3)):
    return keras_mobilenet.MobileNetV1(shape, 0.25, classes=4)


def small():
    """Its first and its last layers, between them one of its blocks."""
    inputs = keras.Input((16, 16, 3))
    x = keras_mobilenet.ConvBNReLU(16, 3, alpha=1.0)(inputs)
    x = keras_mobilenet.SeparableBlock(32, alpha=1.0, strides=2)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def fit(model, callbacks, epochs=4, count=32):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, count)
    shade = (labels[:, None, None, None] - 1.5) / 3
    shape = (count, *model.input_shape[1:])
    images = (rng.uniform(-0.5, 0.5, shape) + shade).astype("float32")
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.5
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(images, labels, 16, epochs=epochs, verbose=0, callbacks=callbacks)
    return images, labels


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "is_quantized"),
    [
        pytest.param("ours", False, marks=pytest.mark.exhaustive),
        pytest.param("padded", True, marks=pytest.mark.exhaustive),
        pytest.param("mobilenet_v2", False, marks=pytest.mark.exhaustive),
        pytest.param("ds_cnn", True, marks=pytest.mark.exhaustive),
        pytest.param("resnet8", False, marks=pytest.mark.exhaustive),
        pytest.param("resnet8", True, marks=pytest.mark.exhaustive),
        ("small", True),
    ],
)
def test_pruned_network_computes_the_same_at_half_the_macs(networks, name, is_quantized):
    own = {"ours": ours, "padded": lambda: ours(PADDED), "small": small}
    model = (networks | own)[name]()
    before = cost(model).mult_adds
    pruning = ChannelPruning(target_macs=0.5, end_epoch=2)
    qat = [keras_mobilenet.QuantizationAwareTraining(start_epoch=3)] if is_quantized else []
    images, _ = fit(model, [pruning, *qat])
    smaller = pruning.pruned_model
    by_masked = model.predict(images, verbose=0)
    np.testing.assert_allclose(smaller.predict(images, verbose=0), by_masked, atol=1e-5)
    assert np.ptp(by_masked, axis=0).max() > 0.01, "the outputs tell the inputs apart"
    channels = ChannelGroups(smaller)
    assert macs(channels, np.ones(channels.count, bool)) <= before / 2
    counts = [len(group) for group in channels.groups]
    assert all(count % 4 == 0 for count in counts)
    assert smaller.count_params() < model.count_params()
    if is_quantized:
        assert untrained_ranges(smaller) == []
        assert len(edge.convert(smaller)) < len(edge.convert(model))


@pytest.mark.parametrize("shape", [(32, 32, 3), PADDED, (49, 66, 1)])
def test_channel_costs_are_those_of_the_cost_table(shape):
    model = ours(shape)
    channels = ChannelGroups(model)
    everything = np.ones(channels.count, bool)
    assert macs(channels, everything) == cost(model).mult_adds
    biases = sum(len(stage.writes) for stage in channels.stages)
    assert flash_bytes(channels, everything) == cost(model).parameters + 4 * biases


@pytest.mark.parametrize("shape", [(32, 32, 3), PADDED])
def test_ram_bytes_are_those_of_the_int8_graphs_tensors(random_weights, shape):
    """The plan of the converted file counts the same bytes alive."""
    model = ours(shape)
    model.set_weights(random_weights(model))
    channels = ChannelGroups(model)
    rng = np.random.default_rng(0)
    tflite = edge.convert(model, rng.uniform(-1, 1, (4, *shape)).astype("float32"))
    graph = read_graph(tflite)
    assert ("PAD" in graph.op_names()) == (shape == PADDED)
    buffers = activation_buffers(graph)
    times = range(1 + max(buffer.last for buffer in buffers))
    alive = [sum(b.bytes for b in buffers if b.first <= t <= b.last) for t in times]
    assert max(ram_bytes(channels, np.ones(channels.count, bool))) == max(alive)


@pytest.mark.parametrize("target", ["target_flash_bytes", "target_ram_bytes"])
def test_flash_and_ram_targets_are_met(target):
    model = small()
    pruning = ChannelPruning(**{target: 0.7}, end_epoch=1)
    fit(model, [pruning], epochs=2)
    measure = {"target_flash_bytes": flash_bytes, "target_ram_bytes": ram_bytes}[target]
    costs = []
    for network in (model, pruning.pruned_model):
        channels = ChannelGroups(network)
        costs.append(np.max(measure(channels, np.ones(channels.count, bool))))
    assert costs[1] <= 0.7 * costs[0]


def test_a_narrow_layer_with_large_images_is_not_starved():
    """By multiply-accumulates a channel there saves the most; uniform would leave 11 of 16."""
    inputs = keras.Input((32, 32, 3))
    x = inputs
    for filters, stride in ((16, 1), (32, 2), (64, 2), (128, 2)):
        x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
    channels = ChannelGroups(keras.Model(inputs, layers.Conv2D(10, 1)(x)))
    costs = Costs(channels)
    everything = np.ones(channels.count, bool)
    half = {"macs": 0.5 * costs.of("macs", everything)}
    kept = cheapest_removals(
        costs, everything, importance=np.ones(channels.count), targets=half, multiple_of=4
    )
    left = [int(kept[group].sum()) / len(group) for group in channels.groups]
    assert 0.9 * half["macs"] < costs.of("macs", kept) <= half["macs"]
    assert min(left) >= 0.5
    assert max(left) <= 0.95


def test_a_counter_decides_in_place_of_the_arithmetic():
    """A chip counts in steps, here of eight channels: a single removal saves nothing."""
    seen = []

    def counter(model):
        def cost(name, widths):
            seen.append(name)
            return float(sum(-(-width // 8) for width in widths))

        return cost

    model = with_a_useless_half()
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    data = np.zeros((8, 8, 8, 1)), np.zeros(8)
    pruning = ChannelPruning(target_ms=1, counter=counter, end_epoch=1)
    with pytest.raises(ValueError, match="No smaller network meets ms=1"):
        model.fit(*data, verbose=0, callbacks=[pruning])
    pruning = ChannelPruning(target_ms=2, counter=counter, end_epoch=1)
    history = model.fit(*data, verbose=0, callbacks=[pruning]).history
    assert history["ms"] == [2.0]
    assert set(seen) == {"ms"}


def with_a_useless_half(inputs_side=8):
    """A network in which the last 8 of 16 channels hardly count."""
    inputs = keras.Input((inputs_side, inputs_side, 1))
    x = layers.Conv2D(16, 3, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = layers.Dense(4, activation="softmax", name="head")(layers.Flatten()(x))
    model = keras.Model(inputs, x)
    gamma = model.get_layer("norm").gamma
    gamma.assign(np.repeat([1.0, 0.01], 8))
    return model


@pytest.mark.parametrize("criterion", ["bn_scale", "taylor"])
def test_least_important_channels_are_removed_first(criterion):
    keras.utils.set_random_seed(0)
    model = with_a_useless_half()
    rng = np.random.default_rng(0)
    data = rng.normal(size=(32, 8, 8, 1)).astype("float32"), rng.integers(0, 4, 32)
    pruning = ChannelPruning(
        target_macs=0.5,
        end_epoch=1,
        criterion=criterion,
        data=data if criterion == "taylor" else None,
    )
    model.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.fit(*data, epochs=1, verbose=0, callbacks=[pruning])
    gone = (np.array(model.get_layer("conv").kernel) == 0).all(axis=(0, 1, 2))
    assert gone.sum() == 8
    # By chance a channel of the better half may not touch the loss either.
    assert gone[8:].sum() >= (8 if criterion == "bn_scale" else 7)


def test_saved_model_resumes_with_its_channels_removed(tmp_path):
    """The zeros tell which channels are gone."""
    model = small()
    fit(model, [ChannelPruning(target_macs=0.5, end_epoch=1)], epochs=1)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    pruning = ChannelPruning(target_macs=0.5 * cost(model).mult_adds, end_epoch=1)
    again.fit(np.zeros((4, 16, 16, 3)), np.zeros(4), verbose=0, callbacks=[pruning])
    for mine, its in zip(model.weights, again.weights, strict=True):
        if "kernel" in mine.path:
            np.testing.assert_array_equal(np.array(mine) == 0, np.array(its) == 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "at least one of target_macs"),
        ({"target_macs": -1}, "above 0"),
        ({"target_ms": 5}, "target_ms needs a counter"),
        ({"target_macs": 0.5, "criterion": "l1"}, "criterion must be one of"),
        ({"target_macs": 0.5, "criterion": "taylor"}, "Give data="),
        ({"target_macs": 0.5, "multiple_of": 0}, "multiple_of"),
        ({"target_macs": 0.5, "start_epoch": 3, "end_epoch": 2}, "end_epoch must come after"),
    ],
)
def test_channel_pruning_refuses_wrong_arguments_by_name(arguments, words):
    with pytest.raises(ValueError, match=words):
        ChannelPruning(**arguments)


def test_unreachable_target_is_refused_before_training():
    with pytest.raises(ValueError, match="No smaller network meets macs=100"):
        fit(ours(), [ChannelPruning(target_macs=100)])


def test_grouped_convolution_is_refused_by_name():
    inputs = keras.Input((8, 8, 4))
    x = layers.Conv2D(8, 3, groups=2, name="grouped")(inputs)
    with pytest.raises(UnsupportedLayerError, match="'grouped'"):
        ChannelGroups(keras.Model(inputs, x))
