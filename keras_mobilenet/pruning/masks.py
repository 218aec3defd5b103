"""Masks that keep weights at zero inside the compiled training step."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_mobilenet.quantization.fake_quant import require_tensorflow_backend
from keras_mobilenet.quantization.graph_surgery import retrace


class Mask:
    """Keeps the zeros of one weight, as its constraint after every optimizer step.

    A constraint that the weight already has goes first.

    Args:
        variable: The weight.
        kept: What is not zeroed, a boolean array of the weight's shape.

    Example:
        >>> weight = keras.Variable([1.0, 2.0])
        >>> mask = Mask(weight, np.array([True, False]))
        >>> weight.numpy().tolist()
        [1.0, 0.0]
        >>> mask.remove()
    """

    def __init__(self, variable: keras.Variable, kept: np.ndarray):
        self.variable = variable
        self._inner: Callable | None = variable.constraint
        self._kept = keras.Variable(kept.astype("float32"), trainable=False, name="mask")
        variable.constraint = self
        self.update(kept)

    def __call__(self, weight):
        """Masks the weight, as an optimizer's constraint."""
        if self._inner is not None:
            weight = self._inner(weight)
        return weight * self._kept

    @property
    def kept(self) -> np.ndarray:
        """What is not pruned, a boolean array of the weight's shape."""
        return read_array(self._kept) != 0

    def update(self, kept: np.ndarray) -> None:
        """Changes what is kept, and zeroes the rest at once.

        Args:
            kept: What is kept, a boolean array of the weight's shape.
        """
        self._kept.assign(kept.astype("float32"))
        self.variable.assign(read_array(self.variable) * kept)

    def remove(self) -> None:
        """Gives the weight back its own constraint."""
        self.variable.constraint = self._inner


def read_array(variable: keras.Variable) -> np.ndarray:
    """Reads the value of a weight, of its first replica if a strategy mirrors it.

    Args:
        variable: The weight.

    Returns:
        Array of the weight's shape.

    Example:
        >>> read_array(keras.Variable([1.0, 2.0])).tolist()
        [1.0, 2.0]
    """
    return tf.convert_to_tensor(variable.value).numpy()


def attach_masks(model: keras.Model, kept: dict) -> list[Mask]:
    """Masks weights of a model that is about to train.

    Args:
        model: The compiled Keras model.
        kept: What each weight keeps, `(variable, boolean array)` by the weight's identity (`id`).

    Returns:
        The masks, in the order of `kept`.

    Raises:
        RuntimeError: If Keras does not run on TensorFlow.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> kernel = model.layers[0].kernel
        >>> (mask,) = attach_masks(model, {id(kernel): (kernel, np.array([[True], [False]]))})
        >>> mask.kept.tolist()
        [[True], [False]]
    """
    require_tensorflow_backend()
    with model.distribute_strategy.scope():
        masks = [Mask(variable, array) for variable, array in kept.values()]
    retrace(model)
    return masks


def detach_masks(model: keras.Model, masks: list[Mask]) -> None:
    """Ends masking; the zeros stay until the next training step.

    Args:
        model: The Keras model.
        masks: The masks that `attach_masks` made; they are removed last first.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> kernel = model.layers[0].kernel
        >>> masks = attach_masks(model, {id(kernel): (kernel, np.ones((2, 1), bool))})
        >>> detach_masks(model, masks)
        >>> kernel.constraint is None
        True
    """
    for mask in reversed(masks):
        mask.remove()
    model.train_function = None
