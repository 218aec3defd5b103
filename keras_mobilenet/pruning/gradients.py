"""Gradients of a model's loss as arrays, whatever backend Keras runs on."""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from keras_mobilenet.quantization.transform import set_exporting


def loss_gradients(
    model: keras.Model, data: tuple, variables: list[keras.Variable]
) -> list[np.ndarray | None]:
    """Differentiates a compiled model's loss in inference, without training it.

    Args:
        model: The compiled model.
        data: One batch, `(inputs, labels)` arrays.
        variables: The weights, all of them trainable.

    Returns:
        The gradient by each weight; None where the loss does not depend on it.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False)])
        >>> model.compile(loss="mse")
        >>> data = np.zeros((3, 2), "float32"), np.ones((3, 1), "float32")
        >>> loss_gradients(model, data, model.trainable_variables)[0].shape
        (2, 1)
    """
    inputs, labels = (ops.convert_to_tensor(part) for part in data)

    def loss() -> object:
        outputs = model(inputs, training=False)
        return model.compute_loss(inputs, labels, outputs, training=False)

    # Integer arithmetic has no gradient.
    set_exporting(model, True)
    try:
        return _BY_BACKEND[keras.backend.backend()](loss, variables)
    finally:
        set_exporting(model, False)


def _tensorflow(loss, variables) -> list[np.ndarray | None]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, [variable.value for variable in variables])
    return [None if gradient is None else gradient.numpy() for gradient in gradients]


def _jax(loss, variables) -> list[np.ndarray | None]:
    import jax

    def loss_of(values):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss()

    gradients = jax.grad(loss_of)([variable.value for variable in variables])
    return [np.asarray(gradient) for gradient in gradients]


def _torch(loss, variables) -> list[np.ndarray | None]:
    import torch

    gradients = torch.autograd.grad(
        loss(), [variable.value for variable in variables], allow_unused=True
    )
    return [None if gradient is None else ops.convert_to_numpy(gradient) for gradient in gradients]


_BY_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
