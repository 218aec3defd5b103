"""dfu-util: boot loaders that speak USB DFU with ST's extensions."""

from __future__ import annotations

import pathlib
import re
import tempfile

from edge.errors import EdgeError
from edge.firmware.flash.session import LOOK_SECONDS, Output, Session
from edge.firmware.flash.tool import Tool

NAME = "dfu-util"
FOUND = re.compile(r"Found DFU: \[([0-9a-f]{4}:[0-9a-f]{4})\].*?\balt=(\d+)")
NO_RIGHT = re.compile(r"Cannot open DFU device ([0-9a-f]{4}:[0-9a-f]{4})")


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    done, ids = session.run(NAME, "-l", most=LOOK_SECONDS), session.way.usb_ids
    if any(found in ids and alt == session.way.alt for found, alt in _devices(done)):
        return ""
    if any(found in ids for found in NO_RIGHT.findall(done.text)):
        raise EdgeError(
            f"The boot loader of {session.board.name} is there, but this user may not open it: add "
            "a udev rule for it, or run as root."
        )
    return f"no boot loader ({', '.join(ids)})"


def _identify(session: Session) -> bool:
    """The USB id is the board's own."""
    del session
    return True


def _commands(session: Session) -> list[tuple[str, ...]]:
    return _commands_for(session, session.way.usb_ids[0], "READBACK")


def _program(session: Session) -> None:
    """Programs the board, reads its flash back and starts it."""
    there = [found for found, _ in _devices(session.run(NAME, "-l", most=LOOK_SECONDS))]
    usb_id = next((u for u in session.way.usb_ids if u in there), session.way.usb_ids[0])
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as folder:
        path = pathlib.Path(folder) / "readback.bin"
        write, read = _commands_for(session, usb_id, str(path))
        session.must_run(*write, doing="writing with dfu-util")
        # The boot loader may be gone before its last answer.
        done = session.run(*read, doing="verifying")
        if not path.is_file() or path.read_bytes() != session.files.image:
            raise EdgeError(f"dfu-util did not read back what it wrote: {done.reason}.")


def _commands_for(session: Session, usb_id: str, path: str) -> list[tuple[str, ...]]:
    files, device = session.files, ("-d", usb_id, "-a", str(session.way.alt))
    start = f"0x{files.address:08x}"
    return [
        (NAME, *device, "-s", start, "-D", str(files.path("bin"))),
        (NAME, *device, "-s", f"{start}:{len(files.image)}:leave", "-U", path),
    ]


def _devices(done: Output) -> list[tuple[str, int]]:
    return [(found, int(alt)) for found, alt in FOUND.findall(done.text)]


DFU_UTIL = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    waits_for=_waits_for,
    identify=_identify,
)
