"""Extremes over the replicas of a distribution strategy, which only TensorFlow has."""

from __future__ import annotations

import keras
from keras import KerasTensor, ops


def has_replicas() -> bool:
    """Tells whether a distribution strategy splits the batch here.

    Returns:
        Whether this is one of several replicas.

    Example:
        >>> has_replicas()
        False
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    replicas = tf.distribute.get_replica_context()
    return replicas is not None and replicas.num_replicas_in_sync > 1


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
    if not has_replicas():
        return batch_min, batch_max
    import tensorflow as tf

    extremes = tf.distribute.get_replica_context().all_gather(
        tf.stack([[batch_min, batch_max]]), axis=0
    )
    return ops.min(extremes[:, 0]), ops.max(extremes[:, 1])
