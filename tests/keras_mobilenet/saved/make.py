"""Makes the saved models of this folder; they stand for the files that users have.

They were written by commit 2c6fe18, and later versions must load them and compute the same bytes:

    git worktree add /tmp/old 2c6fe18
    PYTHONPATH=/tmp/old python tests/keras_mobilenet/saved/make.py
"""

from __future__ import annotations

import pathlib

import keras
import numpy as np

import keras_mobilenet

HERE = pathlib.Path(__file__).parent


def network() -> keras.Model:
    """A small network of both layers, compiled."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    record = keras_mobilenet.Preprocessing(16, 16, mean=0, std=255)
    x = keras_mobilenet.PreprocessingRecord(record)(inputs)
    x = keras_mobilenet.ConvBNReLU(8, strides=2, activation="relu6")(x)
    x = keras_mobilenet.SeparableBlock(16, strides=2, activation="relu6")(x)
    x = keras_mobilenet.SeparableBlock(32, alpha=0.5)(x)
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Conv2D(4, 1)(x)
    x = keras.layers.Activation("softmax")(keras.layers.Reshape((4,))(x))
    model = keras.Model(inputs, x, name="small")
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def main() -> None:
    """Trains the network in each way that changes its layers, and saves it with its outputs."""
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (64, 16, 16, 3)).astype("float32")
    labels = rng.integers(0, 4, 64)
    channels = keras_mobilenet.ChannelPruning(target_macs=0.6)
    trainings = {
        "float": [],
        "quantized": [keras_mobilenet.QuantizationAwareTraining(start_epoch=2)],
        "pruned_weights": [keras_mobilenet.MagnitudePruning(0.5)],
        "pruned_channels": [channels],
    }
    outputs = {"inputs": images[:8]}
    for name, callbacks in trainings.items():
        model = network()
        model.fit(images, labels, epochs=4, verbose=0, callbacks=callbacks)
        if channels in callbacks:
            model = channels.pruned_model
        model.save(HERE / f"{name}.keras")
        outputs[name] = model.predict(images[:8], verbose=0)
    np.savez_compressed(HERE / "outputs.npz", **outputs)


if __name__ == "__main__":
    main()
