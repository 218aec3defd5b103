"""Masks that keep weights at zero while `model.fit` trains, on every backend of Keras."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_mobilenet.quantization.graph_surgery import retrace


class Mask:
    """Keeps the zeros of one weight.

    On TensorFlow and torch it is the weight's constraint, after one that the weight already has;
    the training step applies it. JAX compiles whatever a constraint reads into the step as a
    constant, and a mask changes: there `hold` applies it between two steps.

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
        if keras.backend.backend() != "jax":
            variable.constraint = self
        self.update(kept)

    def __call__(self, weight):
        """Masks the weight, as an optimizer's constraint."""
        if self._inner is not None:
            weight = self._inner(weight)
        return self.applied(weight)

    def applied(self, values):
        """Masks values of the weight, without its own constraint.

        Args:
            values: A float tensor of the weight's shape.

        Returns:
            The tensor with zeros where the weight is pruned.
        """
        return values * ops.cast(self._kept, values.dtype)

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
    return ops.convert_to_numpy(ops.convert_to_tensor(variable))


def attach_masks(model: keras.Model, kept: dict) -> list[Mask]:
    """Masks weights of a model that is about to train.

    Args:
        model: The compiled Keras model.
        kept: What each weight keeps, `(variable, boolean array)` by the weight's identity (`id`).

    Returns:
        The masks, in the order of `kept`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> kernel = model.layers[0].kernel
        >>> (mask,) = attach_masks(model, {id(kernel): (kernel, np.array([[True], [False]]))})
        >>> mask.kept.tolist()
        [[True], [False]]
    """
    strategy = getattr(model, "distribute_strategy", None)
    with strategy.scope() if strategy is not None else contextlib.nullcontext():
        masks = [Mask(variable, array) for variable, array in kept.values()]
    retrace(model)
    return masks


def attach_weights(model: keras.Model) -> None:
    """Gives weights their values within an epoch, where JAX keeps them apart from the model.

    Args:
        model: The Keras model in `fit`.

    Example:
        >>> attach_weights(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    """
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def hold(model: keras.Model, masks: list[Mask]) -> None:
    """Applies masks after a training step, where the step itself cannot: on JAX.

    Args:
        model: The Keras model in `fit`.
        masks: The masks that `attach_masks` made.

    Example:
        >>> hold(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]), [])
    """
    if keras.backend.backend() != "jax":
        return
    state = None if model._jax_state_synced else model._jax_state
    if state is None:
        for mask in masks:
            mask.variable.assign(mask.applied(mask.variable.value))
        return
    places = {id(variable): place for place, variable in enumerate(model.trainable_variables)}
    values = state["trainable_variables"]
    for mask in masks:
        # The next step reads the same list.
        place = places.get(id(mask.variable))
        if place is not None:
            values[place] = mask.applied(values[place])


def detach_masks(model: keras.Model, masks: list[Mask]) -> None:
    """Ends masking; the zeros stay until the next training step, averaged weights or not.

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
        # An optimizer that averages weights has written those of earlier steps.
        mask.update(mask.kept)
        mask.remove()
    model.train_function = None
