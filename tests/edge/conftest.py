"""Networks: whole ones, converted once, and small ones of random geometry."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.reader import read_graph

ARENA_PAIRS = [(alpha, side) for alpha in (0.1, 0.25, 0.35, 0.5) for side in (32, 64, 96)]


def mobilenet(alpha, side, classes=10):
    import keras_mobilenet

    return keras_mobilenet.MobileNetV1((side, side, 3), alpha, classes=classes, padding="same")


def mobilenet_v2():
    import keras

    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


def resnet8():
    """MLPerf Tiny's image classification network, in plain layers."""
    import keras
    from keras import layers

    def conv(x, filters, strides=1, size=3):
        x = layers.Conv2D(filters, size, strides, padding="same")(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(inputs, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(conv(x, filters, strides))
        y = conv(y, filters)
        shortcut = conv(x, filters, strides, 1) if strides > 1 else x
        x = layers.ReLU()(layers.Add()([shortcut, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def odd():
    """Windows, strides, dilations and channels that no MobileNet has."""
    import keras
    from keras import layers

    inputs = keras.Input((17, 13, 3))
    x = layers.Conv2D(5, (3, 2), strides=2, activation="relu6")(inputs)
    x = layers.DepthwiseConv2D(5, padding="same", depth_multiplier=2)(x)
    x = layers.Conv2D(7, 3, padding="same", dilation_rate=2)(layers.ReLU()(x))
    x = layers.MaxPooling2D(2)(layers.ZeroPadding2D(((1, 0), (2, 1)))(x))
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Dense(9, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


NETWORKS = {
    f"alpha{alpha}-{side}": functools.partial(mobilenet, alpha, side) for alpha, side in ARENA_PAIRS
} | {
    "mobilenet_v2": mobilenet_v2,
    "resnet8": resnet8,
    "odd": odd,
    "alpha0.25-128": functools.partial(mobilenet, 0.25, 128, 1000),
    "alpha0.25-224": functools.partial(mobilenet, 0.25, 224, 1000),
}


@pytest.fixture(scope="session")
def keras_network(random_weights):
    """The Keras model of a name, with the weights that `network` converts."""

    def build(name):
        model = NETWORKS[name]()
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


class _Layers:
    """Builds a graph, layer by layer, with weights and scales at random."""

    def __init__(self, rng, height, width, channels):
        self.rng = rng
        self.tensors, self.operators = [], []
        self.last = self._activation((1, height, width, channels))

    def _activation(self, shape, quantization=None):
        if quantization:
            return self._tensor(shape, "int8", quantization, None)
        scale = float(np.float32(self.rng.uniform(0.01, 0.1)))
        point = int(self.rng.integers(-128, 128))
        return self._tensor(shape, "int8", Quantization((scale,), (point,), 0), None)

    def _tensor(self, shape, dtype, quantization, data):
        index = len(self.tensors)
        name = f"tensor{index}"
        self.tensors.append(Tensor(index, name, tuple(shape), dtype, quantization, data))
        return index

    def _constant(self, values, quantization=None):
        data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        return self._tensor(values.shape, str(values.dtype), quantization, data)

    def _weights(self, shape, axis, dead=0.0):
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        channels = shape[axis]
        if dead:
            mask = self.rng.random(channels) < dead
            np.moveaxis(values, axis, 0)[mask] = 0
        scales = self.rng.uniform(0.0005, 0.003, channels).astype(np.float32)
        quantization = Quantization(tuple(map(float, scales)), (0,) * channels, axis)
        bias = self.rng.integers(-20000, 20000, channels).astype(np.int32)
        return self._constant(values, quantization), self._constant(bias)

    def _add(self, opcode, inputs, shape, options, quantization=None):
        output = self._activation(shape, quantization)
        index = len(self.operators)
        self.operators.append(Operator(index, opcode, tuple(inputs), (output,), options))
        self.last = output

    def shape(self):
        return self.tensors[self.last].shape

    def _quantization(self):
        return self.tensors[self.last].quantization

    def _windowed(
        self, opcode, size, stride, dilation, padding, activation, channels, make, kept=None
    ):
        _, height, width, _ = self.shape()
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        sides = [
            -(-n // s) if padding == "SAME" else (n - r) // s + 1
            for n, s, r in zip((height, width), stride, reach, strict=True)
        ]
        if min(sides) < 1:
            return
        options = {"stride": stride, "padding": padding, "activation": activation}
        options |= {"filter": size} if "POOL" in opcode else {"dilation": dilation}
        self._add(opcode, [self.last, *make()], (1, *sides, channels), options, kept)

    def conv(self, channels, size, stride, dilation, padding, activation, dead=0.0):
        shape = (channels, *size, self.shape()[3])
        self._windowed(
            *("CONV_2D", size, stride, dilation, padding, activation, channels),
            lambda: self._weights(shape, 0, dead),
        )

    def depthwise(self, multiplier, size, stride, dilation, padding, activation, dead=0.0):
        channels = self.shape()[3] * multiplier
        self._windowed(
            *("DEPTHWISE_CONV_2D", size, stride, dilation, padding, activation, channels),
            lambda: self._weights((1, *size, channels), 3, dead),
        )

    def pool(self, opcode, size, stride, padding):
        self._windowed(
            *(opcode, size, stride, (1, 1), padding, "NONE", self.shape()[3]),
            make=tuple,
            kept=self._quantization(),
        )

    def add(self, other):
        self._add("ADD", [self.last, other], self.shape(), {"activation": "RELU"})

    def requantize(self):
        self._add("QUANTIZE", [self.last], self.shape(), {})

    def pad(self, rows, columns):
        _, height, width, channels = self.shape()
        shape = (1, height + sum(rows), width + sum(columns), channels)
        pads = self._constant(np.array([(0, 0), rows, columns, (0, 0)], np.int32))
        self._add("PAD", [self.last, pads], shape, {}, self._quantization())

    def mean(self):
        axes = self._constant(np.array([1, 2], np.int32))
        self._add("MEAN", [self.last, axes], (1, self.shape()[3]), {"keep_dims": False})

    def dense(self, units):
        weights = self._weights((units, int(np.prod(self.shape()))), 0)
        self._add("FULLY_CONNECTED", [self.last, *weights], (1, units), {"activation": "NONE"})

    def softmax(self):
        classes = Quantization((1 / 256,), (-128,), 0)
        self._add("SOFTMAX", [self.last], self.shape(), {"beta": 1.0}, classes)

    def graph(self):
        return Graph(tuple(self.tensors), tuple(self.operators), (0,), (self.last,), b"random")


@pytest.fixture(scope="session")
def random_graph():
    """A small network of random geometry, the same for the same seed."""

    def draw(seed, dead=0.0):
        rng = np.random.default_rng(seed)
        height, width = (int(n) for n in rng.integers(5, 14, 2))
        layers = _Layers(rng, height, width, int(rng.choice([1, 3, 4, 8])))
        # Draws of their own, so that a seed keeps the rest of its network.
        extra = np.random.default_rng([seed, 1])
        for _ in range(int(rng.integers(2, 6))):
            if extra.random() < 0.2:
                top, bottom, left, right = (int(n) for n in extra.integers(0, 3, 4))
                layers.pad((top, bottom), (left, right))
            stride = tuple(int(n) for n in rng.choice([1, 1, 2], 2))
            padding, activation = (
                rng.choice(["SAME", "VALID"]),
                rng.choice(["NONE", "RELU", "RELU6"]),
            )
            kind = rng.choice(
                ["pointwise", "separable", "conv", "odd", "pool", "residual", "scale"]
            )
            channels = int(rng.choice([3, 4, 8, 12, 16, 20, 33]))
            if kind == "pointwise":
                layers.conv(channels, (1, 1), (1, 1), (1, 1), "SAME", activation, dead)
            elif kind == "separable":
                layers.depthwise(1, (3, 3), stride, (1, 1), padding, activation, dead)
                layers.conv(channels, (1, 1), (1, 1), (1, 1), "SAME", activation, dead)
            elif kind == "conv":
                layers.conv(channels, (3, 3), stride, (1, 1), padding, activation, dead)
            elif kind == "odd":
                size = tuple(int(n) for n in rng.integers(1, 5, 2))
                dilation = (
                    (1, 1) if max(stride) > 1 else tuple(int(n) for n in rng.integers(1, 3, 2))
                )
                layers.conv(channels, size, stride, dilation, padding, activation, dead)
                layers.depthwise(int(rng.integers(1, 3)), size, (1, 1), dilation, padding, "NONE")
            elif kind == "pool":
                name = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
                layers.pool(name, (2, 3), stride, padding)
            elif kind == "residual":
                before = layers.last
                layers.depthwise(1, (3, 3), (1, 1), (1, 1), "SAME", activation, dead)
                layers.conv(layers.shape()[3], (1, 1), (1, 1), (1, 1), "SAME", "NONE", dead)
                layers.add(before)
            else:
                layers.requantize()
        if not layers.operators:
            layers.requantize()
        if extra.random() < 0.5:
            if extra.random() < 0.5:
                layers.mean()
            layers.dense(int(extra.integers(2, 9)))
            if extra.random() < 0.5:
                layers.softmax()
        return layers.graph()

    return draw


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
