"""Writes a board file for a user to fill in: a copy of a known board, each field explained."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from edge.catalog.board_file import BoardTable, FiguresTable
from edge.catalog.boards import BOARD_FOLDER, Board, find_board, require_own_name
from edge.errors import EdgeError, readable
from edge.system.files import output_file, write_files
from edge.system.toml_file import comment_lines, table_of

HEADING = """\
A board of your own, made from {origin}. Give this file wherever a command takes --board; its name \
is the board's id. What a line says that is wrong is named when the file is read. Take each figure \
from the data sheet or the reference manual, and say under [source] from which.
"""
FIGURES = (
    "Other numbers here become {table}_NAME in the firmware's board.h, which the chip's source "
    "reads."
)


def write_board_file(
    path: str | os.PathLike, origin: str | os.PathLike | Board = "nucleo-f446re"
) -> pathlib.Path:
    """Writes a board file that starts as a known board and explains every field.

    Args:
        path: The file to write; it ends in `.toml`, and is not there yet.
        origin: The board to start from: its name, or another board file.

    Returns:
        The path of the file, for `find_board` and `--board`.

    Raises:
        EdgeError: If the file is there already or cannot be written, its name cannot be a board's
            id, or there is no board to start from.

    Example:
        >>> path = write_board_file("my-board.toml", "nucleo-f446re")
        >>> find_board(path).id, find_board(path).ram_bytes
        ('my-board', 131072)
    """
    made = output_file(path)
    require_own_name(made)
    if made.exists():
        raise EdgeError(
            f"{readable(str(made), 100)} is there already and may hold your figures: give another "
            "name, or remove it."
        )
    text = board_file_text(find_board(origin), made.stem)
    write_files(made.parent, {made.name: text.encode("utf-8")})
    return made


def board_file_text(board: Board, name: str) -> str:
    """The text of a board file that starts as a known board.

    Args:
        board: The board to start from.
        name: What the new board is called.

    Returns:
        The TOML text, with a comment before each field.

    Example:
        >>> "# The highest core clock" in board_file_text(find_board("microbit-v2"), "mine")
        True
    """
    source = BOARD_FOLDER / f"{board.id}.toml" if board.file is None else board.file
    lines = [*comment_lines(HEADING.format(origin=f"{board.name} ({board.id})")), ""]
    lines += _explained(source.read_text("utf-8").splitlines(), name)
    given = {line.strip("[]") for line in lines if line.startswith("[")}
    for table, field in BoardTable.model_fields.items():
        if table not in given and field.examples:
            lines += ["", *_sample(table, field)]
    return "\n".join(lines) + "\n"


def _explained(lines: list[str], name: str) -> Iterator[str]:
    """The lines of a board file, explained where they are not yet."""
    table: type[BaseModel] | None = BoardTable
    own = {"name": f'name = "{name}"', "aliases": "aliases = []"}
    for line in lines:
        if line.startswith("#"):
            continue
        if heading := re.match(r"\[+(\w+)\]+", line):
            field = BoardTable.model_fields[heading[1]]
            table = table_of(field.annotation)
            yield from comment_lines(_about(heading[1], field))
        elif (key := re.match(r"(\w+) *=", line)) and table and key[1] in table.model_fields:
            yield from comment_lines(table.model_fields[key[1]].description or "")
            if table is BoardTable:
                line = own.get(key[1], line)
        yield line


def _about(name: str, field: FieldInfo) -> str:
    table = table_of(field.annotation)
    is_open = table is not None and issubclass(table, FiguresTable)
    return f"{field.description}{f' {FIGURES.format(table=name.upper())}' if is_open else ''}"


def _sample(name: str, field: FieldInfo) -> Iterator[str]:
    """A table that the board has not, in comments."""
    table = table_of(field.annotation)
    assert table is not None
    assert field.examples is not None
    yield from comment_lines(_about(name, field))
    yield f"# [{name}]"
    for key, value in zip(table.model_fields, field.examples, strict=True):
        yield f"# {key} = {value}  # {table.model_fields[key].description}"
