"""One attempt to program a board: what is written where, with which tool, and until when."""

from __future__ import annotations

import dataclasses
import subprocess
import time
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.catalog.programming import Way
from edge.errors import EdgeError, MissingToolError, readable
from edge.firmware.flash.find_tool import HOW_TO_INSTALL, find_tool
from edge.firmware.flash.firmware_files import FirmwareFiles
from edge.firmware.flash.progress import fraction_done
from edge.system.subprocesses import run_tool

LOOK_SECONDS = 15.0
"""The longest that looking for a board may take before something is written."""

READING = "reading the chip's id"
LONGEST_REASON = 140


class LimitError(EdgeError):
    """A tool that did not end within the limit, and was stopped."""


class Deadline:
    """The moment by which all must be done.

    Args:
        seconds: The seconds from now.

    Example:
        >>> 9 < Deadline(10).left() <= 10
        True
    """

    def __init__(self, seconds: float):
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Returns the seconds that are left.

        Returns:
            The seconds, 0 if none are.

        Example:
            >>> Deadline(0).left()
            0.0
        """
        return max(0.0, self._end - time.monotonic())


@dataclasses.dataclass(frozen=True)
class Output:
    """What a tool left behind.

    Attributes:
        code: Its exit code.
        text: All that it printed, errors last.
    """

    code: int
    text: str

    @property
    def reason(self) -> str:
        """The line that tells most of why it failed."""
        return informative_line(self.text)


@dataclasses.dataclass(frozen=True)
class Session:
    """What one way of programming a board works with.

    Attributes:
        board: The board.
        way: The way.
        files: The firmware.
        deadline: When it must be done.
        tell: The function that is told what happens, in a few words.
        drives: The folder below which drives are mounted; None for where the system mounts them.
    """

    board: Board
    way: Way
    files: FirmwareFiles
    deadline: Deadline
    tell: Callable[[str], None]
    drives: str | None = None

    def run(self, *command: str, most: float | None = None, doing: str = "") -> Output:
        """Runs a tool to its end, without standard input, and stops it at the limit.

        Args:
            command: The name of the tool and its arguments.
            most: The seconds that it may take; None for all that are left.
            doing: What it does, which is told with the progress that it shows.

        Returns:
            The `Output`.

        Raises:
            MissingToolError: If the tool is not installed.
            LimitError: If it had to be stopped.

        Example:
            >>> import pathlib
            >>> from edge.catalog.boards import find_board
            >>> files = FirmwareFiles(pathlib.Path("firmware"), 0x08000000, b"")
            >>> way = Way(tool="openocd")
            >>> session = Session(find_board("nucleo-f446re"), way, files, Deadline(9), print)
            >>> session.run("echo", "42 bytes").text
            '42 bytes\\n'
        """
        path = find_tool(command[0])
        if path is None:
            how = HOW_TO_INSTALL.get(command[0], "see its maker")
            raise MissingToolError(f"{command[0]} is not installed ({how}).")
        seconds = self.deadline.left() if most is None else min(most, self.deadline.left())
        seen: list[str] = []

        def watch(text: str) -> None:
            seen.append(text)
            done = fraction_done("".join(seen)[-2000:])
            if doing and done is not None:
                self.tell(f"{doing}, {done:.0%}")

        if doing:
            self.tell(doing)
        try:
            ran = run_tool([path, *command[1:]], timeout=seconds, watch=watch)
        except subprocess.TimeoutExpired:
            said = informative_line("".join(seen))
            raise LimitError(
                f"{command[0]} did not end within {self.deadline.seconds:g} s and was stopped"
                f"{f' ({said})' if said else ''}."
            ) from None
        return Output(ran.returncode, (ran.stdout + ran.stderr).decode("utf-8", "replace"))

    def must_run(self, *command: str, doing: str = "") -> Output:
        """Runs a tool that must succeed.

        Args:
            command: The name of the tool and its arguments.
            doing: What it does, which is told with the progress that it shows.

        Returns:
            The `Output`.

        Raises:
            MissingToolError: If the tool is not installed.
            EdgeError: If it fails, with its reason in one line, or had to be stopped.

        Example:
            >>> import pathlib
            >>> from edge.catalog.boards import find_board
            >>> files = FirmwareFiles(pathlib.Path("firmware"), 0x08000000, b"")
            >>> way = Way(tool="openocd")
            >>> session = Session(find_board("nucleo-f446re"), way, files, Deadline(9), print)
            >>> session.must_run("ls", "nowhere")
            Traceback (most recent call last):
            edge.errors.EdgeError: ls failed: ...cannot access 'nowhere': No such file or directory.
        """
        done = self.run(*command, doing=doing)
        if done.code != 0:
            raise EdgeError(f"{command[0]} failed: {done.reason or f'exit code {done.code}'}.")
        return done


def informative_line(text: str) -> str:
    """Finds the line of a tool's output that tells most of why it failed.

    Args:
        text: The output.

    Returns:
        The first line that names an error or a missing device, or else the last one; empty if there
        is no output.

    Example:
        >>> informative_line("dfu-util 0.11\\n\\ndfu-util: No DFU capable USB device available\\n")
        'No DFU capable USB device available'
    """
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    lines = [_plain(line) for line in lines if any(c.isalnum() for c in line)]
    errors = [line for line in lines if _is_error(line)]
    return readable((errors or lines[-1:] or [""])[0], LONGEST_REASON).rstrip(".")


def _plain(line: str) -> str:
    """Cuts what stands before a message: the tool's name, the word error, pyOCD's clock."""
    head, colon, rest = line.partition(": ")
    if colon and head.strip().lower() in ("error", "dfu-util", "fatal", "panic"):
        return _plain(rest)
    words = line.split(maxsplit=2)
    if len(words) == 3 and words[0].isdigit() and words[1] in ("E", "C", "W"):
        return words[2].rsplit(" [", 1)[0]
    return line


def _is_error(line: str) -> bool:
    words = ("error", "fail", "cannot", "could not", "couldn't", "unable", "no such", "invalid")
    nothing = ("no device", "no dfu", "no connected", "no debug", "no target", "not found")
    is_warning = line.lower().startswith(("warn", "info"))
    return not is_warning and any(word in line.lower() for word in (*words, *nothing))
