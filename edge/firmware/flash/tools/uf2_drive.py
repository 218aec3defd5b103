"""Drives of UF2 boot loaders: a file is copied, and the board starts once it has all of it."""

from __future__ import annotations

import pathlib
import struct
import time

from edge.errors import EdgeError, readable
from edge.firmware.flash.drives import is_mounted
from edge.firmware.flash.session import Session
from edge.firmware.flash.tools.drive_tool import drive_tool
from edge.firmware.flash.uf2 import UF2_FIRST_MAGIC, UF2_HAS_FAMILY, uf2
from edge.system.files import write_to_drive

NAME = "uf2"
INFO_FILE = "INFO_UF2.TXT"
CURRENT_FILE = "CURRENT.UF2"
START_SECONDS = 20.0
STEP_SECONDS = 0.1


def _program(session: Session, drive: pathlib.Path) -> None:
    """Copies the image and waits until the boot loader has taken it and is gone."""
    files, family = session.files, session.board.uf2_family
    assert family is not None, "a way of this kind is only given to boards with a family"
    content = uf2(files.image, files.address, family)
    try:
        write_to_drive(
            drive, "firmware.uf2", content, lambda done: session.tell(f"copying, {done:.0%}")
        )
    except EdgeError:
        # The board may start before the system has closed the file.
        if is_mounted(drive, INFO_FILE):
            raise
    session.tell("waiting until the board starts")
    end = time.monotonic() + min(START_SECONDS, session.deadline.left())
    while is_mounted(drive, INFO_FILE):
        if time.monotonic() > end:
            raise EdgeError(
                f"The boot loader of {session.board.name} took the file but did not start it; its "
                f"drive {drive} is still there. Unplug the board and try again."
            )
        time.sleep(STEP_SECONDS)


def _wrong(session: Session, drive: pathlib.Path, fields: dict[str, str]) -> str:
    board_id, wanted = fields.get("Board-ID", ""), session.way.board_ids
    if wanted and not board_id.lower().startswith(tuple(each.lower() for each in wanted)):
        said = readable(board_id or "nameless", 40)
        return f"{drive} is the drive of another board ({said}, not {' or '.join(wanted)})"
    family = _current_family(drive / CURRENT_FILE)
    if family not in (None, session.board.uf2_family):
        return f"{drive} takes UF2 files of another family (0x{family:08x})"
    return ""


def _current_family(path: pathlib.Path) -> int | None:
    """The family of what is in flash now, where the drive shows that as a file."""
    try:
        with path.open("rb") as file:
            head = struct.unpack("<8I", file.read(32))
    except (OSError, struct.error):
        return None
    return head[7] if head[0] == UF2_FIRST_MAGIC and head[2] & UF2_HAS_FAMILY else None


UF2_DRIVE = drive_tool(
    NAME, INFO_FILE, suffix=lambda session: "uf2", wrong=_wrong, program=_program
)
