"""Runs the very image of a board on QEMU's machine with the same memory map, where one exists."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import pathlib
import re
import socket
import tempfile
import threading
import time
from collections.abc import Iterator

from edge.catalog.boards import Board
from edge.firmware.build import require_tool
from edge.firmware.machine.image_run import LIMIT_S, BoardRunError, Fault, ImageRun
from edge.firmware.machine.symbols import Image, read_image
from edge.system.subprocesses import run_tool

QUIET_S = 1.5
"""How long a board that has tested itself says nothing before it counts as done."""
POLL_S = 0.1
ANSWER_S = 60.0
FAULT_RESULT = 4


@dataclasses.dataclass(frozen=True)
class QemuMachine:
    """A machine of QEMU that has the memory and the serial ports of some chips.

    Attributes:
        name: QEMU's name.
        parts: How the part numbers of chips begin that have its map.
        core: The core that it has, whose instructions the chip's image may use.
        ports: The names of its serial ports, in QEMU's order.
    """

    name: str
    parts: tuple[str, ...]
    core: str
    ports: tuple[str, ...]


STM32_PORTS = ("USART1", "USART2", "USART3", "UART4", "UART5")
MACHINES = (
    QemuMachine("olimex-stm32-h405", ("STM32F4",), "cortex-m4", (*STM32_PORTS, "USART6")),
    QemuMachine("netduinoplus2", ("STM32F4",), "cortex-m4", (*STM32_PORTS, "USART6")),
    QemuMachine("b-l475e-iot01a", ("STM32L47",), "cortex-m4", (*STM32_PORTS, "LPUART1")),
    QemuMachine("microbit", ("NRF51",), "cortex-m0plus", ("UART0",)),
)


def machines_with_map(board: Board) -> list[QemuMachine]:
    """Lists the machines that have a board's memory map and core.

    Args:
        board: The board.

    Returns:
        The machines that some version of QEMU has, the best first.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> [machine.name for machine in machines_with_map(find_board("nucleo-f446re"))]
        ['olimex-stm32-h405', 'netduinoplus2']
    """
    part = board.mcu.upper()
    return [m for m in MACHINES if part.startswith(m.parts) and m.core == board.core]


def installed_machine(board: Board) -> QemuMachine | None:
    """Finds a machine with a board's memory map in the QEMU that is installed.

    Args:
        board: The board.

    Returns:
        The machine; None if this QEMU has none.

    Raises:
        MissingToolError: If QEMU is not installed.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> installed_machine(find_board("nucleo-f446re")) is None
        False
    """
    machines = machines_with_map(board)
    if not machines:
        return None
    require_tool("qemu-system-arm")
    known = _qemu("-M", "help").split()
    return next((machine for machine in machines if machine.name in known), None)


def run_image_on_qemu(
    elf: pathlib.Path,
    board: Board,
    machine: QemuMachine,
    *,
    fed: bytes = b"",
    limit_s: float = LIMIT_S,
) -> ImageRun:
    """Runs the image of a board on a machine of QEMU with its map.

    QEMU's machines model the serial port, and neither clocks nor the flash: the image finds that
    no clock comes up, and goes on with that of reset.

    Args:
        elf: The path of the image, as `build` makes it.
        board: The board that it was built for.
        machine: The machine.
        fed: What the board receives on its port once it has tested itself.
        limit_s: The wall-clock time after which it is stopped.

    Returns:
        The `ImageRun`, which knows no clock and no violations.

    Raises:
        MissingToolError: If QEMU is not installed.
        BoardRunError: If QEMU does not start.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> board = find_board("nucleo-f446re")
        >>> elf = build("model.tflite", board, "firmware").firmware.elf
        >>> run_image_on_qemu(elf, board, installed_machine(board)).result
        1
    """
    require_tool("qemu-system-arm")
    image = read_image(elf)
    with tempfile.TemporaryDirectory(prefix="km-") as name:
        folder = pathlib.Path(name)
        port = 0 if board.port is None else machine.ports.index(board.port.name)
        command = [
            "qemu-system-arm",
            "-M",
            machine.name,
            "-nographic",
            "-kernel",
            str(elf.absolute()),
        ]
        command += ["-monitor", "unix:monitor,server=on"] + ["-serial", "null"] * port
        command += ["-serial", "unix:port,server=on"]
        said: list[str] = []
        thread = threading.Thread(target=lambda: said.append(_run_in(folder, command)), daemon=True)
        thread.start()
        try:
            with (
                _connected(folder / "monitor", thread) as talk,
                _connected(folder / "port", thread) as line,
            ):
                session = _Session(talk, line, image)
                ended = session.follow(fed, limit_s)
                fault = session.fault()
                session.ask("quit")
        except OSError as error:
            thread.join(timeout=POLL_S)
            reason = "".join(said).strip() or str(error)
            raise BoardRunError(f"QEMU's {machine.name} did not run the image: {reason}") from error
        thread.join()
    return ImageRun(
        emulator=f"QEMU {_version()}, {machine.name}",
        way="its vector table, which QEMU puts at 0",
        text=session.text.decode("ascii", "replace"),
        result=session.result,
        ended=ended,
        core_hz=None,
        violations=(),
        fault=fault,
        lamp_changes=0,
    )


class _Session:
    """The monitor and the serial port of a machine that runs."""

    def __init__(self, talk: socket.socket, line: socket.socket, image: Image):
        talk.settimeout(ANSWER_S)
        self._talk, self._line, self._image = talk, line, image
        self.text = bytearray()
        self.result = 0
        self._read_prompt()

    def follow(self, fed: bytes, limit_s: float) -> str:
        """Collects the text, until the board has tested itself and is silent."""
        end = time.monotonic() + limit_s
        quiet_since = time.monotonic()
        self._line.settimeout(POLL_S)
        while (now := time.monotonic()) < end:
            try:
                said = self._line.recv(1 << 16)
                if not said:
                    raise ConnectionError("it ended")
                self.text += said
                quiet_since = now
            except TimeoutError:
                self.result = self._word(self._image.symbols["firmware_result"])
            if self.result and fed and now - quiet_since >= 2 * POLL_S:
                self._line.sendall(fed)
                fed, quiet_since = b"", now
            elif self.result and now - quiet_since >= QUIET_S:
                return "waits"
        return "limit"

    def fault(self) -> Fault | None:
        """Names the function that reported a fault."""
        if self.result != FAULT_RESULT:
            return None
        found = re.search(r"R15=([0-9a-f]{8})", self.ask("info registers"))
        address = int(found[1], 16) if found else 0
        return Fault("fault", self._image.function_at(address), address)

    def ask(self, command: str) -> str:
        """Types a line at the monitor, and reads the answer."""
        self._talk.sendall(f"{command}\n".encode())
        # After quit there is no prompt, and what is closed before it was read is not obeyed.
        return self._read_prompt()

    def _word(self, address: int) -> int:
        found = re.search(r": 0x([0-9a-f]{8})", self.ask(f"xp /1wx 0x{address:x}"))
        return int(found[1], 16) if found else 0

    def _read_prompt(self) -> str:
        said = b""
        while not said.endswith(b"(qemu) "):
            part = self._talk.recv(4096)
            if not part:
                break
            said += part
        return said.decode("ascii", "replace")


@contextlib.contextmanager
def _connected(path: pathlib.Path, qemu: threading.Thread) -> Iterator[socket.socket]:
    """A connection to a socket that QEMU is about to make."""
    end = time.monotonic() + ANSWER_S
    with socket.socket(socket.AF_UNIX) as one:
        while True:
            try:
                one.connect(str(path))
                break
            except OSError:
                if time.monotonic() > end or not qemu.is_alive():
                    raise
                time.sleep(0.02)
        yield one


def _run_in(folder: pathlib.Path, command: list[str]) -> str:
    done = run_tool(command, cwd=folder, text=True, errors="replace")
    return str(done.stdout + done.stderr)


def _qemu(*arguments: str) -> str:
    done = run_tool(["qemu-system-arm", *arguments], text=True, errors="replace")
    return str(done.stdout)


@functools.cache
def _version() -> str:
    found = re.search(r"version ([\d.]+)", _qemu("--version"))
    return found[1] if found else "of unknown version"
