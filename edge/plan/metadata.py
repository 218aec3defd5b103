"""Writes a memory plan into a .tflite, where stock TFLite Micro reads it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.graph import OFFLINE_PLAN_NAME
from edge.tflite_file import AlignedBuffer, pack, unpack

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
        >>> with_offline_plan(tflite, offsets)  # doctest: +SKIP

    Source: tflite-micro, docs/memory_management.md, "Offline planned tensor allocations".
    """
    try:
        return _rewritten(content, offsets)
    # Parts of the file that nothing else reads may be damaged: any failure is the file's.
    except Exception as error:
        raise ModelError(
            f"The model is damaged: a memory plan cannot be written into it "
            f"({type(error).__name__})."
        ) from error


def _rewritten(content: bytes, offsets: Sequence[int]) -> bytes:
    model = unpack(content)
    table = [PLAN_VERSION, SUBGRAPH, len(offsets), *offsets]
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(np.array(table, "<i4").tobytes(), np.uint8)
    entry = next((m for m in model.metadata or [] if m.name == OFFLINE_PLAN_NAME), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name = OFFLINE_PLAN_NAME
        entry.buffer = len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    else:
        model.buffers[entry.buffer] = buffer
    return pack(model)
