"""Reads and writes the named entries that a .tflite file carries beside its network."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.tflite.writer import AlignedBuffer, pack, unpack


def with_metadata(content: bytes, name: bytes, data: bytes, what: str) -> bytes:
    """Adds an entry to a .tflite; one of the same name is replaced, others stay.

    Args:
        content: The file's bytes.
        name: The entry's name.
        data: The entry's bytes.
        what: What the entry is, for the message.

    Returns:
        The new file's bytes: the same network, the same weights.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> metadata(with_metadata(graph.content, b"author", b"me", "an author"), b"author")
        b'me'
    """
    try:
        return _rewritten(content, name, data)
    # Parts of the file that nothing else reads may be damaged: any failure is the file's.
    except Exception as error:
        raise ModelError(
            f"The model is damaged: {what} cannot be written into it ({type(error).__name__})."
        ) from error


def metadata(content: bytes, name: bytes) -> bytes | None:
    """Reads an entry of a .tflite.

    Args:
        content: The file's bytes.
        name: The entry's name.

    Returns:
        The entry's bytes; None if there is no such entry.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> metadata(graph.content, b"author") is None
        True
    """
    try:
        model = schema.Model.GetRootAs(content, 0)
        for n in range(model.MetadataLength()):
            entry = model.Metadata(n)
            if entry.Name() == name:
                buffer = model.Buffers(entry.Buffer())
                return b"" if buffer.DataLength() == 0 else buffer.DataAsNumpy().tobytes()
    except Exception as error:
        raise ModelError(
            f"The model is damaged: {type(error).__name__} while reading its metadata."
        ) from error
    return None


def _rewritten(content: bytes, name: bytes, data: bytes) -> bytes:
    model = unpack(content)
    buffer = AlignedBuffer()
    buffer.data = np.frombuffer(data, np.uint8)
    entry = next((m for m in model.metadata or [] if m.name == name), None)
    if entry is None:
        entry = schema.MetadataT()
        entry.name = name
        entry.buffer = len(model.buffers)
        model.buffers.append(buffer)
        model.metadata = [*(model.metadata or []), entry]
    else:
        model.buffers[entry.buffer] = buffer
    return pack(model)
