"""What a program or a drive that writes to boards can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edge.firmware.flash.session import Session


def _nothing(session: Session) -> str:
    del session
    return ""


def _unknown(session: Session) -> bool:
    del session
    return False


@dataclasses.dataclass(frozen=True)
class Tool:
    """A program that writes to boards, or a drive that takes files for them.

    Attributes:
        name: The name in the board's file, and of the command if it is one.
        is_command: Whether it is a program that must be installed.
        commands: The function that lists what will be run.
        program: The function that writes, verifies and starts; it raises `EdgeError`.
        lacks: The function that says what must be installed beside it; empty if nothing.
        waits_for: The function that says what must be plugged in; empty if all is there.
        identify: The function that says whether the chip is known to be the board's; it raises
            `EdgeError` if it is another one.
        is_verifying: Whether what was written is compared with the image.
    """

    name: str
    commands: Callable[[Session], list[tuple[str, ...]]]
    program: Callable[[Session], None]
    lacks: Callable[[Session], str] = _nothing
    waits_for: Callable[[Session], str] = _nothing
    identify: Callable[[Session], bool] = _unknown
    is_command: bool = True
    is_verifying: bool = True
