"""Firmware around an engine: start-up, linker script, main, self-test, CMake; text in memory."""

from __future__ import annotations

import pathlib

import numpy as np

from edge.boards import Board, core_flags
from edge.emit.c_text import template
from edge.emit.engine.sources import BANNER, Engine, render_engine
from edge.reference import run_reference

BOARD_FOLDER = pathlib.Path(__file__).parent / "board"
PROFILE_FOLDER = pathlib.Path(__file__).parent / "profile"
STACK_BYTES = 2048
SELF_TEST_SEED = 2_463_534_242


def render_firmware(
    engine: Engine, board: Board, is_frame: bool = False, is_profiled: bool = False
) -> dict[str, str]:
    """Renders all source files of a firmware that runs a model on a board.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        is_profiled: Whether it counts the instructions of every step.

    Returns:
        Text by file name.

    Example:
        >>> "link.ld" in render_firmware(engine, find_board("nucleo-f446re"))  # doctest: +SKIP
        True
    """
    folders = [BOARD_FOLDER, *([PROFILE_FOLDER] if is_profiled else [])]
    files = render_engine(engine) | {
        path.name: path.read_text("utf-8")
        for folder in folders
        for path in sorted(folder.iterdir())
    }
    values = {
        "banner": BANNER,
        "board": board,
        "flags": core_flags(board),
        "is_frame": is_frame,
        "is_profiled": is_profiled,
        "has_semihosting": "1" if board.qemu_machine else "0",
        "seed": SELF_TEST_SEED,
        "outputs": self_test_output(engine),
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


def self_test_output(engine: Engine) -> list[int]:
    """What a model makes of the image that the firmware makes for itself.

    Args:
        engine: The model's engine.

    Returns:
        int8 values.
    """
    graph = engine.network.graph
    image, state = np.empty(graph.input.element_count, np.int8), SELF_TEST_SEED
    for n in range(len(image)):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        image[n] = np.uint8(state >> 24).astype(np.int8)
    return run_reference(graph, image.reshape(1, *graph.input.shape[1:]))[0].tolist()
