"""Trains a small network on one device and on two, and compares: `data-parallel|mirrored`.

In a process of its own: how many devices there are is fixed when a backend starts.
"""

import contextlib
import sys

import keras
import numpy as np

import edge
import keras_mobilenet
from edge.tflite.reader import read_graph

KIND = sys.argv[-1]
ROUNDING = 1e-4


def network():
    """Batch normalization is over the whole batch, on however many devices."""
    inputs = x = keras.Input((16, 16, 1))
    for filters in (8, 16):
        x = keras.layers.SeparableConv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = keras.layers.BatchNormalization(synchronized=KIND == "mirrored")(x)
        x = keras.layers.ReLU(6.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))


def trained(scope):
    """A pruned, quantization-aware network after some epochs of plain `fit`."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 96)
    images = rng.normal(0, 0.3, (96, 16, 16, 1)) + labels[:, None, None, None] / 3 - 0.3
    with scope:
        model = network()
        model.compile(
            keras.optimizers.SGD(0.05, momentum=0.9),
            "sparse_categorical_crossentropy",
            jit_compile=False,
        )
    callbacks = [
        keras_mobilenet.MagnitudePruning(0.5),
        keras_mobilenet.QuantizationAwareTraining(1),
    ]
    images = np.float32(images).clip(-1, 1)
    model.fit(images, labels, 32, epochs=3, verbose=0, callbacks=callbacks)
    return [np.asarray(weight) for weight in model.get_weights()], edge.convert(model)


def main():
    """Compares."""
    if KIND == "mirrored":
        import tensorflow as tf

        (cpu,) = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
        one = trained(contextlib.nullcontext())
        two = trained(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope())
    else:
        assert len(keras.distribution.list_devices()) == 2
        one = trained(contextlib.nullcontext())
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        two = trained(contextlib.nullcontext())
    for weight, other in zip(one[0], two[0], strict=True):
        np.testing.assert_allclose(weight, other, atol=ROUNDING)
        np.testing.assert_array_equal(weight == 0, other == 0, "the same weights are pruned")
    for tensor, other in zip(*(read_graph(file).tensors for _, file in (one, two)), strict=True):
        if tensor.data is not None and tensor.data.dtype == np.int8:
            steps = np.abs(tensor.data.astype(int) - other.data.astype(int))
            assert steps.max() <= 1, f"{tensor.name}: {steps.max()} steps"
    print("equal")


if __name__ == "__main__":
    main()
