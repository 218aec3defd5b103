"""Batch normalization folded into the kernel before it, as inference computes it."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

from keras import KerasTensor, layers, ops

from keras_mobilenet.models.batch_norm import batch_normalized


def folded(
    kernel: Any,
    bias: Any,
    norm: layers.BatchNormalization,
    read: Callable,
    operations: types.ModuleType,
) -> tuple[Any, Any]:
    """Multiplies a kernel with what a batch normalization multiplies its output with.

    Args:
        kernel: Tensor or array whose last axes, those that `norm` knows, are the output channels.
        bias: Tensor or array of shape (output channels,), or None.
        norm: The batch normalization, built; its moving statistics count.
        read: The function that reads a variable, in the precision to compute in.
        operations: `keras.ops`, or `numpy` where `read` gives arrays.

    Returns:
        `(kernel, bias)`: the folded kernel, and the folded bias of shape (output channels,).

    Example:
        >>> import numpy as np
        >>> norm = layers.BatchNormalization(epsilon=0.0)
        >>> norm.build((None, 2))
        >>> _ = norm.moving_mean.assign([1.0, 2.0])
        >>> _, bias = folded(np.ones((3, 2)), None, norm, np.asarray, np)
        >>> bias.tolist()
        [-1.0, -2.0]

    Source: arXiv 1806.08342, section 3.2.
    """
    # Graph optimizers make an approximation of 1 / sqrt(x).
    factor = operations.sqrt(1.0 / (read(norm.moving_variance) + norm.epsilon))
    if norm.scale:
        factor = factor * read(norm.gamma)
    offset = -read(norm.moving_mean)
    if bias is not None:
        offset = offset + bias
    bias = offset * factor
    if norm.center:
        bias = bias + read(norm.beta)
    if factor.shape[0] != kernel.shape[-1]:
        # A depthwise kernel's output channel is its last two axes together.
        factor = operations.reshape(factor, kernel.shape[2:])
    return kernel * factor, bias


def normalized(
    norm: layers.BatchNormalization, x: KerasTensor, training: bool | None
) -> KerasTensor:
    """Calls a batch normalization that was built for vectors or for sequences on images of them.

    Args:
        norm: The batch normalization.
        x: Float tensor, channels last.
        training: Whether batch statistics are used.

    Returns:
        Float tensor of the shape of `x`.

    Example:
        >>> norm = layers.BatchNormalization()
        >>> norm.build((None, 4))
        >>> tuple(normalized(norm, ops.ones((2, 1, 1, 4)), False).shape)
        (2, 1, 1, 4)
    """
    more = 0 if not norm.built else len(x.shape) - norm.input_spec.ndim
    if more == 0:
        return batch_normalized(norm, x, training)
    axes = tuple(range(len(x.shape) - 1 - more, len(x.shape) - 1))
    return ops.expand_dims(norm(ops.squeeze(x, axes), training=training), axes)
