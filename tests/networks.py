"""The networks of the tests, of the examples in the docstrings and of the documentation's drawings.

Graphs come from `GraphBuilder`, with weights that cost nothing; networks in Keras are built by the
functions of `CONVERTED` and `TRAINABLE`, which name them.
"""

from __future__ import annotations

import functools

import numpy as np
from graph_builder import GraphBuilder, with_int4_weights

from edge.tflite.graph import Graph, Quantization
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.operators import has_kernel

# Graphs.

SMALL_KERNEL_SCALE = 2.0**-9


def small_tflite(seed: int = 0) -> bytes:
    """A .tflite of an image of 8x8 pixels: convolutions, a residual sum, pooling, two classes."""
    rng = np.random.default_rng(seed)

    def weights(shape, axis, source, dead_share):
        channels = shape[axis]
        kernel = rng.integers(-127, 128, shape, np.int8)
        bias = rng.integers(-20000, 20000, channels, np.int32)
        bias_scale = source.scales[0] * SMALL_KERNEL_SCALE
        return (
            kernel,
            Quantization((SMALL_KERNEL_SCALE,) * channels, (0,) * channels, axis),
            bias,
            Quantization((bias_scale,) * channels, (0,) * channels, 0),
        )

    relu6 = {"activation": "RELU6", "quantization": Quantization((2.0**-5,), (-128,), 0)}
    signed = Quantization((2.0**-5,), (0,), 0)
    total = Quantization((2.0**-4,), (-64,), 0)
    builder = GraphBuilder(
        (1, 8, 8, 3),
        draw_quantization=lambda: signed,
        draw_weights=weights,
        quantization=Quantization((2.0**-7,), (0,), 0),
        name="image",
    )
    builder.conv(4, (3, 3), (2, 2), **relu6, name="stem")
    stem = builder.last
    builder.depthwise(1, (3, 3), **relu6, name="depthwise")
    builder.conv(4, (1, 1), activation="NONE", name="pointwise")
    pointwise, builder.last = builder.last, stem
    builder.add(pointwise, "NONE", quantization=total, name="sum")
    builder.mean(quantization=total, name="pooled")
    builder.dense(2, quantization=Quantization((2.0**-4,), (0,), 0), name="logits")
    builder.softmax(name="classes")
    return graph_bytes(builder.graph())


