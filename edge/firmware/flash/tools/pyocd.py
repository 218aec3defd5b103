"""pyOCD: CMSIS-DAP, ST-LINK and J-Link probes, for chips that are built in or come in packs."""

from __future__ import annotations

import functools
import json
import re

from edge.errors import EdgeError
from edge.firmware.flash.identity import require_chip
from edge.firmware.flash.session import LOOK_SECONDS, READING, Session
from edge.firmware.flash.tool import Tool

NAME = "pyocd"
WORD = re.compile(r"^[0-9a-f]{8}:\s+([0-9a-f]{8})\b", re.MULTILINE | re.IGNORECASE)
MATCH = re.compile(r"All \d+ bytes match")


def _lacks(session: Session) -> str:
    """Says what must be installed first."""
    target = session.way.target
    if target in _targets(session):
        return ""
    return f"needs a pack: pyocd pack install {target}"


def _waits_for(session: Session) -> str:
    """Says what must be plugged in."""
    return "" if _probe(session) else "no debug probe"


def _chip_id(session: Session) -> int | None:
    """Reads the word by which the chip is known."""
    known = session.board.programming.chip_id
    if known is None:
        return None
    # A locked chip must not be erased to be asked who it is.
    options = ("-O", "auto_unlock=false", "-t", "cortex_m", "-M", "attach")
    read = f"read32 0x{known.address:08x}"
    command = (NAME, "commander", "--no-wait", *_uid(session), *options, "-c", read)
    found = WORD.search(session.run(*command, most=LOOK_SECONDS, doing=READING).text)
    return int(found[1], 16) if found else None


def _identify(session: Session) -> bool:
    return require_chip(session.board, _chip_id(session), NAME)


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    target, files = session.way.target, session.files
    compare = f'compare 0x{files.address:08x} "{files.path("bin")}"'
    return [
        (NAME, "flash", "--no-wait", "--target", target, str(files.path("elf"))),
        (NAME, "commander", "--no-wait", "--target", target, "-c", compare, "-c", "reset"),
    ]


def _program(session: Session) -> None:
    """Programs the board, compares its flash and starts it."""
    write, compare = _commands(session)
    session.must_run(*write[:3], *_uid(session), *write[3:], doing="writing with pyocd")
    read = session.must_run(*compare[:3], *_uid(session), *compare[3:], doing="verifying")
    if not MATCH.search(read.text):
        raise EdgeError(f"pyocd did not find in flash what it wrote: {read.reason}.")


@functools.cache
def _target_names(text: str) -> frozenset[str]:
    return frozenset(str(target["name"]) for target in json.loads(text)["targets"])


def _targets(session: Session) -> frozenset[str]:
    return _target_names(_json(session, "--targets"))


def _json(session: Session, what: str) -> str:
    done = session.run(NAME, "json", what, most=LOOK_SECONDS)
    try:
        # Warnings about packs may stand before it.
        text = done.text[done.text.index("{") : done.text.rindex("}") + 1]
        json.loads(text)
    except ValueError:
        raise EdgeError(f"pyocd json {what} failed: {done.reason}.") from None
    return text


def _probe(session: Session) -> str:
    """The id of the probe that sits on the board; empty if there is none."""
    found = json.loads(_json(session, "--probes"))["boards"]
    ours = [board for board in found if board.get("target") == session.way.target]
    ours = ours if ours else found
    if len(ours) > 1:
        raise EdgeError(
            f"{len(ours)} debug probes are plugged in; leave only that of {session.board.name}."
        )
    return str(ours[0]["unique_id"]) if ours else ""


def _uid(session: Session) -> tuple[str, ...]:
    probe = _probe(session)
    return ("--uid", probe) if probe else ()


PYOCD = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    lacks=_lacks,
    waits_for=_waits_for,
    identify=_identify,
)
