"""From a model to a firmware image that runs it on the engine."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import tempfile
from typing import TYPE_CHECKING, Any

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import read_model
from edge.emit.camera.render import Camera, camera_for
from edge.engine.compile import Engine, engine_for
from edge.errors import DoesNotFitError, EdgeError
from edge.firmware.build import BuildError, Firmware, build_firmware
from edge.firmware.render import STACK_BYTES, render_firmware
from edge.system.files import write_files
from edge.tflite.graph import Graph
from edge.tflite.validate import require_int8

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

IMAGES = ("firmware.elf", "firmware.bin", "firmware.hex")


@dataclasses.dataclass(frozen=True)
class Build:
    """A firmware that was built, and what it takes.

    Attributes:
        graph: The int8 model, as the file has it.
        board: The board.
        engine: Schedule, memory plan and packed weights.
        firmware: The image, measured.
        folder: Where the files are.
        camera: What turns a camera's rows into the model's; None if none was asked for.
    """

    graph: Graph
    board: Board
    engine: Engine
    firmware: Firmware
    folder: pathlib.Path
    camera: Camera | None = None

    @property
    def flash_bytes(self) -> int:
        """What the image takes of the flash."""
        return self.firmware.flash_bytes

    @property
    def ram_bytes(self) -> int:
        """State, buffers and the whole stack that is set aside."""
        return self.firmware.static_ram_bytes + STACK_BYTES


def build(
    model_or_tflite: Any,
    board: str = "nucleo-f446re",
    out_dir: str | os.PathLike = "firmware",
    is_frame: bool = False,
    ram_bytes: int | None = None,
    camera: str | None = None,
    camera_width: int | None = None,
    camera_height: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Build:
    """Writes and compiles a firmware that runs a model without TFLite Micro.

    Rows flow through ring buffers, so that RAM holds a fraction of the tensors; the bytes that come
    out are those of LiteRT's reference kernels. Nothing is written unless it compiles and fits.

    Args:
        model_or_tflite: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's
            bytes, or a `Graph`.
        board: The board's name.
        out_dir: Folder to write sources and images to; made if it is not there.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        ram_bytes: If given, the state's memory may take this much to save copying rows.
        camera: Pixel format of a camera, one of `CAMERA_FORMATS`: the
            firmware takes its rows, and preprocesses them as the model was trained.
        camera_width: Of the camera's frames, in pixels.
        camera_height: Of the camera's frames, in pixels.
        preprocessing: For a model that does not say what it was trained with.

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
        (440, 1408)
    """
    target = find_board(board)
    graph = read_model(model_or_tflite)
    require_int8(graph)
    source = camera_for(graph, camera, camera_width, camera_height, preprocessing)
    if source is not None and is_frame:
        raise EdgeError("A camera's rows go into the model one by one: leave out the whole frame.")
    engine = engine_for(graph, target, ram_bytes)
    texts = render_firmware(engine, target, is_frame=is_frame, camera=source)
    folder = pathlib.Path(out_dir)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        work = pathlib.Path(name)
        for file, text in texts.items():
            (work / file).write_text(text, "utf-8")
        try:
            firmware = build_firmware(work)
        except BuildError as error:
            _raise_misfit(str(error), target, graph)
            raise
        contents = {file: text.encode("utf-8") for file, text in texts.items()}
        contents |= {file: (work / "build" / file).read_bytes() for file in IMAGES}
    write_files(folder, contents)
    firmware = dataclasses.replace(firmware, elf=folder / "firmware.elf")
    return Build(graph, target, engine, firmware, folder, source)


def _raise_misfit(message: str, board: Board, graph: Graph) -> None:
    """The linker measures by how much a region is exceeded."""
    over = re.search(r"region `(FLASH|RAM)' overflowed by (\d+) bytes", message)
    if over is not None:
        memory, has = {
            "FLASH": ("flash", max(bank.bytes for bank in board.flash)),
            "RAM": ("RAM", board.largest_ram_bank.bytes),
        }[over.group(1)]
        raise DoesNotFitError(
            f"The firmware does not fit {board.name}: {memory} of {has:,} bytes is over by "
            f"{int(over.group(2)):,}.",
            None,
            graph,
        )
