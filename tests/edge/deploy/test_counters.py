"""What is counted of a shape is what the network of that shape takes, built and estimated."""

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.deploy.engine_budget import measured_firmware
from edge.engine.compile import compile_engine
from edge.errors import EdgeError
from edge.firmware.cycles import estimate_cycles
from edge.memory.arena import tensor_arena
from edge.tflite.reader import read_graph

BOARD = edge.find_board("nucleo-f446re")
FULL, NARROW = (8, 16, 16, 32), (8, 12, 12, 20)


def network(channels, random_weights):
    """Two branches, whose convolutions the twin may list in another order."""
    stem, first, second, last = channels
    inputs = keras.Input((16, 16, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(stem, 3, padding="same")(inputs)))
    shortcut = layers.Conv2D(second, 1, 2)(x)
    y = layers.Conv2D(first, 3, 2, padding="same", activation="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", activation="relu")(y)
    y = layers.Conv2D(second, 1)(y)
    x = layers.ReLU()(layers.Add()([y, shortcut]))
    x = layers.Conv2D(last, 1, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(4)(x))
    model.set_weights(random_weights(model))
    return model


def widths(model):
    """The output channels in the order of the network's layers with kernels."""
    from keras_mobilenet.pruning.channel_groups import ChannelGroups

    return [len(stage.writes) for stage in ChannelGroups(model).stages]


def int8(model):
    twin = keras_mobilenet.quantize_model(model)
    images = np.random.default_rng(0).uniform(-1, 1, (8, *model.input_shape[1:]))
    twin(images.astype("float32"), training=True)
    return read_graph(edge.convert(twin))


@pytest.mark.slow
def test_the_engines_costs_are_those_of_the_built_image(random_weights):
    full, narrow = (network(channels, random_weights) for channels in (FULL, NARROW))
    cost = edge.engine_counter(BOARD)(full)
    engine = compile_engine(int8(narrow), "dsp")
    firmware = measured_firmware(engine, BOARD)
    counted = {name: cost(name, widths(narrow)) for name in ("flash_bytes", "ram_bytes", "ms")}
    assert counted["flash_bytes"] == pytest.approx(firmware.flash_bytes, rel=0.01)
    assert counted["ram_bytes"] == pytest.approx(firmware.static_ram_bytes, rel=0.01)
    cycles = estimate_cycles(engine, BOARD)
    assert counted["ms"] == pytest.approx((cycles.low_ms + cycles.high_ms) / 2, rel=0.02)
    assert cost("flash_bytes", None) == cost("flash_bytes", widths(full)) > counted["flash_bytes"]


@pytest.mark.slow
def test_tflms_costs_are_those_of_the_file(random_weights):
    full, narrow = (network(channels, random_weights) for channels in (FULL, NARROW))
    cost = edge.tflm_counter(BOARD)(full)
    graph, made = int8(narrow), widths(narrow)
    code = cost("flash_bytes", widths(full)) - int8(full).model_bytes
    assert cost("flash_bytes", made) - code == pytest.approx(graph.model_bytes, rel=0.01)
    less = cost("ram_bytes", widths(full)) - cost("ram_bytes", made)
    arenas = [tensor_arena(g, BOARD).bytes for g in (int8(full), graph)]
    assert less == arenas[0] - arenas[1]
    with pytest.raises(EdgeError, match="ms is not estimated"):
        cost("ms", made)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["flash_bytes", pytest.param("ram_bytes", marks=pytest.mark.exhaustive)]
)
def test_a_pruned_networks_image_meets_the_target(random_weights, name):
    model = network(FULL, random_weights)
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=False)
    counter = edge.engine_counter(BOARD)
    target = round({"flash_bytes": 0.88, "ram_bytes": 0.8}[name] * counter(model)(name))
    pruning = keras_mobilenet.ChannelPruning(
        **{f"target_{name}": target}, counter=counter, end_epoch=1, multiple_of=1
    )
    images = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    model.fit(images, np.zeros((8, 4)), verbose=0, callbacks=[pruning])
    firmware = measured_firmware(compile_engine(int8(pruning.pruned_model), "dsp"), BOARD)
    built = {"flash_bytes": firmware.flash_bytes, "ram_bytes": firmware.static_ram_bytes}[name]
    assert 0.98 * target < built <= 1.01 * target


def test_a_wrong_number_of_widths_is_refused(random_weights):
    from edge.transforms.scale import with_channels

    with pytest.raises(ValueError, match="2 numbers of channels for 7 operators"):
        with_channels(int8(network(FULL, random_weights)), [1, 2])
