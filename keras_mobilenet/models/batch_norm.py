"""Batch normalization in one pass, where TensorFlow has a kernel for it."""

from __future__ import annotations

from keras import KerasTensor, backend, layers


def batch_normalized(
    norm: layers.BatchNormalization, x: KerasTensor, training: bool | None
) -> KerasTensor:
    """Calls a batch normalization; in training on TensorFlow, with its fused kernel.

    Keras 3 computes mean, variance and quotient one after the other, each with a pass over the
    tensor and another for the gradient: three times the time of the fused kernel on a CPU, and
    half of a small network's step. The results differ in their last bits.

    Args:
        norm: The batch normalization, built.
        x: Float tensor, of any shape that `norm` takes.
        training: Whether batch statistics are used.

    Returns:
        Float tensor of the shape of `x`. In training, the moving statistics have followed.

    Example:
        >>> import keras
        >>> norm = layers.BatchNormalization()
        >>> norm.build((None, 1, 1, 4))
        >>> tuple(batch_normalized(norm, keras.ops.ones((2, 1, 1, 4)), True).shape)
        (2, 1, 1, 4)
    """
    if not (training and norm.trainable and _is_fusable(norm, x)):
        return norm(x, training=training)
    import tensorflow as tf

    channels = x.shape[-1]
    outputs, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x,
        tf.convert_to_tensor(norm.gamma) if norm.scale else tf.ones(channels),
        tf.convert_to_tensor(norm.beta) if norm.center else tf.zeros(channels),
        epsilon=norm.epsilon,
    )
    # The kernel returns an estimate for the whole population, Keras keeps the batch's own.
    count = tf.cast(tf.size(x) // channels, tf.float32)
    variance = variance * ((count - 1.0) / count)
    for moving, of_batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + of_batch * (1.0 - norm.momentum))
    return outputs


def _is_fusable(norm: layers.BatchNormalization, x: KerasTensor) -> bool:
    """Whether the kernel computes what the layer would."""
    return (
        backend.backend() == "tensorflow"
        and type(norm) is layers.BatchNormalization
        and norm.built
        and not norm.synchronized
        and not getattr(norm, "renorm", False)
        and norm.compute_dtype == "float32"
        and len(x.shape) == 4
        and norm.axis in (-1, 3)
        and x.dtype == "float32"
    )
