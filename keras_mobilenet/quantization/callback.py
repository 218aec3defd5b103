"""Quantization-aware training as a Keras callback."""

from __future__ import annotations

import keras

from keras_mobilenet.quantization.transform import (
    check_quantizable,
    is_quantized,
    quantize_in_place,
)


class QuantizationAwareTraining(keras.callbacks.Callback):
    """Trains float, then with int8 fake quantization, in one `model.fit`.

    From `start_epoch` on the model computes with int8 kernels and activations in float
    arithmetic: batch normalizations are folded as inference folds them, kernels are symmetric per
    output channel, activations asymmetric with moving-average ranges. The model keeps its
    identity, its optimizer state and its compiled loss. Saved afterwards, it reloads with its
    ranges, and `edge.convert` needs no representative data.

    A model that is already quantization-aware (one reloaded to go on training) stays as it is.

    Args:
        start_epoch: First epoch, counted from 0, that trains with fake quantization.

    Raises:
        ValueError: If `start_epoch` is negative, or lies past the epochs of `fit`.
        UnsupportedLayerError: At the start of `fit`, if a layer has no int8 rule.
        RuntimeError: At the start of `fit`, if Keras does not run on TensorFlow.

    Example:
        >>> inputs = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        >>> x = keras.layers.Flatten()(x)
        >>> model = keras.Model(inputs, keras.layers.Dense(2)(x))
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> images, labels = keras.ops.ones((8, 8, 8, 1)), keras.ops.zeros((8,))
        >>> history = model.fit(images, labels, epochs=2, verbose=0,
        ...                     callbacks=[QuantizationAwareTraining(start_epoch=1)])
        >>> [layer.name.split("_")[0] for layer in model.layers[1:3]]
        ['quantized', 'quantized']

    Source: arXiv 1712.05877, section 3; the TFLite 8-bit quantization specification.
    """

    def __init__(self, start_epoch: int = 0):
        super().__init__()
        if isinstance(start_epoch, bool) or not isinstance(start_epoch, int) or start_epoch < 0:
            raise ValueError(f"start_epoch must be a non-negative integer, got {start_epoch!r}.")
        self.start_epoch = start_epoch

    def on_train_begin(self, logs=None):
        if is_quantized(self.model):
            return
        # Found now, not after the float epochs.
        check_quantizable(self.model)
        epochs = (self.params or {}).get("epochs")
        if epochs is not None and self.start_epoch >= epochs:
            raise ValueError(
                f"start_epoch={self.start_epoch} is never reached: fit ends after {epochs} epochs."
            )

    def on_epoch_begin(self, epoch, logs=None):
        if epoch >= self.start_epoch and not is_quantized(self.model):
            quantize_in_place(self.model)
