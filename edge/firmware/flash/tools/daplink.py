"""Drives of debug probes: DAPLink's and ST-LINK's write what is copied to them."""

from __future__ import annotations

import contextlib
import pathlib
import re
import time

from edge.errors import EdgeError, readable
from edge.firmware.flash.drives import drives, is_mounted, read_fields
from edge.firmware.flash.session import Session
from edge.firmware.flash.tool import Tool
from edge.system.files import read_file, write_to_drive

NAME = "daplink"
DETAILS_FILE, PAGE_FILE, FAIL_FILE = "DETAILS.TXT", "MBED.HTM", "FAIL.TXT"
CODE = re.compile(r"[?&](?:code|auth)=([0-9A-Fa-f]{4})")
STEP_SECONDS = 0.1
LARGEST_TEXT = 4096


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    found = _drives(session)
    if any(not wrong for _, wrong in found):
        return ""
    return next((wrong for _, wrong in found), f"no drive with {DETAILS_FILE}")


def _identify(session: Session) -> bool:
    """The drive says of which board it is, and another one is not taken."""
    return bool(session.way.board_ids)


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be done."""
    there = next((str(drive) for drive, wrong in _drives(session) if not wrong), "DRIVE")
    return [("copy", str(session.files.path(session.way.suffix)), "to", there)]


def _program(session: Session) -> None:
    """Copies the image, waits until the probe has taken it, and reads what it says."""
    drive = next(drive for drive, wrong in _drives(session) if not wrong)
    path = session.files.path(session.way.suffix)
    session.tell(f"copying to {drive}")
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


def _drives(session: Session) -> list[tuple[pathlib.Path, str]]:
    """The drives of debug probes, and why each is not the board's."""
    found = []
    for drive in drives(session.drives):
        fields = read_fields(drive / DETAILS_FILE)
        if fields is not None:
            found.append((drive, _wrong(session, drive, fields)))
    return found


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


DAPLINK = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    waits_for=_waits_for,
    identify=_identify,
    is_command=False,
)