class RandomValues:
    """Weights and quantizations at random, from one generator."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng

    def quantization(self):
        scale = float(np.float32(self.rng.uniform(0.01, 0.1)))
        return Quantization((scale,), (int(self.rng.integers(-128, 128)),), 0)

    def weights(self, shape, axis, source, dead_share):
        values = self.rng.integers(-127, 128, shape).astype(np.int8)
        channels = shape[axis]
        if dead_share:
            mask = self.rng.random(channels) < dead_share
            np.moveaxis(values, axis, 0)[mask] = 0
        scales = self.rng.uniform(0.0005, 0.003, channels).astype(np.float32)
        quantization = Quantization(tuple(map(float, scales)), (0,) * channels, axis)
        bias = self.rng.integers(-20000, 20000, channels).astype(np.int32)
        return values, quantization, bias, None


LAYER_KINDS = ["pointwise", "separable", "conv", "odd", "pool", "residual", "scale"]


def random_int4_graph(seed: int, dead_share: float = 0.0, share: float = 0.7) -> Graph:
    """`random_graph` with weights of four bits in a share of its layers, or in one at least."""
    graph = random_graph(seed, dead_share)
    draws = np.random.default_rng([seed, 2])
    weighted = [op.index for op in graph.operators if has_kernel(op)]
    chosen = [index for index in weighted if draws.random() < share] or weighted[:1]
    return with_int4_weights(graph, lambda op: op.index in chosen)


def random_graph(seed: int, dead_share: float = 0.0) -> Graph:
    """A small network of random geometry, the same for the same seed."""
    rng = np.random.default_rng(seed)
    height, width = (int(n) for n in rng.integers(5, 14, 2))
    values = RandomValues(rng)
    builder = GraphBuilder(
        (1, height, width, int(rng.choice([1, 3, 4, 8]))),
        draw_quantization=values.quantization,
        draw_weights=values.weights,
    )
    # Draws of their own, so that a seed keeps the rest of its network.
    extra = np.random.default_rng([seed, 1])
    for _ in range(int(rng.integers(2, 6))):
        if extra.random() < 0.2:
            top, bottom, left, right = (int(n) for n in extra.integers(0, 3, 4))
            builder.pad((top, bottom), (left, right))
        _add_random_layer(builder, rng, dead_share)
    if not builder.operators:
        builder.requantize()
    if extra.random() < 0.5:
        if extra.random() < 0.5:
            builder.mean()
        builder.dense(int(extra.integers(2, 9)))
        if extra.random() < 0.5:
            builder.softmax()
    elif extra.random() < 0.3:
        # The classes of each pixel.
        builder.softmax()
    return builder.graph(b"random")


def _add_random_layer(builder: GraphBuilder, rng: np.random.Generator, dead_share: float) -> None:
    stride = tuple(int(n) for n in rng.choice([1, 1, 2], 2))
    padding, activation = rng.choice(["SAME", "VALID"]), rng.choice(["NONE", "RELU", "RELU6"])
    kind = rng.choice(LAYER_KINDS)
    channels = int(rng.choice([3, 4, 8, 12, 16, 20, 33]))
    common = {"activation": activation, "dead_share": dead_share}
    if kind == "pointwise":
        builder.conv(channels, (1, 1), **common)
    elif kind == "separable":
        builder.depthwise(1, (3, 3), stride, padding=padding, **common)
        builder.conv(channels, (1, 1), **common)
    elif kind == "conv":
        builder.conv(channels, (3, 3), stride, padding=padding, **common)
    elif kind == "odd":
        size = tuple(int(n) for n in rng.integers(1, 5, 2))
        dilation = (1, 1) if max(stride) > 1 else tuple(int(n) for n in rng.integers(1, 3, 2))
        window = {"dilation": dilation, "padding": padding}
        builder.conv(channels, size, stride, **window, **common)
        builder.depthwise(int(rng.integers(1, 3)), size, **window, activation="NONE")
    elif kind == "pool":
        name = str(rng.choice(["AVERAGE_POOL_2D", "MAX_POOL_2D"]))
        builder.pool(name, (2, 3), stride, padding)
    elif kind == "residual":
        before = builder.last
        builder.depthwise(1, (3, 3), **common)
        builder.conv(builder.shape[3], (1, 1), **common | {"activation": "NONE"})
        builder.add(before)
    else:
        builder.requantize()


def audio_graph(length: int, channels: int = 4) -> Graph:
    """A network of one dimension, whose rows are single pixels."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, length, 1, channels),
        draw_quantization=values.quantization,
        draw_weights=values.weights,
    )
    for stride in (1, 2, 2, 2):
        made.conv(channels, (5, 1), (stride, 1))
    return made.graph()


