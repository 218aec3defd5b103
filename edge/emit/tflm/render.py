"""Renders the firmware sources of a model: text in memory, nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.catalog.boards import Board, core_flags
from edge.emit.c_text import float_literal, string_literal, template
from edge.emit.camera.render import Camera, render_camera
from edge.errors import ModelError
from edge.memory.arena import Arena
from edge.runtimes.tflm_operators import resolver_method
from edge.tflite.graph import Graph

FILES = (
    "model_data.h",
    "model_data.cc",
    "model_settings.h",
    "op_resolver.h",
    "inference.h",
    "inference.cc",
    "CMakeLists.txt",
)
BYTES_PER_ROW = 16


def render(
    graph: Graph,
    board: Board,
    arena: Arena,
    labels: Sequence[str] | None = None,
    camera: Camera | None = None,
) -> dict[str, str]:
    """Renders all source files of a model for a board.

    Args:
        graph: An int8 model with one input and one output.
        board: The board, for the compiler's options.
        arena: The tensor arena.
        labels: One name per output; their numbers if None.
        camera: If given, the code that fills the input from its rows.

    Returns:
        Text by file name.

    Raises:
        ModelError: If the labels are not as many as the outputs.

    Example:
        >>> sorted(FILES)[0]
        'CMakeLists.txt'
    """
    outputs = graph.output.element_count
    if labels is None:
        labels = [str(n) for n in range(outputs)]
    if len(labels) != outputs:
        raise ModelError(f"{len(labels)} labels for a model with {outputs} outputs.")
    files = {} if camera is None else render_camera(camera, "tflm")
    values = {**_values(graph, board, arena, labels), "is_camera": camera is not None}
    return {name: template("edge.emit.tflm", name).render(values) for name in FILES} | files


def _values(
    graph: Graph, board: Board, arena: Arena, labels: Sequence[str]
) -> Mapping[str, object]:
    source, result = graph.input.quantization, graph.output.quantization
    assert source is not None, "require_int8 comes first"
    assert result is not None, "require_int8 comes first"
    return {
        "banner": "Written by keras-mobilenet export; do not edit.",
        "board": board,
        "flags": core_flags(board),
        "arena": arena,
        "model_bytes": graph.model_bytes,
        "sha256": graph.sha256,
        "rows": _rows(graph.content),
        "methods": [resolver_method(name) for name in graph.op_names()],
        "input_shape": graph.input.shape,
        "input_length": graph.input.element_count,
        "output_length": graph.output.element_count,
        "input_scale": float_literal(source.scales[0]),
        "input_zero_point": source.zero_points[0],
        "output_scale": float_literal(result.scales[0]),
        "output_zero_point": result.zero_points[0],
        "labels": [string_literal(label) for label in labels],
    }


def _rows(content: bytes) -> list[str]:
    return [
        " ".join(f"0x{byte:02x}," for byte in content[start : start + BYTES_PER_ROW])
        for start in range(0, len(content), BYTES_PER_ROW)
    ]
