"""st-flash of stlink-tools: ST-LINK probes and STM32 chips."""

from __future__ import annotations

import re

from edge.errors import EdgeError
from edge.firmware.flash.identity import require_chip
from edge.firmware.flash.session import LOOK_SECONDS, Session
from edge.firmware.flash.tool import Tool

NAME = "st-flash"
CHIP_ID = re.compile(r"chip-?id:\s+(0x[0-9a-f]+)", re.IGNORECASE)
COUNT = re.compile(r"Found (\d+) stlink programmers")
DEVICE_BITS = 0xFFF


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    found = COUNT.search(_probe(session))
    count = int(found[1]) if found else 0
    if count > 1:
        raise EdgeError(
            f"{count} ST-LINKs are plugged in; leave only that of {session.board.name}."
        )
    return "" if count else "no ST-LINK"


def _chip_id(session: Session) -> int | None:
    """Reads the word by which the chip is known."""
    known = session.board.programming.chip_id
    found = CHIP_ID.search(_probe(session))
    if known is None or known.mask != DEVICE_BITS or found is None:
        return None
    return int(found[1], 16)


def _identify(session: Session) -> bool:
    return require_chip(session.board, _chip_id(session), NAME)


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    files = session.files
    return [(NAME, "--reset", "write", str(files.path("bin")), f"0x{files.address:08x}")]


def _program(session: Session) -> None:
    """Programs the board, compares its flash and starts it."""
    (command,) = _commands(session)
    done = session.must_run(*command, doing="writing and verifying with st-flash")
    if "verified" not in done.text.lower():
        raise EdgeError(f"st-flash did not verify what it wrote: {done.reason}.")


def _probe(session: Session) -> str:
    return session.run("st-info", "--probe", most=LOOK_SECONDS).text


ST_FLASH = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    waits_for=_waits_for,
    identify=_identify,
)
