"""Runs the very image of a board, in a process of its own: unicorn is native code."""

from __future__ import annotations

import dataclasses
import importlib.util
import pathlib
import pickle
import tempfile
from collections.abc import Sequence

from edge.catalog.boards import Board
from edge.errors import EdgeError, MissingToolError
from edge.firmware.machine.chips import has_model
from edge.firmware.machine.watch import Violation
from edge.system.subprocesses import run_child

REQUEST_FILE, RUN_FILE = "request.pickle", "run.pickle"
CHILD = "edge.firmware.machine.image_run_child"
LIMIT_S = 120.0
CLOCK_TOLERANCE = 0.001
CPUS = {
    "cortex-m0plus": "UC_CPU_ARM_CORTEX_M0",
    "cortex-m3": "UC_CPU_ARM_CORTEX_M3",
    "cortex-m4": "UC_CPU_ARM_CORTEX_M4",
    "cortex-m7": "UC_CPU_ARM_CORTEX_M7",
    "cortex-m33": "UC_CPU_ARM_CORTEX_M33",
}
"""The cores that unicorn 2.1 has, by gcc's name: the M0+ executes what the M0 does."""
RESULTS = {0: "not ended", 1: "passed", 2: "failed", 3: "weights damaged", 4: "fault"}


@dataclasses.dataclass(frozen=True)
class Fault:
    """What stopped an image.

    Attributes:
        what: What it tried.
        function: The function that tried it; empty where no symbol covers it.
        address: The address of the instruction, or of the block that holds it.
    """

    what: str
    function: str
    address: int

    def sentence(self) -> str:
        """Describes it in one line.

        Returns:
            What was tried, and where.

        Example:
            >>> Fault("write to 0x00000000", "main", 0x08000200).sentence()
            'write to 0x00000000 in main, 0x08000200'
        """
        return f"{self.what} in {self.function or 'no function'}, 0x{self.address:08x}"


@dataclasses.dataclass(frozen=True)
class ImageRequest:
    """What is to run, and how.

    Attributes:
        elf: The path of the image.
        board: The board that it was built for.
        fed: What the board receives on its port.
        limit_s: The wall-clock time after which it is stopped.
        is_dead: Whether no clock but that of reset comes up.
    """

    elf: pathlib.Path
    board: Board
    fed: bytes
    limit_s: float
    is_dead: bool


@dataclasses.dataclass(frozen=True)
class ImageRun:
    """What an image did on an emulated board.

    Attributes:
        emulator: What emulated the board, with its version.
        way: How the image was entered.
        text: What it sent on the board's port.
        result: `firmware_result` in the end: 1 passed, 2 failed, 3 weights damaged, 4 fault.
        ended: Why it was stopped: it `waits` for a byte, it `rests` in an endless loop, or `limit`.
        core_hz: The core's clock as the written registers make it; None where the chip is not
            modelled.
        violations: What the manual forbids.
        fault: What stopped it; None where nothing did.
        lamp_changes: How often the board's light went on or off.
    """

    emulator: str
    way: str
    text: str
    result: int
    ended: str
    core_hz: float | None
    violations: tuple[Violation, ...]
    fault: Fault | None
    lamp_changes: int

    @property
    def has_passed(self) -> bool:
        """Whether the self-test passed, and nothing was done that a manual forbids."""
        return self.result == 1 and self.fault is None and not self.violations

    @property
    def outcome(self) -> str:
        """How its test of itself came out, in words; a fault is named with its function."""
        return RESULTS[self.result] if self.fault is None else self.fault.sentence()

    def is_at(self, clock_hz: int) -> bool:
        """Tells whether the clock came up.

        Args:
            clock_hz: The clock that the board should run at.

        Returns:
            Whether the written registers make that clock.

        Example:
            >>> values = dict.fromkeys(("emulator", "way", "text", "ended"), "")
            >>> values |= {"result": 1, "violations": (), "fault": None, "lamp_changes": 0}
            >>> ImageRun(core_hz=180e6, **values).is_at(180_000_000)
            True
        """
        return self.core_hz is not None and abs(self.core_hz / clock_hz - 1) <= CLOCK_TOLERANCE


def can_run_image(board: Board) -> bool:
    """Tells whether this machine can run a board's image on unicorn.

    Args:
        board: The board.

    Returns:
        Whether unicorn is installed and has the board's core, and the chip is modelled, or runs as
        it comes out of reset.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> can_run_image(find_board("mps3-an547"))
        False
    """
    is_known = has_model(board) or board.chip.family == "bare"
    return board.core in CPUS and is_known and _has_unicorn()


def _has_unicorn() -> bool:
    return all(importlib.util.find_spec(package) for package in ("unicorn", "elftools"))


class BoardRunError(EdgeError):
    """An emulated board that did not start."""


def run_image(
    elf: pathlib.Path,
    board: Board,
    *,
    fed: bytes = b"",
    limit_s: float = LIMIT_S,
    is_dead: bool = False,
) -> ImageRun:
    """Runs the image of a board on unicorn.

    Args:
        elf: The path of the image, as `build` makes it.
        board: The board that it was built for.
        fed: What the board receives on its port, as fast as it takes it.
        limit_s: The wall-clock time after which it is stopped.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The `ImageRun`.

    Raises:
        MissingToolError: If unicorn is not installed.
        BoardRunError: If unicorn has no such core, or stops.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "nucleo-f446re", "firmware").firmware.elf
        >>> run_image(elf, find_board("nucleo-f446re")).has_passed
        True
    """
    request = ImageRequest(elf.absolute(), board, fed, limit_s=limit_s, is_dead=is_dead)
    return run_requests([request])[0]


def run_requests(requests: Sequence[ImageRequest]) -> list[ImageRun]:
    """Runs images of one board on unicorn, as many at a time as this machine has cores.

    Args:
        requests: What is to run, at least one.

    Returns:
        What each did, in their order.

    Raises:
        MissingToolError: If unicorn is not installed.
        BoardRunError: If unicorn has no such core, or stops.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> board = find_board("nucleo-f446re")
        >>> elf = build("model.tflite", board, "firmware").firmware.elf.absolute()
        >>> request = ImageRequest(elf, board, b"name%", limit_s=60.0, is_dead=False)
        >>> [run.has_passed for run in run_requests([request, request])]
        [True, True]
    """
    if not _has_unicorn():
        raise MissingToolError(
            "unicorn, which runs a board's image, is not installed: "
            "pip install 'keras-mobilenet[emulator]'"
        )
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        (folder / REQUEST_FILE).write_bytes(pickle.dumps(list(requests)))
        run_child(CHILD, folder, BoardRunError, f"Emulating {requests[0].board.name}")
        done: list[ImageRun] = pickle.loads((folder / RUN_FILE).read_bytes())
    return done
