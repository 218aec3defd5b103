"""Renders the firmware sources of a model: text in memory, nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jinja2
import numpy as np

from edge.boards import Board
from edge.errors import ModelError
from edge.graph import Graph
from edge.plan.arena import Arena
from edge.tflm_ops import resolver_method

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


def core_flags(board: Board) -> list[str]:
    """gcc's options for a board's core.

    Args:
        board: The board.

    Returns:
        The options.

    Example:
        >>> from edge.boards import find_board
        >>> core_flags(find_board("nucleo-f446re"))
        ['-mcpu=cortex-m4', '-mthumb', '-mfloat-abi=hard', '-mfpu=fpv4-sp-d16']
    """
    flags = [f"-mcpu={board.core}", "-mthumb"]
    if board.fpu == "none":
        return [*flags, "-mfloat-abi=soft"]
    return [*flags, "-mfloat-abi=hard", f"-mfpu={board.fpu}"]


def render(
    graph: Graph, board: Board, arena: Arena, labels: Sequence[str] | None = None
) -> dict[str, str]:
    """Renders all source files of a model for a board.

    Args:
        graph: An int8 model with one input and one output.
        board: The board, for the compiler's options.
        arena: The tensor arena.
        labels: One name per output; their numbers if None.

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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge.emit.tflm"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    values = _values(graph, board, arena, labels)
    return {name: environment.get_template(f"{name}.j2").render(values) for name in FILES}


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
        "labels": [_string_literal(label) for label in labels],
    }


def _rows(content: bytes) -> list[str]:
    return [
        " ".join(f"0x{byte:02x}," for byte in content[start : start + BYTES_PER_ROW])
        for start in range(0, len(content), BYTES_PER_ROW)
    ]


def float_literal(value: float) -> str:
    """A float32 as C: nine significant digits give back the same number.

    Args:
        value: The number.

    Returns:
        The literal.

    Example:
        >>> float_literal(0.1), float_literal(2)
        ('0.100000001F', '2.0F')
    """
    text = f"{np.float32(value):.9g}"
    return f"{text}F" if any(c in text for c in ".en") else f"{text}.0F"


def _string_literal(text: str) -> str:
    """A C string literal; other than printable ASCII as octal escapes of UTF-8."""
    escaped = (
        f"\\{byte:03o}" if byte < 32 or byte > 126 or byte in b'"\\?' else chr(byte)
        for byte in text.encode("utf-8")
    )
    return '"' + "".join(escaped) + '"'
