"""Writes a memory plan into a .tflite, where stock TFLite Micro reads it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.tflite.metadata import with_metadata
from edge.tflite.reader import OFFLINE_PLAN_NAME

PLAN_VERSION = 1
SUBGRAPH = 0


def with_offline_plan(content: bytes, offsets: Sequence[int]) -> bytes:
    """Adds a memory plan to a .tflite; one that is already there is replaced.

    Args:
        content: The file's bytes.
        offsets: An offset in the arena per tensor; -1 leaves it to TFLite Micro's own planner.

    Returns:
        The new file's bytes: the same network, the same weights.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> from edge.tflite.reader import read_graph
        >>> offsets = [-1] * len(graph.tensors)
        >>> len(read_graph(with_offline_plan(graph.content, offsets)).offline_offsets)
        17

    Source: tflite-micro, docs/memory_management.md, "Offline planned tensor allocations".
    """
    table = np.array([PLAN_VERSION, SUBGRAPH, len(offsets), *offsets], "<i4")
    return with_metadata(content, OFFLINE_PLAN_NAME, table.tobytes(), "a memory plan")
