"""From an engine to a firmware image: sources written and compiled in one step."""

from __future__ import annotations

import pathlib

from edge.catalog.boards import Board
from edge.emit.c_text import DEFAULT_NAME
from edge.emit.camera.render import Camera
from edge.engine.compile import Engine
from edge.firmware.build import Firmware, build_firmware
from edge.firmware.render import render_firmware


def build_image(
    engine: Engine,
    board: Board,
    folder: pathlib.Path,
    *,
    is_frame: bool = False,
    is_profiled: bool = False,
    camera: Camera | None = None,
    name: str = DEFAULT_NAME,
) -> Firmware:
    """Writes and compiles the firmware of an engine.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board whose memory is linked for.
        folder: An empty folder for the sources, with the image in its subfolder `build`.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        is_profiled: Whether the firmware counts the instructions of every step.
        camera: If given, the images are a camera's frames.
        name: The name of the model, which its names in C begin with.

    Returns:
        The `Firmware`.

    Raises:
        MissingToolError: If CMake or the Arm compiler is not installed.
        BuildError: If the compiler or the linker fails.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> engine, board = compile_engine(graph, "dsp"), find_board("nucleo-f446re")
        >>> folder = pathlib.Path("sources")
        >>> folder.mkdir()
        >>> build_image(engine, board, folder).weights_bytes
        1428
    """
    texts = render_firmware(
        engine, board, is_frame=is_frame, is_profiled=is_profiled, camera=camera, name=name
    )
    for file, text in texts.items():
        (folder / file).write_text(text, "utf-8")
    return build_firmware(folder)
