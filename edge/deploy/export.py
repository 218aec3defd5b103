"""From a model to firmware sources for a named board, if it fits."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import model_name, read_model
from edge.deploy.budget import Budget, Item, require_fit
from edge.emit.camera.render import CODE_BYTES, Camera, camera_for
from edge.emit.tflm.render import render
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import NoArenaRuleError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system.files import write_files
from edge.tflite.graph import Graph
from edge.tflite.validate import require_int8

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Export:
    """What an export wrote and what it will take.

    Attributes:
        graph: The int8 model.
        board: The board.
        budget: Flash and RAM.
        folder: Where the files are.
        files: Their names.
        camera: What turns a camera's rows into the model's; None if none was asked for.
    """

    graph: Graph
    board: Board
    budget: Budget
    folder: pathlib.Path
    files: tuple[str, ...]
    camera: Camera | None = None


def export(
    model_or_tflite: Any,
    board: str = "nucleo-f446re",
    out_dir: str | os.PathLike = "firmware",
    representative_data: Any = None,
    labels: Sequence[str] | None = None,
    offline_plan: bool = True,
    camera: str | None = None,
    camera_width: int | None = None,
    camera_height: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Export:
    """Writes C++ sources that run a model on TFLite Micro.

    Nothing is written unless the model fits the board, and a file is replaced only when all are
    ready.

    Args:
        model_or_tflite: A Keras model, a path to a `.keras` or int8 `.tflite` file, or a .tflite's
            bytes.
        board: The board's name.
        out_dir: Folder to write to; made if it is not there.
        representative_data: For a Keras model that is not quantization-aware, see `edge.convert`.
        labels: One name per output of the model; their numbers if None.
        offline_plan: Whether to write the smallest memory plan into the model where it beats
            TFLite Micro's own; unmodified TFLite Micro obeys it, and computes the same bytes. A
            plan that the model brings is kept.
        camera: Pixel format of a camera, one of `CAMERA_FORMATS`, for C that
            fills the model's input from its rows as the model was trained.
        camera_width: Of the camera's frames, in pixels.
        camera_height: Of the camera's frames, in pixels.
        preprocessing: For a model that does not say what it was trained with.

    Returns:
        The `Export`.

    Raises:
        DoesNotFitError: If the board's flash or RAM is too small.
        EdgeError: If the model cannot be read or converted, the board is unknown, the folder
            cannot be written, or the camera does not go with the model.

    Example:
        >>> export("model.tflite", "nucleo-f446re", "firmware").files[:2]
        ('model_data.h', 'model_data.cc')
    """
    target = find_board(board)
    where = model_name(model_or_tflite)
    graph = read_model(model_or_tflite, representative_data)
    require_tflm_operators(graph, where)
    require_int8(graph, where)
    source = camera_for(graph, camera, camera_width, camera_height, preprocessing)
    predicted = None
    if offline_plan and graph.offline_offsets is None:
        with contextlib.suppress(NoArenaRuleError):
            planned = planned_model(graph)
            graph, predicted = planned.graph, planned.arena
    more = () if source is None else _camera_items(source)
    fit = require_fit(graph, target, where, more, predicted=predicted)
    texts = render(graph, target, fit.arena, labels, source)
    folder = pathlib.Path(out_dir)
    write_files(folder, {name: text.encode("utf-8") for name, text in texts.items()})
    return Export(graph, target, fit, folder, tuple(texts), source)


def _camera_items(camera: Camera) -> tuple[Item, ...]:
    return (
        Item("flash", "camera: tables", camera.tables_bytes, "exact"),
        Item("flash", "camera: code", CODE_BYTES, "measured, at most"),
        Item("RAM", "camera: state, a row", camera.ram_bytes, "exact"),
    )
