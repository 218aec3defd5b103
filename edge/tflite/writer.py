"""Writes a .tflite from the schema's objects."""

from __future__ import annotations

from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.tflite.reader import FILE_IDENTIFIER

BUFFER_ALIGNMENT = 16


class AlignedBuffer(schema.BufferT):
    """A buffer whose data starts on a multiple of 16, as the schema's `force_align` asks."""

    def Pack(self, builder: Any) -> int:  # noqa: N802 - the generated code's name
        """Writes the buffer into a file that is being built.

        Args:
            builder: A `flatbuffers.Builder`.

        Returns:
            The table's offset, as the schema's generated code returns it.
        """
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


def unpack(content: bytes) -> schema.ModelT:
    """Reads a .tflite into objects that can be changed.

    Args:
        content: The file's bytes.

    Returns:
        The schema's model.

    Example:
        >>> len(unpack(graph.content).subgraphs[0].operators)
        7
    """
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        buffer.__class__ = AlignedBuffer
    return model


def pack(model: schema.ModelT) -> bytes:
    """Writes the objects as a file again.

    Args:
        model: The schema's model, as `unpack` returns it; new buffers are `AlignedBuffer`.

    Returns:
        The file's bytes.

    Example:
        >>> from edge.tflite.reader import read_graph
        >>> read_graph(pack(unpack(graph.content))).op_names() == graph.op_names()
        True
    """
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(size + 4096)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())
