"""OpenOCD: nearly all probes, for the chips of its configuration files."""

from __future__ import annotations

import pathlib
import re

from edge.errors import EdgeError
from edge.firmware.flash.find_tool import find_tool
from edge.firmware.flash.identity import require_chip
from edge.firmware.flash.session import LOOK_SECONDS, READING, Session
from edge.firmware.flash.tool import Tool

NAME = "openocd"
WORD = re.compile(r"^0x[0-9a-f]{8}:\s+([0-9a-f]{8})\b", re.MULTILINE)
NO_SERVERS = "gdb_port disabled; tcl_port disabled; telnet_port disabled"
PLAIN_PATH = re.compile(r"[\w./-]+")


def _lacks(session: Session) -> str:
    """Says what must be installed first."""
    folders = _script_folders()
    for script in session.way.scripts:
        if folders and not any((folder / script).is_file() for folder in folders):
            return f"has no {script}; a newer OpenOCD may have"
    return ""


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    done = session.run(*_start(session), "-c", "init; shutdown", most=LOOK_SECONDS)
    return "" if done.code == 0 else done.reason or "no debug probe"


def _chip_id(session: Session) -> int | None:
    """Reads the word by which the chip is known."""
    known = session.board.programming.chip_id
    if known is None:
        return None
    read = f"init; mdw 0x{known.address:08x}; shutdown"
    done = session.run(*_start(session), "-c", read, most=LOOK_SECONDS, doing=READING)
    found = WORD.search(done.text)
    return int(found[1], 16) if found else None


def _identify(session: Session) -> bool:
    return require_chip(session.board, _chip_id(session), NAME)


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    elf = str(session.files.path("elf"))
    # It is a word of Tcl.
    word = elf if PLAIN_PATH.fullmatch(elf) else f"{{{elf}}}"
    return [(*_start(session), "-c", f"program {word} verify reset exit")]


def _program(session: Session) -> None:
    """Programs the board, compares its flash and starts it."""
    (command,) = _commands(session)
    done = session.must_run(*command, doing="writing and verifying with openocd")
    if "Verified OK" not in done.text:
        raise EdgeError(f"openocd did not verify what it wrote: {done.reason}.")


def _start(session: Session) -> tuple[str, ...]:
    files = [word for script in session.way.scripts for word in ("-f", script)]
    speed = session.way.adapter_khz
    at = () if speed is None else ("-c", f"adapter speed {speed}")
    # Servers would wait for a port that another OpenOCD holds.
    return (NAME, *files, *at, "-c", NO_SERVERS)


def _script_folders() -> list[pathlib.Path]:
    path = find_tool(NAME)
    if path is None:
        return []
    prefix = pathlib.Path(path).resolve().parent.parent
    places = [prefix / "share/openocd/scripts", prefix / "openocd/scripts", prefix / "scripts"]
    found = [folder for folder in places if folder.is_dir()]
    own = pathlib.Path.home() / ".config/openocd"
    return [*found, own] if found else []


OPENOCD = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    lacks=_lacks,
    waits_for=_waits_for,
    identify=_identify,
)
