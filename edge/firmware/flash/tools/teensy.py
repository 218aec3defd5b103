"""teensy_loader_cli: the HalfKay boot loader of PJRC's Teensy boards."""

from __future__ import annotations

from edge.errors import EdgeError
from edge.firmware.flash.session import LimitError, Session
from edge.firmware.flash.tool import Tool

NAME = "teensy_loader_cli"


def _commands(session: Session) -> list[tuple[str, ...]]:
    """Lists what will be run."""
    return [(NAME, f"--mcu={session.way.target}", "-w", "-v", str(session.files.path("hex")))]


def _program(session: Session) -> None:
    """Programs the board and starts it; its boot loader lets nothing be read back."""
    (command,) = _commands(session)
    session.tell(session.way.hint)
    try:
        session.must_run(*command, doing="writing with teensy_loader_cli")
    except LimitError as error:
        raise EdgeError(f"{error} {session.way.hint}") from None


TEENSY = Tool(
    name=NAME,
    commands=_commands,
    program=_program,
    is_verifying=False,
)
