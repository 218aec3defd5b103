"""Refuses a Keras model that is too large for every microcontroller before its weights exist."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Iterator
from typing import Any

from edge.errors import ModelError

LARGEST_WEIGHT_BYTES = 256 << 20
"""The weights of a model may take so much: sixteen times the largest MobileNetV1."""

FLOAT_BYTES = 4
_lock = threading.RLock()


@contextlib.contextmanager
def limited_weights(name: str) -> Iterator[None]:
    """Counts the weights of all layers that are built in a block, each before it is made.

    A file of some hundred bytes can ask for a layer of a billion units. What a layer takes is known
    only when Keras builds it, layer after layer, so it is counted where every layer asks for its
    weights: in `Layer.add_weight`.

    Args:
        name: The name of the model for the message.

    Yields:
        Nothing.

    Raises:
        ModelError: If the weights take more than 256 MiB.

    Example:
        >>> import keras
        >>> with limited_weights("big.keras"):
        ...     keras.Sequential([keras.Input((1000,)), keras.layers.Dense(10**9)])
        Traceback (most recent call last):
        edge.errors.ModelError: big.keras asks for weights of 4,000,000,000,000 bytes or more, ...
    """
    import keras

    bytes_so_far = 0

    with _lock:
        add_weight = keras.layers.Layer.add_weight

        @functools.wraps(add_weight)
        def counted(layer: Any, shape: Any = None, *args: Any, **options: Any) -> Any:
            nonlocal bytes_so_far
            sides = (shape,) if isinstance(shape, int) else shape or ()
            bytes_so_far += FLOAT_BYTES * math.prod(side or 0 for side in sides)
            if bytes_so_far > LARGEST_WEIGHT_BYTES:
                raise MemoryError
            return add_weight(layer, shape, *args, **options)

        keras.layers.Layer.add_weight = counted
        try:
            yield
        except Exception:
            # Keras turns what a layer raises into errors of its own, many lines long.
            if bytes_so_far > LARGEST_WEIGHT_BYTES:
                raise ModelError(
                    f"{name} asks for weights of {bytes_so_far:,} bytes or more, and "
                    f"{LARGEST_WEIGHT_BYTES:,} is more than a model for a microcontroller can need."
                ) from None
            raise
        finally:
            keras.layers.Layer.add_weight = add_weight
