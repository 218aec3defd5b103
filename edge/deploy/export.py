"""From a model to sources for a runtime, in the shape of an ecosystem."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import message_name, model_name, read_model
from edge.deploy.budget import Budget, Item, require_fit
from edge.emit.camera.render import CODE_BYTES, Camera, camera_for
from edge.emit.packages.contents import engine_contents, tflm_contents
from edge.emit.packages.names import PackageName, package_name
from edge.emit.packages.pack import pack_file
from edge.emit.packages.render import SHAPES, instruction_sets, render_package
from edge.emit.tflm.render import larger_record_bytes, render
from edge.engine.compile import Engine, compile_engines
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import NoArenaRuleError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system.files import output_folder, write_files
from edge.tflite.graph import Graph

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

TFLM_BOARD = "nucleo-f446re"
TFLM_FOLDER = "firmware"


@dataclasses.dataclass(frozen=True)
class Export:
    """What an export wrote and what it will take.

    Attributes:
        graph: The int8 model: for TFLite Micro with its memory plan, for the engine as the file
            has it.
        folder: The folder of the files.
        files: The paths of the files below the folder.
        runtime: What runs the model, `"tflm"` or `"engine"`.
        shape: The ecosystem, one of `SHAPES`.
        name: The model's name, which the package, its files and all names in C bear.
        board: The board that the sources are for; None for the engine on any core.
        budget: The flash and RAM of the board that TFLite Micro takes; None for the engine.
        camera: The code that turns a camera's rows into the model's; None if none was asked for.
        engines: The schedule, memory plan and packed weights by instruction set; empty for
            TFLite Micro.
    """

    graph: Graph
    folder: pathlib.Path
    files: tuple[str, ...]
    runtime: str
    shape: str
    name: PackageName
    board: Board | None = None
    budget: Budget | None = None
    camera: Camera | None = None
    engines: dict[str, Engine] = dataclasses.field(default_factory=dict)


def export(
    model: Any,
    board: str | Board | None = None,
    out_dir: str | os.PathLike | None = None,
    *,
    runtime: str = "tflm",
    shape: str = "cmake",
    name: str | None = None,
    representative_dataset: Any = None,
    labels: Sequence[str] | None = None,
    offline_plan: bool = True,
    camera: str | None = None,
    camera_width: int | None = None,
    camera_height: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Export:
    """Writes sources that run a model on TFLite Micro or on the engine.

    Nothing is written unless the model fits the board, and a file is replaced only when all are
    ready.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        board: The board or its name. TFLite Micro's memory is budgeted for it, `"nucleo-f446re"`
            if None. The engine's sources hold the kernels of its core, or those of all cores that
            the shape supports if None.
        out_dir: The folder to write to, which is made if it is not there; its other files stay.
            `"firmware"` for TFLite Micro with CMake and the package's name otherwise, if None.
        runtime: `"tflm"` for C++ that runs the model on TFLite Micro, or `"engine"` for plain C.
        shape: The ecosystem that the folder is for: `"cmake"`, `"arduino"`, `"esp-idf"`,
            `"zephyr"`, `"platformio"` or `"cmsis-pack"`.
        name: The name that the package, its files and all names in C begin with, so that several
            models go into one program; the model's, or its file's, if None.
        representative_dataset: Typical inputs for a Keras model that is not quantization-aware, in
            any form that `edge.convert` takes.
        labels: One name per output of the model; their numbers if None. TFLite Micro only.
        offline_plan: Whether to write the smallest memory plan into the model where it beats
            TFLite Micro's own; unmodified TFLite Micro obeys it, and computes the same bytes. A
            plan that the model brings is kept. TFLite Micro only.
        camera: The pixel format of a camera, one of `CAMERA_FORMATS`, for C that fills the model's
            input from its rows as the model was trained. TFLite Micro only.
        camera_width: The width of the camera's frames, in pixels.
        camera_height: The height of the camera's frames, in pixels.
        preprocessing: The preprocessing of a model that does not say what it was trained with.

    Returns:
        The `Export`.

    Raises:
        DoesNotFitError: If the board's flash or RAM is too small.
        EdgeError: If the model cannot be read or converted, the runtime has no kernel for an
            operator, there is no such board, runtime or shape, an option does not go with the
            runtime, the folder cannot be written, or the camera does not go with the model.

    Example:
        >>> export("model.tflite", "nucleo-f446re", "firmware").files[:2]
        ('model_data.h', 'model_data.cc')
        >>> export("model.tflite", runtime="engine", shape="arduino").files[0]
        'src/model_mve.c'
    """
    _require_known(runtime, shape)
    target = None if board is None else find_board(board)
    spelled = name_of(model, name)
    if runtime == "engine":
        _refuse_tflm_options(
            labels=labels,
            offline_plan=None if offline_plan else False,
            camera=camera,
            camera_width=camera_width,
            camera_height=camera_height,
            preprocessing=preprocessing,
        )
        graph = read_model(model, representative_dataset)
        return _export_engine(graph, target, out_dir, shape, spelled)
    graph = read_model(model, representative_dataset)
    source = camera_for(graph, camera, camera_width, camera_height, preprocessing)
    return _export_tflm(
        graph,
        message_name(model),
        find_board(TFLM_BOARD) if target is None else target,
        out_dir=out_dir,
        shape=shape,
        name=spelled,
        labels=labels,
        offline_plan=offline_plan,
        camera=source,
    )


def _require_known(runtime: str, shape: str) -> None:
    if runtime not in ("tflm", "engine"):
        raise EdgeError(f"Unknown runtime {runtime!r}; there are tflm and engine.")
    if shape == "stm32cube":
        raise EdgeError(
            "STM32CubeIDE takes the package of `cmake`, whose README.md says how, or `cmsis-pack`."
        )
    if shape not in SHAPES:
        raise EdgeError(f"Unknown shape {shape!r}; there are {', '.join(SHAPES)}.")


def _refuse_tflm_options(**options: object) -> None:
    given = [option for option, value in options.items() if value is not None]
    if given:
        raise EdgeError(
            f"The engine's sources take no {' and no '.join(given)}: leave it out, or choose the "
            "runtime tflm."
        )


def name_of(model: Any, name: str | None) -> PackageName:
    """The name that a model bears in C and as a package.

    Args:
        model: A Keras model, the path of a file, the bytes of a .tflite, or a `Graph`.
        name: The name that somebody chose; the model's, or its file's, if None.

    Returns:
        The `PackageName`.

    Raises:
        EdgeError: If no name can be made of it.

    Example:
        >>> name_of("models/vww 96.tflite", None).snake
        'vww_96'
    """
    if name is None:
        name = model_name(model)
        if isinstance(model, (str, os.PathLike)):
            name = pathlib.Path(name).stem
    return package_name(name)


def _export_engine(
    graph: Graph,
    board: Board | None,
    out_dir: str | os.PathLike | None,
    shape: str,
    name: PackageName,
) -> Export:
    sets = instruction_sets(shape)
    if board is not None:
        if instruction_set(board) not in sets:
            raise EdgeError(
                f"{board.name} runs {instruction_set(board)} kernels, which {shape} does not "
                "take: leave out the board."
            )
        sets = (instruction_set(board),)
    engines = compile_engines(graph, sets)
    texts = render_package(shape, name, engine_contents(engines, name.snake))
    folder = _folder(out_dir, shape, name)
    return Export(
        graph=graph,
        folder=folder,
        files=_written(folder, shape, name, texts),
        runtime="engine",
        shape=shape,
        board=board,
        engines=engines,
        name=name,
    )


def _export_tflm(
    graph: Graph,
    where: str,
    board: Board,
    *,
    out_dir: str | os.PathLike | None,
    shape: str,
    name: PackageName,
    labels: Sequence[str] | None,
    offline_plan: bool,
    camera: Camera | None,
) -> Export:
    require_tflm_operators(graph, where)
    predicted = None
    if offline_plan and graph.offline_offsets is None:
        with contextlib.suppress(NoArenaRuleError):
            planned = planned_model(graph)
            graph, predicted = planned.graph, planned.arena
    more = () if camera is None else _camera_items(camera)
    # The CMake project sets TF_LITE_STATIC_MEMORY, ecosystems may not.
    extra = 0 if shape == "cmake" else larger_record_bytes(graph)
    if extra:
        more += (Item("RAM", "tensor arena: larger records", extra, "at most"),)
    fit = require_fit(graph, board, where=where, more=more, predicted=predicted)
    texts = render(
        graph, board, fit.arena, labels=labels, camera=camera, extra_bytes=extra, name=name.snake
    )
    folder = output_folder(TFLM_FOLDER if out_dir is None else out_dir)
    if shape != "cmake":
        contents = tflm_contents(
            graph,
            texts,
            flash_bytes=fit.flash_bytes,
            ram_bytes=fit.ram_bytes,
            name=name.snake,
        )
        texts = render_package(shape, name, contents)
        folder = _folder(out_dir, shape, name)
    return Export(
        graph=graph,
        folder=folder,
        files=_written(folder, shape, name, texts),
        runtime="tflm",
        shape=shape,
        board=board,
        budget=fit,
        camera=camera,
        name=name,
    )


def _folder(out_dir: str | os.PathLike | None, shape: str, name: PackageName) -> pathlib.Path:
    default = name.camel if shape in ("arduino", "platformio", "cmsis-pack") else name.snake
    return output_folder(default if out_dir is None else out_dir)


def _written(
    folder: pathlib.Path, shape: str, name: PackageName, texts: dict[str, str]
) -> tuple[str, ...]:
    files = {path: text.encode("utf-8") for path, text in texts.items()}
    if shape == "cmsis-pack":
        files |= pack_file(name, files)
    write_files(folder, files)
    return tuple(files)


def _camera_items(camera: Camera) -> tuple[Item, ...]:
    return (
        Item("flash", "camera: tables", camera.tables_bytes, "exact"),
        Item("flash", "camera: code", CODE_BYTES, "measured, at most"),
        Item("RAM", "camera: state, a row", camera.ram_bytes, "exact"),
    )
