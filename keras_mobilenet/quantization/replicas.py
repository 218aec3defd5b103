"""Extremes over the replicas of a distribution strategy, which only TensorFlow has."""

from __future__ import annotations

import keras
from keras import KerasTensor, ops


def over_replicas(
    batch_min: KerasTensor, batch_max: KerasTensor
) -> tuple[KerasTensor, KerasTensor]:
    """Finds the extremes of the whole batch where a distribution strategy has split it.

    JAX computes on the whole batch even where its arrays lie on several devices.

    Args:
        batch_min: The smallest value that this replica sees, a scalar tensor.
        batch_max: The largest value that this replica sees, a scalar tensor.

    Returns:
        `(batch_min, batch_max)` of the whole batch.

    Example:
        >>> [float(extreme) for extreme in over_replicas(ops.array(-1.0), ops.array(2.0))]
        [-1.0, 2.0]
    """
    if keras.backend.backend() != "tensorflow":
        return batch_min, batch_max
    import tensorflow as tf

    replicas = tf.distribute.get_replica_context()
    if replicas is None or replicas.num_replicas_in_sync == 1:
        return batch_min, batch_max
    extremes = replicas.all_gather(tf.stack([[batch_min, batch_max]]), axis=0)
    return ops.min(extremes[:, 0]), ops.max(extremes[:, 1])
