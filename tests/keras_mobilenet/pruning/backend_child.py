"""Prunes a small network in `fit` on the backend that KERAS_BACKEND names; prints what it saw."""

import json

import keras
import numpy as np
from keras import layers, ops

from keras_mobilenet.pruning import ChannelPruning, ConstantSparsity, MagnitudePruning

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(64, 8, 8, 3)).astype("float32"), RNG.integers(0, 2, 64)


def network():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    limit = keras.constraints.MaxNorm(1.0, axis=[0, 1, 2])
    x = layers.Conv2D(16, 3, kernel_constraint=limit, name="first")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 1, use_bias=False, name="pointwise")(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


class Watch(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        kernel = self._model.get_layer("pointwise").kernel
        if keras.backend.backend() == "jax":
            # Both: weights that are attached to the model, and weights that are not.
            if batch % 2:
                self._model.jax_state_sync()
            else:
                places = [id(variable) for variable in self._model.trainable_variables]
                values = self._model._jax_state["trainable_variables"]
                kernel = values[places.index(id(kernel))]
        self.seen.append(float((ops.convert_to_numpy(kernel) == 0).mean()))


def trained(pruning, epochs):
    model, watch = network(), Watch()
    callbacks = [pruning, watch]
    history = model.fit(IMAGES, LABELS, 8, epochs=epochs, verbose=0, callbacks=callbacks).history
    return model, watch.seen, history


def main():
    _, single, _ = trained(MagnitudePruning(schedule=ConstantSparsity(0.75, 4)), 2)
    model, blocks, _ = trained(MagnitudePruning(0.5, block=(2, 4)), 4)
    kernel = ops.convert_to_numpy(model.get_layer("pointwise").kernel)
    first = ops.convert_to_numpy(model.get_layer("first").kernel)
    found = {
        "backend": keras.backend.backend(),
        "single": single,
        "blocks": blocks,
        "whole_blocks": int((kernel.reshape(4, 4, 8, 2) == 0).all(axis=(1, 3)).sum()),
        "largest_norm": float(np.sqrt((first**2).sum(axis=(0, 1, 2))).max()),
    }
    for criterion in ("bn_scale", "taylor"):
        data = (IMAGES, LABELS) if criterion == "taylor" else None
        pruning = ChannelPruning(target_macs=0.5, criterion=criterion, data=data)
        model, _, history = trained(pruning, 4)
        masked, smaller = (m.predict(IMAGES, verbose=0) for m in (model, pruning.pruned_model))
        everything = 36 * 16 * 27 + 36 * 16 * 16 + 32
        found[criterion] = {
            "difference": float(np.abs(masked - smaller).max()),
            "macs": history["macs"][-1] / everything,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
