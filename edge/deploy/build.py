"""From a model to a firmware image that runs it on the engine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import read_model
from edge.deploy.export import name_of
from edge.emit.camera.render import Camera, camera_for
from edge.emit.packages.names import PackageName
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.errors import DoesNotFitError, EdgeError
from edge.firmware.build import BuildError, Firmware
from edge.firmware.flash.firmware_files import firmware_contents
from edge.firmware.image import build_image
from edge.firmware.render import STACK_BYTES
from edge.system.files import output_folder, write_files
from edge.tflite.graph import Graph

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing


@dataclasses.dataclass(frozen=True)
class Build:
    """A firmware that was built, and what it takes.

    Attributes:
        graph: The int8 model, as the file has it.
        board: The board.
        engine: Schedule, memory plan and packed weights.
        firmware: The image, measured.
        folder: Where the files are.
        name: The model's name, which all its names in C begin with.
        camera: The code that turns a camera's rows into the model's; None without a camera.
    """

    graph: Graph
    board: Board
    engine: Engine
    firmware: Firmware
    folder: pathlib.Path
    name: PackageName
    camera: Camera | None = None

    @property
    def flash_bytes(self) -> int:
        """The flash that the image takes, in bytes."""
        return self.firmware.flash_bytes

    @property
    def ram_bytes(self) -> int:
        """The RAM of state, buffers and the whole stack that is set aside, in bytes."""
        return self.firmware.static_ram_bytes + STACK_BYTES


def build(
    model: Any,
    board: str | Board = "nucleo-f446re",
    out_dir: str | os.PathLike = "firmware",
    *,
    name: str | None = None,
    representative_dataset: Any = None,
    is_frame: bool = False,
    ram_bytes: int | None = None,
    camera: str | None = None,
    camera_width: int | None = None,
    camera_height: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Build:
    """Writes and compiles a firmware that runs a model without TFLite Micro.

    RAM holds a few rows of each tensor; the output is that of LiteRT's reference kernels, byte for
    byte. Nothing is written unless it compiles and fits.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        board: The name of a board, or a `Board`.
        out_dir: The folder for sources and images; made if it is not there.
        name: The name that the model's files and all its names in C begin with; the model's, or its
            file's, if None.
        representative_dataset: Typical inputs for a Keras model that is not quantization-aware, as
            `edge.convert` takes them.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        ram_bytes: If given, the state's memory may take this much to save copying rows.
        camera: The pixel format of a camera, one of `CAMERA_FORMATS`: the firmware takes its rows,
            and preprocesses them as the model was trained.
        camera_width: The width of the camera's frames, in pixels.
        camera_height: The height of the camera's frames, in pixels.
        preprocessing: The preprocessing of a model that does not say what it was trained with.

    Returns:
        The `Build`.

    Raises:
        DoesNotFitError: If the board's flash or RAM is too small.
        MissingToolError: If CMake or arm-none-eabi-gcc is not installed.
        EdgeError: If the engine has no kernel for an operator, the board is unknown, the folder
            cannot be written, or the camera does not go with the model.

    Example:
        >>> built = build("model.tflite", "micro:bit v2", "firmware")
        >>> built.engine.state_bytes, built.firmware.weights_bytes
        (448, 1428)
    """
    target, folder = find_board(board), output_folder(out_dir)
    spelled = name_of(model, name)
    graph = read_model(model, representative_dataset)
    source = camera_for(graph, camera, camera_width, camera_height, preprocessing)
    if source is not None and is_frame:
        raise EdgeError("A camera's rows go into the model one by one: leave out the whole frame.")
    engine = compile_engine(graph, instruction_set(target), ram_bytes)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as temporary:
        work = pathlib.Path(temporary)
        with fitting(target, graph):
            firmware = build_image(
                engine, target, work, is_frame=is_frame, camera=source, name=spelled.snake
            )
        images = firmware_contents(work / "build", target, graph.file_sha256)
        sources = {path.name: path.read_bytes() for path in work.iterdir() if path.is_file()}
        write_files(folder, sources | images)
    firmware = dataclasses.replace(firmware, elf=folder / "firmware.elf")
    return Build(
        graph=graph,
        board=target,
        engine=engine,
        firmware=firmware,
        folder=folder,
        camera=source,
        name=spelled,
    )


@contextlib.contextmanager
def fitting(board: Board, graph: Graph) -> Iterator[None]:
    """Says what memory of a board is too small, where the linker finds that one is.

    Args:
        board: The board.
        graph: The int8 model, as the file has it.

    Yields:
        Nothing.

    Raises:
        DoesNotFitError: In place of the linker's `BuildError`.

    Example:
        >>> with fitting(find_board("nucleo-f446re"), graph):
        ...     raise BuildError("region `RAM' overflowed by 16 bytes")
        Traceback (most recent call last):
        edge.errors.DoesNotFitError: The firmware does not fit ...: RAM of ... is over by 16.
    """
    try:
        yield
    except BuildError as error:
        over = re.search(r"region `(FLASH|RAM)' overflowed by (\d+) bytes", str(error))
        if over is None:
            raise
        memory, has = {
            "FLASH": ("flash", max(bank.bytes for bank in board.flash)),
            "RAM": ("RAM", board.largest_ram_bank.bytes),
        }[over.group(1)]
        raise DoesNotFitError(
            f"The firmware does not fit {board.name}: {memory} of {has:,} bytes is over by "
            f"{int(over.group(2)):,}.",
            None,
            graph,
        ) from None
