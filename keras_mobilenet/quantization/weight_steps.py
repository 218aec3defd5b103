"""Weights of four bits: a step for each channel that starts where it errs least, and is learned."""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from keras import KerasTensor, ops

from keras_mobilenet.quantization.fake_quant import gradient_only, weight_limits

UNDECIDED = 0
"""The bits of a layer that are chosen when quantization starts."""

STEP_LIMITS = {8: 127, 4: 7}
"""The largest weight in steps, by the bits that it takes: weights are symmetric around 0."""

FACTORS = np.linspace(0.4, 1.0, 31)
"""The shares of a channel's largest weight that its range may start at."""

_BITS: contextvars.ContextVar[Callable[[str], int]] = contextvars.ContextVar(
    "bits", default=lambda name: 8
)


@contextlib.contextmanager
def layers_of_bits(bits_of: Callable[[str], int]) -> Iterator[None]:
    """Gives the layers with weights that are made inside so many bits.

    Args:
        bits_of: The bits by a layer's name: 8, 4 or `UNDECIDED`.

    Yields:
        Nothing.

    Example:
        >>> with layers_of_bits(lambda name: 4):
        ...     bits_of_new_layer("quantized_c")
        4
    """
    token = _BITS.set(bits_of)
    try:
        yield
    finally:
        _BITS.reset(token)


def bits_of_new_layer(name: str) -> int:
    """The bits of the weights of a layer that is made now.

    Args:
        name: The layer's name.

    Returns:
        8 outside of `layers_of_bits`.

    Example:
        >>> bits_of_new_layer("quantized_c")
        8
    """
    return _BITS.get()(name)


def best_factors(kernel: np.ndarray, axes: Sequence[int] | None, limit: int) -> np.ndarray:
    """Finds the ranges whose rounding changes a kernel least.

    Args:
        kernel: The kernel, an array of any shape, the output channels last.
        axes: The axes that share one scale, all if None.
        limit: The largest weight in steps.

    Returns:
        Array of the shape of the other axes, each a share of the largest weight.

    Example:
        >>> kernel = np.append(np.linspace(-1, 1, 99), 3.0)
        >>> round(float(best_factors(kernel, None, 7)), 2)
        0.8
    """
    limits = weight_limits(kernel, axes, np)
    errors = []
    for factor in FACTORS:
        step = limits * factor / limit
        rounded = np.clip(np.round(kernel / step), -limit, limit) * step
        errors.append(np.square(rounded - kernel).sum(axis=None if axes is None else tuple(axes)))
    return FACTORS[np.argmin(errors, axis=0)]


def learned_fake_quant_kernel(
    kernel: KerasTensor, log_factors: KerasTensor, axes: Sequence[int] | None, limit: int
) -> KerasTensor:
    """Rounds a kernel with steps that are learned.

    The gradient of a step is the rounding error, or the limit where a weight is cut off, scaled by
    `1 / sqrt(weights * limit)`.

    Args:
        kernel: The kernel, a float tensor, the output channels last.
        log_factors: The logarithm of each range's share of the largest weight.
        axes: The axes that share one scale, all if None.
        limit: The largest weight in steps.

    Returns:
        Float tensor of the shape of `kernel`.

    Example:
        >>> rounded = learned_fake_quant_kernel(ops.array([7.0, 2.4]), ops.array(0.0), None, 7)
        >>> [float(value) for value in rounded]
        [7.0, 2.0]

    Source: arXiv 1902.08153, equations 3 and 4, section 2.2.
    """
    value = ops.stop_gradient(kernel)
    step = weight_limits(value, axes) * ops.exp(ops.stop_gradient(log_factors)) / float(limit)
    steps = ops.round(value / step)
    is_inside = ops.cast(ops.abs(steps) <= limit, value.dtype)
    rounded = ops.clip(steps, -float(limit), float(limit)) * step
    weights = math.prod(kernel.shape) / max(math.prod(log_factors.shape), 1)
    by_step = (rounded - is_inside * value) / math.sqrt(weights * limit)
    return rounded + is_inside * gradient_only(kernel) + by_step * gradient_only(log_factors)
