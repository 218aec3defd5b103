"""bossac: SAM-BA boot loaders on a serial port; for nRF52 boards only Arduino's fork of it."""

from __future__ import annotations

import contextlib
import pathlib
import re
import time

from edge.errors import EdgeError
from edge.firmware.flash.find_tool import find_tools
from edge.firmware.flash.session import LOOK_SECONDS, READING, Session
from edge.firmware.flash.tool import Tool

NAME = "bossac"
DEVICE = re.compile(r"^Device\s*:\s*(\S+)", re.MULTILINE)
LARGEST_PROGRAM = 1 << 25
TOUCH_BAUD = 1200


def _lacks(session: Session) -> str:
    """Says what must be installed first."""
    try:
        import serial  # noqa: F401
    except ImportError:
        return "needs pyserial: pip install pyserial"
    start, bank = session.way.offset, session.files.address
    if start is not None and start != bank:
        return f"writes from 0x{start:x} on, and the image starts at 0x{bank:x}"
    if _bossac_for(session.way.target):
        return ""
    return (
        f"knows no {session.way.target}; Arduino's fork does: install the board in Arduino's IDE, "
        "or put its bossac on the path"
    )


def _waits_for(session: Session) -> str:
    """Says what must be plugged in; a port of the maker's own programs is told to start over."""
    if _ports(session.way.usb_ids):
        return ""
    for port in _ports(session.way.sketch_ids):
        _touch(port)
    return f"no serial port of its boot loader ({', '.join(session.way.usb_ids)})"


def _identify(session: Session) -> bool:
    """Asks the boot loader for the chip's name, which must be the board's."""
    port = _port(session)
    tool = _bossac_for(session.way.target) or NAME
    done = session.run(tool, "-i", "-p", port, most=LOOK_SECONDS, doing=READING)
    found = DEVICE.search(done.text)
    if found is None:
        raise EdgeError(f"bossac does not know what is at {port}: {done.reason}.")
    if not found[1].lower().startswith(session.way.target.lower()):
        raise EdgeError(
            f"The chip at {port} is {found[1]}, not that of {session.board.name} "
            f"({session.board.mcu}); nothing was erased."
        )
    return True


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    return [_command(session, NAME, "PORT")]


def _program(session: Session) -> None:
    """Programs the board, compares its flash and starts it."""
    tool = _bossac_for(session.way.target) or NAME
    command = _command(session, tool, _port(session))
    done = session.must_run(*command, doing="writing and verifying with bossac")
    if "Verify successful" not in done.text:
        raise EdgeError(f"bossac did not verify what it wrote: {done.reason}.")


def _command(session: Session, tool: str, port: str) -> tuple[str, ...]:
    # Arduino's boot loader on nRF52 adds its own size: an offset would be added to it.
    offset = session.way.offset
    at = () if offset is None else (f"--offset=0x{offset:x}",)
    options = ("--erase", "--write", "--verify", "--reset", *at)
    return (tool, f"--port={port}", *options, str(session.files.path("bin")))


def _bossac_for(target: str) -> str | None:
    """The first bossac that can name the chip: it must hold the name's letters to print them."""
    name = target.encode("ascii")
    for path in find_tools(NAME):
        with contextlib.suppress(OSError), pathlib.Path(path).open("rb") as file:
            if name in file.read(LARGEST_PROGRAM):
                return path
    return None


def _ports(usb_ids: list[str]) -> list[str]:
    from serial.tools import list_ports

    found = [(port.device, port.vid, port.pid) for port in list_ports.comports()]
    return [d for d, vid, pid in found if vid is not None and f"{vid:04x}:{pid:04x}" in usb_ids]


def _port(session: Session) -> str:
    found = _ports(session.way.usb_ids)
    if len(found) != 1:
        raise EdgeError(
            f"{len(found)} serial ports belong to a boot loader of {session.board.name}; one must."
        )
    return found[0]


def _touch(port: str) -> None:
    """Opens and closes a port at the speed that tells the maker's own programs to start over."""
    import serial

    with contextlib.suppress(OSError, serial.SerialException):
        serial.Serial(port, TOUCH_BAUD).close()
        time.sleep(0.5)


BOSSAC = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    lacks=_lacks,
    waits_for=_waits_for,
    identify=_identify,
)
