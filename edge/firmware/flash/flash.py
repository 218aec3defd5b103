"""Programs a board with the first of its ways whose tool and probe are there."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shlex
from collections.abc import Callable

from edge.catalog.boards import Board, find_board
from edge.errors import EdgeError
from edge.firmware.flash.firmware_files import FirmwareFiles, read_firmware
from edge.firmware.flash.session import Deadline, Session
from edge.firmware.flash.ways import PlannedWay, first_ready, lacks, require_ways, tool_of
from edge.system.files import output_path

LIMIT_SECONDS = 60.0


@dataclasses.dataclass(frozen=True)
class Flashed:
    """How a board was programmed.

    Attributes:
        tool: The tool.
        bytes: What was written to flash.
        is_chip_known: Whether the chip's id was compared with the board's.
        is_verified: Whether flash was compared with the image, or taken whole by the boot loader.
    """

    tool: str
    bytes: int
    is_chip_known: bool
    is_verified: bool


def flash(
    folder: str | os.PathLike,
    board: str | Board = "nucleo-f446re",
    *,
    tool: str | None = None,
    timeout: float = LIMIT_SECONDS,
    drives: str | os.PathLike | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> Flashed:
    """Programs a board with the firmware that `edge.build` wrote into a folder.

    The first of the board's tools that is installed and finds the board is taken. The chip's id is
    compared with the board's before anything is erased, and flash with the image after it.

    Args:
        folder: The folder with `firmware.json` and the images.
        board: The name of the board, or a `Board`.
        tool: The tool to use; None for the first that is ready.
        timeout: The seconds after which all ends, whether the board has come or not.
        drives: The folder below which drives are mounted, for boards that show up as one; None for
            where the system mounts them.
        tell: The function that is told what happens, in a few words.

    Returns:
        What was done, as a `Flashed`.

    Raises:
        MissingToolError: If no tool that programs the board is installed.
        EdgeError: If the folder holds no firmware for this board, the board is not found within the
            limit, its chip is another one, or the tool fails.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "raspberry-pi-pico-2", "firmware").folder
        >>> pathlib.Path("media").mkdir()
        >>> flash(folder, "raspberry-pi-pico-2", tool="uf2", timeout=0, drives="media")
        Traceback (most recent call last):
        edge.errors.EdgeError: Raspberry Pi Pico 2 was not found within 0 s. Hold its ...
    """
    target = find_board(board)
    require_ways(target, tool)
    files = read_firmware(pathlib.Path(folder), target)
    sessions = _sessions(target, files, tool, Deadline(timeout), tell, drives)
    wanting = {str(s.way.tool): what for s in sessions if (what := lacks(s))}
    ready = [session for session in sessions if session.way.tool not in wanting]
    session = first_ready(ready, wanting)
    used = tool_of(session)
    is_known = used.identify(session)
    try:
        used.program(session)
    except EdgeError as error:
        others = [s.way.tool for s in ready if s is not session]
        hint = f" Another way: --tool {others[0]}." if others else ""
        raise EdgeError(f"{error}{hint}") from None
    return Flashed(used.name, len(files.image), is_known, used.is_verifying)


def flash_plan(
    folder: str | os.PathLike,
    board: str | Board = "nucleo-f446re",
    *,
    tool: str | None = None,
    drives: str | os.PathLike | None = None,
) -> list[PlannedWay]:
    """Lists the ways in which a board would be programmed, and does nothing yet.

    Args:
        folder: The folder with `firmware.json` and the images.
        board: The name of the board, or a `Board`.
        tool: The tool to use; None for all that program the board.
        drives: The folder below which drives are mounted; None for where the system mounts them.

    Returns:
        The ways, the first to try first.

    Raises:
        EdgeError: If the folder holds no firmware for this board, or it cannot be programmed.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "nucleo-f446re", "firmware").folder
        >>> flash_plan(folder, "nucleo-f446re", tool="st-flash")[0].commands
        ('st-flash --reset write firmware/firmware.bin 0x08000000',)
    """
    target = find_board(board)
    require_ways(target, tool)
    files = read_firmware(pathlib.Path(folder), target)
    deadline = Deadline(LIMIT_SECONDS)
    return [
        _planned(session)
        for session in _sessions(target, files, tool, deadline, lambda text: None, drives)
    ]


def _sessions(
    board: Board,
    files: FirmwareFiles,
    tool: str | None,
    deadline: Deadline,
    tell: Callable[[str], None],
    drives: str | os.PathLike | None,
) -> list[Session]:
    return [
        Session(
            board=board,
            way=way,
            files=files,
            deadline=deadline,
            tell=tell,
            drives=None if drives is None else os.fspath(output_path(drives)),
        )
        for way in board.programming.ways
        if tool in (None, way.tool)
    ]


def _planned(session: Session) -> PlannedWay:
    commands = tool_of(session).commands(session)
    return PlannedWay(session.way.tool, tuple(shlex.join(c) for c in commands), lacks(session))