def pruned_graph(zero_share: float, height: int = 6, width: int = 5) -> Graph:
    """Convolutions whose weights are zero in blocks of two channels by eight taps."""
    rng = np.random.default_rng(4)
    values = RandomValues(rng)

    def weights(shape, axis, source, dead_share):
        kernel, *others = values.weights(shape, axis, source, 0.0)
        taps = kernel.reshape(len(kernel), -1)
        blocks = [-(-length // block) for length, block in zip(taps.shape, (2, 8), strict=True)]
        is_zero = np.kron(rng.random(blocks) < zero_share, np.ones((2, 8), bool))
        taps[is_zero[: len(taps), : taps.shape[1]]] = 0
        return kernel, *others

    builder = GraphBuilder(
        (1, height, width, 5), draw_quantization=values.quantization, draw_weights=weights
    )
    builder.conv(13, (3, 3))
    builder.conv(16, (1, 1), activation="RELU6")
    builder.conv(11, (2, 3), (2, 1), padding="VALID")
    builder.conv(8, (3, 3), dilation=(1, 2))
    # Sums that are shifted to the left.
    builder.conv(8, (2, 2), quantization=Quantization((1e-5,), (3,), 0))
    return builder.graph()


def _shapes_only(side: int) -> GraphBuilder:
    """A builder whose weights are zeros: a memory plan reads shapes only."""
    one = Quantization((1.0,), (0,), 0)

    def weights(shape, axis, source, dead_share):
        return np.zeros(shape, np.int8), one, np.zeros(shape[axis], np.int32), None

    return GraphBuilder((1, side, side, 3), draw_quantization=lambda: one, draw_weights=weights)


def first_blocks_graph() -> Graph:
    """What a MobileNet begins with: a convolution, a separable block, and the next depthwise."""
    builder = _shapes_only(16)
    builder.conv(16, (3, 3), (2, 2))
    builder.depthwise(1, (3, 3))
    builder.conv(32, (1, 1))
    builder.depthwise(1, (3, 3), (2, 2))
    return builder.graph()


MOBILENET_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
MOBILENET_END = (*((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters and stride of each separable block: arXiv 1704.04861, table 1."""


def mobilenet_v1_graph(alpha: float = 0.25, side: int = 96, classes: int = 2) -> Graph:
    """MobileNetV1, whose classifier is a 1x1 convolution."""
    builder = _shapes_only(side)
    builder.conv(int(32 * alpha), (3, 3), (2, 2))
    for filters, stride in (*MOBILENET_BLOCKS, *MOBILENET_END):
        builder.depthwise(1, (3, 3), (stride, stride))
        builder.conv(int(filters * alpha), (1, 1))
    _, height, width, _ = builder.shape
    builder.pool("AVERAGE_POOL_2D", (height, width), (height, width), "VALID")
    builder.conv(classes, (1, 1))
    return builder.graph()


# Keras models.


def weights_as_trained(model, seed=0):
    """Weights as large as a trained network's, for a model that nobody trained."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif len(weight.shape) == 4:
            is_depthwise = "depthwise" in weight.path
            fan_in = np.prod(weight.shape[:2]) * (1 if is_depthwise else weight.shape[2])
            value = rng.normal(0, np.sqrt(2 / fan_in), weight.shape)
        else:
            value = rng.normal(0, 0.2, weight.shape)
        values.append(value.astype("float32"))
    return values


def mobilenet(alpha, side, classes=10):
    """MobileNetV1 of this package."""
    import keras_mobilenet

    return keras_mobilenet.MobileNetV1(
        (side, side, 3), alpha=alpha, classes=classes, padding="same"
    )


def mobilenet_v1(side=64, classes=10):
    """keras.applications.MobileNet, alpha 0.25."""
    import keras

    return keras.applications.MobileNet((side, side, 3), 0.25, weights=None, classes=classes)


def mobilenet_v2(side=96, classes=10):
    """keras.applications.MobileNetV2, alpha 0.35, with its residual additions."""
    import keras

    return keras.applications.MobileNetV2((side, side, 3), 0.35, weights=None, classes=classes)


def resnet8(classes=10):
    """MLPerf Tiny's image classification network for CIFAR-10."""
    import keras
    from keras import layers

    def conv(x, filters, size, strides=1):
        return layers.Conv2D(filters, size, strides, padding="same", kernel_regularizer="l2")(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.ReLU()(layers.BatchNormalization()(conv(inputs, 16, 3)))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = layers.ReLU()(layers.BatchNormalization()(conv(x, filters, 3, strides)))
        y = layers.BatchNormalization()(conv(y, filters, 3))
        if strides != 1:
            x = conv(x, filters, 1, strides)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.AveragePooling2D(8)(x)
    x = layers.Dense(classes, activation="softmax")(layers.Flatten()(x))
    return keras.Model(inputs, x)


def ds_cnn(classes=12):
    """MLPerf Tiny's keyword spotting network, arXiv 1711.07128: Sequential, rectangular."""
    import keras
    from keras import layers

    stages = [
        keras.Input((49, 10, 1)),
        layers.Conv2D(64, (10, 4), 2, padding="same"),
        layers.BatchNormalization(),
        layers.Activation("relu"),
        layers.Dropout(0.2),
    ]
    for _ in range(4):
        stages += [
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Conv2D(64, 1, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
        ]
    stages += [
        layers.Dropout(0.4),
        layers.AveragePooling2D((25, 5)),
        layers.Flatten(),
        layers.Dense(classes, activation="softmax"),
    ]
    return keras.Sequential(stages)


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


def mixture():
    """One of each operator that the other networks leave out."""
    import keras
    from keras import layers

    inputs = keras.Input((32, 32, 3))
    x = layers.SeparableConv2D(8, 3, padding="same", name="separable")(inputs)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("hard_silu")(x)
    y = layers.Conv2D(8, 1, activation="relu6")(x)
    z = layers.AveragePooling2D(3, 1, padding="same")(x)
    x = layers.Concatenate()([y, z])
    x = layers.MaxPooling2D()(x)
    x = layers.ReLU()(layers.Conv2D(8, 3)(x)) + layers.Conv2D(8, 3, activation="hard_silu")(x)
    x = layers.SpatialDropout2D(0.1)(x)
    x = layers.ReLU(6.0)(layers.MaxPooling2D()(x))
    inner = keras.Sequential([keras.Input((7, 7, 8)), layers.Conv2D(8, 1), layers.ReLU()])
    x = inner(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 1)(x))
    return keras.Model(inputs, layers.Activation("softmax")(x))


def densely_connected(classes=10):
    """Every layer of a block reads all before it, as in arXiv 1608.06993."""
    import keras
    from keras import layers

    def conv(x, filters, size):
        x = layers.Conv2D(filters, size, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization()(x))

    inputs = keras.Input((32, 32, 3))
    x = conv(inputs, 16, 3)
    for _ in range(2):
        for _ in range(3):
            x = layers.Concatenate()([x, conv(conv(x, 16, 1), 8, 3)])
        x = layers.AveragePooling2D(2)(conv(x, 24, 1))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


def residual_of_random_weights():
    """A small network with a residual sum and weights at random, the same in every process."""
    import keras
    from keras import layers

    keras.backend.clear_session()
    image = keras.Input((16, 16, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, 2)(image)))
    y = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Add()([layers.Conv2D(8, 1)(layers.ReLU(6.0)(y)), x])
    model = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    model.set_weights(weights_as_trained(model))
    return model


CONVERTED = {
    f"alpha{alpha}-{side}": functools.partial(mobilenet, alpha, side)
    for alpha in (0.1, 0.25, 0.35, 0.5)
    for side in (32, 64, 96)
} | {
    "mobilenet_v2": mobilenet_v2,
    "resnet8": resnet8,
    "odd": odd,
    "alpha0.25-128": functools.partial(mobilenet, 0.25, 128, 1000),
    "alpha0.25-224": functools.partial(mobilenet, 0.25, 224, 1000),
}
"""What the fixture `network` converts, with weights at random."""

TRAINABLE = {
    "mobilenet_v1": functools.partial(mobilenet_v1, classes=4),
    "mobilenet_v2": functools.partial(mobilenet_v2, side=64, classes=4),
    "ds_cnn": functools.partial(ds_cnn, classes=4),
    "resnet8": functools.partial(resnet8, classes=4),
    "mixture": mixture,
}
"""Networks of others with four classes, small enough to be trained by a test."""

BY_BOTH_CONVERTERS = {
    f"mobilenet_v1 {alpha} {side}": functools.partial(mobilenet, alpha, side)
    for alpha, side in ((0.1, 64), (0.25, 64), (0.25, 128), (0.5, 96))
} | {
    "mobilenet_v2": mobilenet_v2,
    "resnet8": resnet8,
    "ds_cnn": ds_cnn,
    "densely_connected": densely_connected,
}
"""What TensorFlow's converter and ours have to make the same of."""
