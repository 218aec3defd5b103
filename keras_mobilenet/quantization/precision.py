"""Double precision on every backend, where bits must not depend on who computes."""

from __future__ import annotations

import contextlib
import types
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, ops


def double_precision() -> contextlib.AbstractContextManager:
    """Gives JAX its 64-bit numbers, which it has only where they are asked for.

    Returns:
        A context in which float64 and int64 are what they say, also while a function is traced.

    Example:
        >>> with double_precision():
        ...     wide = ops.cast(ops.ones(()), "float64")
        >>> keras.backend.standardize_dtype(wide.dtype)
        'float64'
    """
    if keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


def as_tensor(value: Any) -> KerasTensor:
    """Reads a variable.

    Keras passes TensorFlow's variables on as they are, and one that a distribution strategy mirrors
    is neither a number nor an array.

    Args:
        value: A Keras variable, a tensor, an array, or a number.

    Returns:
        A tensor of the same values.

    Example:
        >>> float(as_tensor(keras.Variable(2.0)))
        2.0
    """
    return ops.cast(value, getattr(value, "dtype", None) or keras.config.floatx())


class Arithmetic:
    """Where one formula is computed: with the backend's tensors, or with NumPy on the host.

    Both give the same bits as long as a formula keeps to operations that IEEE 754 rounds correctly,
    and to forms that no graph optimizer replaces: `1 / sqrt(x)` becomes an approximation.

    Args:
        operations: `keras.ops` or `numpy`.

    Example:
        >>> float(ON_HOST.single(ON_HOST.double(0.1)))
        0.10000000149011612
    """

    def __init__(self, operations: types.ModuleType):
        self.operations = operations

    def double(self, value: Any) -> Any:
        """Reads a variable or tensor in double precision.

        Args:
            value: A Keras variable, a tensor, or an array.

        Returns:
            Float64 tensor or array.
        """
        if self.operations is np:
            return np.asarray(ops.convert_to_numpy(as_tensor(value)), np.float64)
        return ops.cast(value, "float64")

    def single(self, value: Any) -> Any:
        """Rounds to single precision.

        Args:
            value: A tensor or array of this arithmetic.

        Returns:
            Float32 tensor or array.
        """
        return value.astype(np.float32) if self.operations is np else ops.cast(value, "float32")


ON_HOST = Arithmetic(np)
WITH_TENSORS = Arithmetic(ops)


def to_double(value: KerasTensor) -> KerasTensor:
    """Converts a tensor to double precision; inside `double_precision` only.

    Args:
        value: A tensor or a Keras variable.

    Returns:
        Float64 tensor.

    Example:
        >>> keras.backend.standardize_dtype(to_double(ops.ones(())).dtype)
        'float64'
    """
    return WITH_TENSORS.double(value)
