"""What the drives that take an image have in common: which of those there is the board's."""

from __future__ import annotations

import pathlib
from collections.abc import Callable

from edge.firmware.flash.drives import drives, read_fields
from edge.firmware.flash.session import Session
from edge.firmware.flash.tool import Tool


def drive_tool(
    name: str,
    file: str,
    *,
    suffix: Callable[[Session], str],
    wrong: Callable[[Session, pathlib.Path, dict[str, str]], str],
    program: Callable[[Session, pathlib.Path], None],
) -> Tool:
    """Makes the tool of a kind of drive.

    Args:
        name: The tool's name in the board's file.
        file: The name of the file by which such a drive is known.
        suffix: The function that gives the suffix of the image's file.
        wrong: The function that says why a drive with the fields of that file is not the board's;
            empty if it is.
        program: The function that copies the image to the board's drive.

    Returns:
        The tool.

    Example:
        >>> def copy(session, drive):
        ...     raise NotImplementedError
        >>> options = {"suffix": lambda s: "uf2", "wrong": lambda s, d, f: "", "program": copy}
        >>> made = drive_tool("uf2", "INFO_UF2.TXT", **options)
        >>> made.is_command
        False
    """

    def found(session: Session) -> list[tuple[pathlib.Path, str]]:
        """The drives of this kind, and why each is not the board's."""
        there = [(drive, read_fields(drive / file)) for drive in drives(session.drives)]
        return [(d, wrong(session, d, fields)) for d, fields in there if fields is not None]

    def own(session: Session) -> pathlib.Path | None:
        return next((drive for drive, reason in found(session) if not reason), None)

    def waits_for(session: Session) -> str:
        reasons = [reason for _, reason in found(session)]
        return "" if "" in reasons else next(iter(reasons), f"no drive with {file}")

    def commands(session: Session) -> list[tuple[str, ...]]:
        there = str(own(session) or "DRIVE")
        return [("copy", str(session.files.path(suffix(session))), "to", there)]

    def copy(session: Session) -> None:
        drive = own(session)
        assert drive is not None, "a tool programs once it waits for nothing"
        session.tell(f"copying to {drive}")
        program(session, drive)

    return Tool(
        name=name,
        commands=commands,
        program=copy,
        waits_for=waits_for,
        # The drive says of which board it is, and another one is not taken.
        identify=lambda session: bool(session.way.board_ids),
        is_command=False,
    )
