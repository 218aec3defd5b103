"""Renders the files of a firmware: engine, start-up, linker script, main, self-test and CMake."""

from __future__ import annotations

import pathlib
import re

from edge.catalog.boards import Board, core_flags
from edge.emit.c_text import DEFAULT_NAME, named, template
from edge.emit.camera.render import Camera, render_camera
from edge.emit.engine.render import BANNER, render_engine
from edge.emit.engine.self_test import render_self_test
from edge.engine.compile import Engine
from edge.errors import EdgeError
from edge.firmware.boot2 import boot_source
from edge.firmware.serial_model import serial_model_header

BOARD_FOLDER = pathlib.Path(__file__).parent / "board"
CHIP_FOLDER = pathlib.Path(__file__).parent / "chips"
PROBE_FOLDER = pathlib.Path(__file__).parent / "probe"
STACK_BYTES = 2048

MEASURING = ("measure.c", "semihosting.h")
"""What only the firmware of a board has whose emulator offers a console and files."""

SPOKEN = ("clock.c", "main.c", "protocol.c", "text.c")
SPEAKING = (*SPOKEN, "inference.c", "inference.h", "protocol.h", "text.h")
"""What only the firmware of a board has that speaks by itself."""


def render_firmware(
    engine: Engine,
    board: Board,
    *,
    is_frame: bool = False,
    is_profiled: bool = False,
    camera: Camera | None = None,
    name: str = DEFAULT_NAME,
) -> dict[str, str]:
    """Renders all source files of a firmware that runs a model on a board.

    Args:
        engine: The model's engine, compiled for the board's instruction set.
        board: The board to build for.
        is_frame: Whether the firmware keeps a whole image in RAM instead of one row.
        is_profiled: Whether the firmware counts the instructions of every step.
        camera: The camera whose frames are the images; None where images come as rows.
        name: The name of the model, which its names in C begin with, in small letters, digits and
            underscores.

    Returns:
        The text of each file, by its name.

    Raises:
        EdgeError: If there is no source that starts the board's chip.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> "link.ld" in render_firmware(compile_engine(graph), find_board("nucleo-f446re"))
        True
    """
    folders = [BOARD_FOLDER, *([PROBE_FOLDER] if is_profiled else [])]
    others = SPEAKING if board.qemu_machine else MEASURING
    files = render_engine(engine, name) | {
        path.name: named(path.read_text("utf-8"), name)
        for folder in folders
        for path in sorted(folder.iterdir())
        if path.name not in others
    }
    files |= chip_sources(board)
    files["board.h"] = board_header(board)
    if not board.qemu_machine:
        files["serial_model.h"] = serial_model_header(engine.network.graph, name, camera)
    if camera is not None:
        files |= render_camera(camera, "engine", name)
    # Both mains read the image and the output from this header, with whole frames as well.
    self_test = named("model_self_test.h", name)
    files[self_test] = render_self_test(engine, camera, name)[self_test]
    values = {
        "banner": BANNER,
        "board": board,
        "flags": core_flags(board),
        "is_frame": is_frame,
        "is_profiled": is_profiled,
        "is_camera": camera is not None,
        "has_semihosting": "1" if board.qemu_machine else "0",
        "speaking": sorted(name for name in SPOKEN if name in files),
        "sources": sorted(file for file in files if file.endswith(".c")),
    }
    files["CMakeLists.txt"] = template("edge.firmware", "CMakeLists.txt", name).render(values)
    return files | {"link.ld": link_script(board)}


def chip_sources(board: Board) -> dict[str, str]:
    """Renders the source that starts a board's microcontroller, and the headers beside it.

    Args:
        board: The board to build for.

    Returns:
        The text of each file, by its name.

    Raises:
        EdgeError: If there is no source for the family that the board's file names.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> sorted(chip_sources(find_board("nucleo-f446re")))
        ['chip_stm32f4.c', 'stm32.h', 'stm32_over_drive.h']
    """
    family = board.chip.family
    known = {path.stem: path for path in sorted(CHIP_FOLDER.glob("*.c"))}
    if family not in known:
        raise EdgeError(f"{board.name}: [chip] family is {family!r}; there are {', '.join(known)}.")
    source = known[family].read_text("utf-8")
    headers = (CHIP_FOLDER / name for name in re.findall(r'^#include "(\w+\.h)"$', source, re.M))
    files = {f"chip_{family}.c": source}
    if family == "rp2040":
        files["boot2.c"] = boot_source()
    return files | {header.name: header.read_text("utf-8") for header in headers if header.exists()}


def board_header(board: Board) -> str:
    """Renders the header with the figures of a board that its firmware reads.

    Args:
        board: The board to build for.

    Returns:
        The text of `board.h`.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> "BOARD_CLOCK_HZ 180000000U" in board_header(find_board("nucleo-f446re"))
        True
    """
    parts = {"CHIP": board.chip, "UART": board.port, "LED": board.led}
    figures = {name: part.figures for name, part in parts.items() if part is not None}
    values = {"banner": BANNER, "board": board, "parts": figures}
    return template("edge.firmware", "board.h").render(values)


def link_script(board: Board, stack_bytes: int = STACK_BYTES) -> str:
    """Renders a linker script: code in the board's largest flash bank, data and stack in its RAM.

    Args:
        board: The board to link for; data and stack go to its largest RAM bank.
        stack_bytes: The RAM that is set aside for the stack.

    Returns:
        The linker script for GNU ld.

    Example:
        >>> from edge.catalog.boards import find_board
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
