"""Mends a known harmless flaw: scales along an axis that the tensor does not have."""

from __future__ import annotations

import struct
from typing import Any

QUANTIZED_DIMENSION_SLOT = 16
"""Where `QuantizationParameters` keeps `quantized_dimension`: 4 + 2 * its number in the schema."""


def without_stray_axes(content: bytes, subgraph: Any) -> bytes:
    """Sets `quantized_dimension` to 0 where it can mean nothing else.

    Those are tensors of one axis, and tensors of one scale. Old converters gave a bias the axis of
    its kernel, as in TFLite Micro's own person detector: TFLite Micro ignores it, LiteRT refuses
    the file.

    Args:
        content: The bytes of a .tflite file.
        subgraph: The schema's `SubGraph` within them.

    Returns:
        The bytes, the same but for these axes.

    Example:
        >>> from ai_edge_litert import schema_py_generated as schema
        >>> subgraph = schema.Model.GetRootAs(graph.content, 0).Subgraphs(0)
        >>> without_stray_axes(graph.content, subgraph) == graph.content
        True

    Source: `QuantizationParameters` in schema.fbs version 3.
    """
    mended: bytearray | None = None
    for number in range(subgraph.TensorsLength()):
        tensor = subgraph.Tensors(number)
        quantization, rank = tensor.Quantization(), tensor.ShapeLength()
        if quantization is None or rank == 0:
            continue
        is_alone = rank == 1 or quantization.ScaleLength() == 1
        if is_alone and not 0 <= quantization.QuantizedDimension() < rank:
            table = quantization._tab
            position = table.Pos + table.Offset(QUANTIZED_DIMENSION_SLOT)
            mended = mended or bytearray(content)
            struct.pack_into("<i", mended, position, 0)
    return content if mended is None else bytes(mended)
