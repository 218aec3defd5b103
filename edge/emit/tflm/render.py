"""Renders the firmware sources of a model: text in memory, nothing is written here."""

from __future__ import annotations

from collections.abc import Sequence

from edge.catalog.boards import Board, core_flags
from edge.emit.c_text import DEFAULT_NAME, float_literal, named, string_literal, template
from edge.emit.camera.render import Camera, render_camera
from edge.emit.real_numbers import real_numbers
from edge.errors import ModelError
from edge.memory.arena import Arena
from edge.memory.greedy import ALIGNMENT, align_up
from edge.runtimes.tflm_operators import resolver_method
from edge.tflite.graph import Graph
from edge.tflite.requantization import scale_of, zero_point_of

FILES = (
    "model_data.h",
    "model_data.cc",
    "model_settings.h",
    "model_op_resolver.h",
    "model.h",
    "model.cc",
    "CMakeLists.txt",
)
BYTES_PER_ROW = 16
NODE_BYTES = 12
TENSOR_BYTES = 24
"""What `TfLiteNode` and `TfLiteTensor` are larger by, on a 32-bit core, without
`TF_LITE_STATIC_MEMORY`."""


def render(
    graph: Graph,
    board: Board,
    arena: Arena,
    *,
    labels: Sequence[str] | None = None,
    camera: Camera | None = None,
    extra_bytes: int = 0,
    name: str = DEFAULT_NAME,
) -> dict[str, str]:
    """Renders all source files of a model for a board.

    Args:
        graph: An int8 model with one input and one output.
        board: The board, for the compiler's options.
        arena: The tensor arena.
        labels: One name per output; their numbers if None.
        camera: The camera whose rows the emitted code fills the input from, if there is one.
        extra_bytes: What the arena gets on top, see `larger_record_bytes`.
        name: The name of the model, in small letters, digits and underscores.

    Returns:
        Text by file name.

    Raises:
        ModelError: If the labels are not as many as the outputs.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.memory.arena import tensor_arena
        >>> board = find_board("nucleo-f446re")
        >>> "kTensorArenaSize = 2560U" in render(graph, board, tensor_arena(graph, board))[
        ...     "model_settings.h"
        ... ]
        True
    """
    outputs = graph.output.element_count
    if labels is None:
        labels = [str(n) for n in range(outputs)]
    if len(labels) != outputs:
        raise ModelError(f"{len(labels)} labels for a model with {outputs} outputs.")
    values = {
        "banner": "Written by keras-mobilenet export; do not edit.",
        "board": board,
        "flags": core_flags(board),
        "arena": arena,
        "extra_bytes": extra_bytes,
        "labels": [string_literal(label) for label in labels],
        "is_camera": camera is not None,
        "real_numbers": real_numbers(graph, name),
        **_model_values(graph),
    }
    files = {} if camera is None else render_camera(camera, "tflm", name)
    return {
        named(file, name): template("edge.emit.tflm", file, name).render(values) for file in FILES
    } | files


def larger_record_bytes(graph: Graph) -> int:
    """By how much TFLite Micro's records may be larger than the arena was computed for.

    Zephyr and Arduino build TFLite Micro without `TF_LITE_STATIC_MEMORY`, which makes the records
    of an operator and of an input or output larger.

    Args:
        graph: The model.

    Returns:
        Bytes, a multiple of 16.

    Example:
        >>> larger_record_bytes(graph)
        160

    Source: TFLite Micro, `tensorflow/lite/core/c/common.h`.
    """
    tensors = len(graph.inputs) + len(graph.outputs)
    larger = NODE_BYTES * len(graph.operators) + TENSOR_BYTES * tensors
    return align_up(larger, ALIGNMENT) + ALIGNMENT


def _model_values(graph: Graph) -> dict[str, object]:
    return {
        "byte_count": graph.model_bytes,
        "sha256": graph.sha256,
        "digest": graph.sha256[:8],
        "rows": _rows(graph.content),
        "methods": [resolver_method(name) for name in graph.op_names()],
        "input_shape": graph.input.shape,
        "input_length": graph.input.element_count,
        "output_length": graph.output.element_count,
        "input_scale": float_literal(scale_of(graph.input)),
        "input_zero_point": zero_point_of(graph.input),
        "output_scale": float_literal(scale_of(graph.output)),
        "output_zero_point": zero_point_of(graph.output),
    }


def _rows(content: bytes) -> list[str]:
    return [
        " ".join(f"0x{byte:02x}," for byte in content[start : start + BYTES_PER_ROW])
        for start in range(0, len(content), BYTES_PER_ROW)
    ]
