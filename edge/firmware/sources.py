"""Firmware around an engine: start-up, linker script, main, self-test, CMake; text in memory."""

from __future__ import annotations

import pathlib

import numpy as np

from edge.boards import Board, core_flags
from edge.emit.c_text import template
from edge.emit.camera.sources import Camera, render_camera
from edge.emit.engine.sources import BANNER, Engine, render_engine
from edge.reference import run_reference

BOARD_FOLDER = pathlib.Path(__file__).parent / "board"
STACK_BYTES = 2048
SELF_TEST_SEED = 2_463_534_242


def render_firmware(
    engine: Engine, board: Board, is_frame: bool = False, camera: Camera | None = None
) -> dict[str, str]:
    """Renders all source files of a firmware that runs a model on a board.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        camera: If given, the images are a camera's frames.

    Returns:
        Text by file name.

    Example:
        >>> "link.ld" in render_firmware(engine, find_board("nucleo-f446re"))  # doctest: +SKIP
        True
    """
    files = render_engine(engine) | {
        path.name: path.read_text("utf-8") for path in sorted(BOARD_FOLDER.iterdir())
    }
    if camera is not None:
        files |= render_camera(camera, "engine")
    values = {
        "banner": BANNER,
        "board": board,
        "flags": core_flags(board),
        "is_frame": is_frame,
        "is_camera": camera is not None,
        "has_semihosting": "1" if board.qemu_machine else "0",
        "seed": SELF_TEST_SEED,
        "outputs": self_test_output(engine, camera),
        "sources": sorted(name for name in files if name.endswith(".c")),
    }
    for name in ("self_test.h", "CMakeLists.txt"):
        files[name] = template("edge.firmware", name).render(values)
    return files | {"link.ld": link_script(board)}


def link_script(board: Board, stack_bytes: int = STACK_BYTES) -> str:
    """The linker script of a board: code in its largest flash, data and stack in its largest RAM.

    Args:
        board: The board.
        stack_bytes: What is set aside for the stack.

    Returns:
        Text for GNU ld.

    Example:
        >>> from edge.boards import find_board
        >>> "ORIGIN = 0x08000000" in link_script(find_board("nucleo-f446re"))
        True
    """
    values = {
        "banner": BANNER,
        "board": board,
        "flash": max(board.flash, key=lambda bank: bank.bytes),
        "ram": board.largest_ram_bank,
        "stack_bytes": stack_bytes,
    }
    return template("edge.firmware", "link.ld").render(values)


def self_test_output(engine: Engine, camera: Camera | None = None) -> list[int]:
    """What a model makes of the image that the firmware makes for itself.

    Args:
        engine: The model's engine.
        camera: If given, the image is a frame of it.

    Returns:
        int8 values.
    """
    graph = engine.network.graph
    count = graph.input.element_count if camera is None else camera.height * camera.row_bytes
    image, state = np.empty(count, np.uint8), SELF_TEST_SEED
    for n in range(count):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        image[n] = state >> 24
    inputs = image.view(np.int8) if camera is None else camera.model_input(graph, image)
    return run_reference(graph, inputs.reshape(1, *graph.input.shape[1:]))[0].tolist()
