"""Chooses among the ways to program a board the first whose tool and probe are there."""

from __future__ import annotations

import dataclasses
import time

from edge.catalog.boards import Board
from edge.catalog.programming import NO_TOOL
from edge.errors import EdgeError, MissingToolError
from edge.firmware.flash.find_tool import HOW_TO_INSTALL, find_tool
from edge.firmware.flash.session import Session
from edge.firmware.flash.tool import Tool
from edge.firmware.flash.tools.bossac import BOSSAC
from edge.firmware.flash.tools.daplink import DAPLINK
from edge.firmware.flash.tools.dfu_util import DFU_UTIL
from edge.firmware.flash.tools.openocd import OPENOCD
from edge.firmware.flash.tools.probe_rs import PROBE_RS
from edge.firmware.flash.tools.pyocd import PYOCD
from edge.firmware.flash.tools.st_flash import ST_FLASH
from edge.firmware.flash.tools.teensy import TEENSY
from edge.firmware.flash.tools.uf2_drive import UF2_DRIVE

ALL_TOOLS = (PYOCD, OPENOCD, ST_FLASH, PROBE_RS, BOSSAC, DFU_UTIL, UF2_DRIVE, DAPLINK, TEENSY)
LOOK_AGAIN_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class PlannedWay:
    """One way to program a board, as a plan shows it.

    Attributes:
        tool: The tool.
        commands: The commands that it would run.
        lacks: What must be installed first; empty if nothing.
    """

    tool: str
    commands: tuple[str, ...]
    lacks: str

    def sentence(self) -> str:
        """Describes the way in one line.

        Returns:
            The commands, and what is missing.

        Example:
            >>> PlannedWay("openocd", ("openocd -f a.cfg",), "is not installed").sentence()
            'openocd -f a.cfg  (openocd is not installed)'
        """
        done = " && ".join(self.commands)
        return f"{done}  ({self.tool} {self.lacks})" if self.lacks else done


def require_ways(board: Board, tool: str | None) -> None:
    """Sees that a board can be programmed at all, and with the tool that was chosen.

    Args:
        board: The board.
        tool: The tool that was chosen; None for any.

    Raises:
        EdgeError: If it cannot be; the message says why, or names the tools that can.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> require_ways(find_board("nucleo-f446re"), "bossac")
        Traceback (most recent call last):
        edge.errors.EdgeError: bossac does not program Nucleo-F446RE; pyocd, openocd, ... do.
    """
    ways = board.programming.ways
    names = list(dict.fromkeys(way.tool for way in ways))
    if not ways:
        why = board.programming.why_not or NO_TOOL
        raise EdgeError(f"{board.name} cannot be programmed: {why}.")
    if tool is not None and tool not in names:
        raise EdgeError(
            f"{tool} does not program {board.name}; {', '.join(names)} "
            f"{'does' if len(names) == 1 else 'do'}."
        )


def tool_of(session: Session) -> Tool:
    """Finds the tool of a way.

    Args:
        session: The attempt to go it.

    Returns:
        The `Tool`.

    Example:
        >>> import pathlib
        >>> from edge.catalog.boards import find_board
        >>> from edge.catalog.programming import Way
        >>> from edge.firmware.flash.firmware_files import FirmwareFiles
        >>> from edge.firmware.flash.session import Deadline
        >>> way, files = Way(tool="uf2"), FirmwareFiles(pathlib.Path("."), 0, b"")
        >>> tool_of(Session(find_board("nucleo-f446re"), way, files, Deadline(9), print)).name
        'uf2'
    """
    return next(tool for tool in ALL_TOOLS if tool.name == session.way.tool)


def lacks(session: Session) -> str:
    """Says what must be installed before a way can be gone.

    Args:
        session: The attempt to go it.

    Returns:
        What is missing, as one says it of the tool; empty if nothing is.

    Example:
        >>> import pathlib
        >>> from edge.catalog.boards import find_board
        >>> from edge.catalog.programming import Way
        >>> from edge.firmware.flash.firmware_files import FirmwareFiles
        >>> from edge.firmware.flash.session import Deadline
        >>> way, files = Way(tool="uf2"), FirmwareFiles(pathlib.Path("."), 0, b"")
        >>> lacks(Session(find_board("nucleo-f446re"), way, files, Deadline(9), print))
        ''
    """
    tool = tool_of(session)
    if tool.is_command and find_tool(tool.name) is None:
        return f"is not installed ({HOW_TO_INSTALL[tool.name]})"
    try:
        return tool.lacks(session)
    except EdgeError as error:
        return f"is not ready: {str(error).rstrip('.')}"


def first_ready(sessions: list[Session], drop: dict[str, str]) -> Session:
    """Waits until one of several ways can be gone.

    Args:
        sessions: The attempts, in the order in which they are tried.
        drop: What is missing for each tool that is not among them, for the message.

    Returns:
        The first attempt whose probe, port or drive is there.

    Raises:
        MissingToolError: If there is none to wait for.
        EdgeError: If none was ready within the limit; the message says what each waited for.

    Example:
        >>> first_ready([], {"openocd": "is not installed"})
        Traceback (most recent call last):
        edge.errors.MissingToolError: openocd is not installed.
    """
    if not sessions:
        raise MissingToolError("; ".join(f"{tool} {what}" for tool, what in drop.items()) + ".")
    first, has_told = sessions[0], False
    deadline = first.deadline
    missing: dict[str, str] = {}
    hints = list(dict.fromkeys(s.way.hint for s in sessions if s.way.hint))
    while True:
        for session in sessions:
            name = session.way.tool
            try:
                missing[name] = tool_of(session).waits_for(session)
            except EdgeError as error:
                # Another tool may get along with what this one cannot.
                missing[name] = missing.get(name) or str(error).rstrip(".")
            if not missing[name]:
                return session
        if not has_told:
            first.tell(f"waiting for it. {' '.join(hints)}".rstrip())
            has_told = True
        if deadline.left() < LOOK_AGAIN_SECONDS:
            told = "; ".join(f"{tool}: {what}" for tool, what in (missing | drop).items())
            raise EdgeError(
                f"{first.board.name} was not found within {deadline.seconds:g} s. "
                f"{' '.join(hints)} {told}.".replace("  ", " ")
            )
        time.sleep(LOOK_AGAIN_SECONDS)
