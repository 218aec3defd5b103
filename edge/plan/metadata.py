"""Writes a memory plan into a .tflite, where stock TFLite Micro reads it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.graph import FILE_IDENTIFIER, OFFLINE_PLAN_NAME

PLAN_VERSION = 1
SUBGRAPH = 0
BUFFER_ALIGNMENT = 16


class _AlignedBuffer(schema.BufferT):
    """A buffer whose data starts on a multiple of 16, as the schema's `force_align` asks."""

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the generated code's name
        if self.data is None or len(self.data) == 0:
            return super().Pack(builder)
        content = np.asarray(self.data, np.uint8).tobytes()
        builder.StartVector(1, len(content), BUFFER_ALIGNMENT)
        start = builder.Head() - len(content)
        builder.Bytes[start : start + len(content)] = content
        builder.head = start
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


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
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    table = [PLAN_VERSION, SUBGRAPH, len(offsets), *offsets]
    for buffer in model.buffers:
        buffer.__class__ = _AlignedBuffer
    buffer = _AlignedBuffer()
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
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
