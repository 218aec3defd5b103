"""Whatever stages a network of the family has: its file is int8, and the engine computes it."""

import keras
import numpy as np
import pytest

import edge
from edge.deploy.verify import random_inputs
from edge.engine.compile import compile_engine
from edge.firmware.host import run_on_host
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from keras_mobilenet import ChannelPruning, MobileNet, QuantizationAwareTraining


def draw(seed):
    """A random network: strides while there is a map, every kind, kernels of 3 and 5."""
    rng = np.random.default_rng(seed)
    side, channels = int(rng.integers(16, 25)), int(rng.integers(1, 5))
    stages = [
        (
            int(rng.integers(4, 20)),
            int(rng.choice([3, 5])),
            int(rng.integers(1, 3)),
            int(rng.integers(1, 3)),
            str(rng.choice(["separable", "separable", "conv"])),
        )
        for _ in range(3)
    ]
    return MobileNet(
        stages,
        (side, side + 3, channels),
        stem=(int(rng.integers(3, 12)), 3, int(rng.integers(1, 3))),
        head=int(rng.integers(8, 24)) if rng.integers(2) else None,
        is_residual=bool(rng.integers(2)),
        activation=str(rng.choice(["relu", "relu6"])),
        padding=str(rng.choice(["same", "valid"])),
        classes=3,
    )


def check(model, **options):
    graph = read_graph(edge.convert(model, **options))
    inputs = random_inputs(graph, 4, seed=0)
    outputs = run_on_host(compile_engine(graph, "portable"), inputs)
    np.testing.assert_array_equal(outputs, run_litert(graph, inputs))


@pytest.mark.parametrize("seed", range(6))
def test_random_networks_run_on_the_engine(host_compiler, seed):
    keras.utils.set_random_seed(seed)
    model = draw(seed)
    images = np.random.default_rng(seed).uniform(-1, 1, (8, *model.input.shape[1:]))
    check(model, representative_dataset=images.astype("float32"))


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(3))
def test_random_networks_are_pruned_and_quantized_in_fit(host_compiler, seed):
    keras.utils.set_random_seed(seed)
    model = draw(seed)
    rng = np.random.default_rng(seed)
    images = rng.uniform(-1, 1, (32, *model.input.shape[1:])).astype("float32")
    model.compile("adam", "sparse_categorical_crossentropy")
    pruning = ChannelPruning(target_macs=0.7, end_epoch=1)
    quantizing = QuantizationAwareTraining(start_epoch=1)
    labels = rng.integers(0, 3, 32)
    model.fit(images, labels, epochs=3, callbacks=[pruning, quantizing], verbose=0)
    check(pruning.pruned_model)
