"""Networks: whole ones, converted once, and small ones of random geometry."""

from __future__ import annotations

import dataclasses
import functools

import networks
import numpy as np
import pytest

from edge.tflite.reader import read_graph


@pytest.fixture(scope="session")
def keras_network(random_weights):
    """The Keras model of a name, with the weights that `network` converts."""

    def build(name):
        model = networks.CONVERTED[name]()
        model.set_weights(random_weights(model))
        return model

    return build


@pytest.fixture(scope="session")
def network(made_once, keras_network, request):
    """The int8 graph of a name; converted the first time."""

    def converted(name):
        import edge

        model = keras_network(name)
        shape = (2, *model.input_shape[1:])
        samples = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
        return edge.convert(model, samples)

    @functools.cache
    def get(name):
        if name.endswith(".tflite"):
            return read_graph(request.getfixturevalue("shared_data") / "models" / name)
        return read_graph(made_once(f"{name}.tflite", lambda: converted(name)))

    return get


@pytest.fixture(scope="session")
def random_inputs():
    def draw(graph, count=2, seed=1):
        shape = (count, *graph.input.shape[1:])
        return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)

    return draw


@pytest.fixture(scope="session")
def random_graph():
    """A small network of random geometry, the same for the same seed."""
    return networks.random_graph


@pytest.fixture(scope="session")
def block_pruned():
    """A graph whose pointwise kernels are zero in blocks of two channels by eight."""

    def prune(graph, share, seed=0):
        rng = np.random.default_rng(seed)
        tensors = list(graph.tensors)
        for op in graph.operators:
            kernel = tensors[op.inputs[1]] if op.opcode == "CONV_2D" else None
            if kernel is None or kernel.shape[0] % 2 or kernel.shape[3] % 8:
                continue
            weights = kernel.values().copy()
            outputs, _, _, inputs = weights.shape
            mask = rng.random((outputs // 2, inputs // 8)) < share
            weights[np.repeat(np.repeat(mask, 2, 0), 8, 1)[:, None, None, :]] = 0
            data = np.frombuffer(weights.tobytes(), np.uint8)
            tensors[kernel.index] = dataclasses.replace(kernel, data=data)
        return dataclasses.replace(graph, tensors=tuple(tensors))

    return prune
