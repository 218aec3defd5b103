"""Drives of debug probes: DAPLink's and ST-LINK's write what is copied to them."""

from __future__ import annotations

import contextlib
import pathlib
import re
import time

from edge.errors import EdgeError, readable
from edge.firmware.flash.drives import is_mounted
from edge.firmware.flash.session import Session
from edge.firmware.flash.tools.drive_tool import drive_tool
from edge.system.files import read_file, write_to_drive

NAME = "daplink"
DETAILS_FILE, PAGE_FILE, FAIL_FILE = "DETAILS.TXT", "MBED.HTM", "FAIL.TXT"
CODE = re.compile(r"[?&](?:code|auth)=([0-9A-Fa-f]{4})")
STEP_SECONDS = 0.1
LARGEST_TEXT = 4096


def _program(session: Session, drive: pathlib.Path) -> None:
    """Copies the image, waits until the probe has taken it, and reads what it says."""
    path = session.files.path(session.way.suffix)
    write_to_drive(
        drive, path.name, read_file(path), lambda done: session.tell(f"copying, {done:.0%}")
    )
    session.tell("waiting for the probe")
    # The probe takes the file off its drive, and shows the drive anew when it is done.
    while not is_mounted(drive, DETAILS_FILE) or is_mounted(drive, path.name):
        if not session.deadline.left():
            raise EdgeError(
                f"The probe of {session.board.name} did not take {path.name} from {drive} within "
                f"{session.deadline.seconds:g} s."
            )
        time.sleep(STEP_SECONDS)
    with contextlib.suppress(FileNotFoundError):
        said = (drive / FAIL_FILE).read_bytes()[:LARGEST_TEXT].decode("ascii", "replace")
        reason = readable(" ".join(said.split()), 160)
        raise EdgeError(f"The probe of {session.board.name} refused {path.name}: {reason}.")


def _wrong(session: Session, drive: pathlib.Path, fields: dict[str, str]) -> str:
    """DAPLink's unique id begins with the number of the board; ST-LINK's page has it in a link."""
    number, wanted = fields.get("Unique ID", "")[:4], session.way.board_ids
    with contextlib.suppress(OSError):
        page = (drive / PAGE_FILE).read_bytes()[:LARGEST_TEXT].decode("ascii", "replace")
        link = CODE.search(page)
        number = number or (link[1] if link else "")
    if number.lower() in (each.lower() for each in wanted):
        return ""
    said = readable(number or "none", 20)
    return f"{drive} is the drive of another board (number {said}, not {' or '.join(wanted)})"


DAPLINK = drive_tool(
    NAME, DETAILS_FILE, suffix=lambda session: session.way.suffix, wrong=_wrong, program=_program
)
