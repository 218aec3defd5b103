"""probe-rs: CMSIS-DAP, ST-LINK and J-Link probes, for the chips that it knows."""

from __future__ import annotations

import re

from edge.firmware.flash.identity import require_chip
from edge.firmware.flash.session import LOOK_SECONDS, READING, Session
from edge.firmware.flash.tool import Tool

NAME = "probe-rs"
WORD = re.compile(r"^(?:[0-9a-fx]+:\s+)?([0-9a-f]{8})\s*$", re.MULTILINE | re.IGNORECASE)
PROBE = re.compile(r"^\[\d+\]: ", re.MULTILINE)


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    done = session.run(NAME, "list", most=LOOK_SECONDS)
    return "" if PROBE.search(done.text) else "no debug probe"


def _chip_id(session: Session) -> int | None:
    """Reads the word by which the chip is known."""
    known = session.board.programming.chip_id
    if known is None:
        return None
    command = (NAME, "read", *_chip(session), "b32", f"0x{known.address:08x}", "1")
    found = WORD.search(session.run(*command, most=LOOK_SECONDS, doing=READING).text)
    return int(found[1], 16) if found else None


def _identify(session: Session) -> bool:
    return require_chip(session.board, _chip_id(session), NAME)


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    chip, elf = _chip(session), str(session.files.path("elf"))
    return [(NAME, "download", *chip, "--verify", elf), (NAME, "reset", *chip)]


def _program(session: Session) -> None:
    """Programs the board, compares its flash and starts it."""
    write, start = _commands(session)
    session.must_run(*write, doing="writing and verifying with probe-rs")
    session.must_run(*start, doing="starting")


def _chip(session: Session) -> tuple[str, ...]:
    # Asked which of several probes, it must not wait for an answer.
    return ("--non-interactive", "--chip", session.way.target)


PROBE_RS = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    waits_for=_waits_for,
    identify=_identify,
)
