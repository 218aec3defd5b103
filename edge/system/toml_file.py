"""Reads TOML files that people write, and says of what is wrong which field it is, in one line."""

from __future__ import annotations

import difflib
import os
import pathlib
import textwrap
import tomllib
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from edge.errors import EdgeError, readable

COMMENT_COLUMNS = 96

Table = TypeVar("Table", bound=BaseModel)


def read_toml_file(path: str | os.PathLike, table: type[Table], *, what: str, advice: str) -> Table:
    """Reads a TOML file and checks every field.

    Args:
        path: The path of the file.
        table: The class of the whole file.
        what: What the file is called in messages, such as "board file".
        advice: What to do if there is no such file.

    Returns:
        The content, an object of the class.

    Raises:
        EdgeError: If the file is not there, is no TOML, or has a field that is unknown or wrong:
            which, and what it should be.

    Example:
        >>> read_toml_file("my.toml", BaseModel, what="file of a run", advice="write one")
        Traceback (most recent call last):
        edge.errors.EdgeError: There is no file of a run my.toml; write one.
    """
    shown = readable(os.fspath(path), 100)
    try:
        content = tomllib.loads(pathlib.Path(path).read_text("utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise EdgeError(f"There is no {what} {shown}; {advice}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EdgeError(f"{what.capitalize()} {shown} is no TOML: {error}.") from None
    try:
        return table.model_validate(content)
    except ValidationError as error:
        # The first is enough to go on with: a table that is wrong drags others along.
        sentence = _sentence(table, error.errors()[0])
        raise EdgeError(f"{what.capitalize()} {shown}: {sentence}") from None


def _sentence(root: type[BaseModel], error: ErrorDetails) -> str:
    """What is wrong with a field, and what the field is."""
    where = error["loc"]
    table, field = _field(root, where)
    name = _spelled(root, where)
    if error["type"] == "missing":
        problem = f"{name} is missing"
    elif error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(where[-1]), table.model_fields, n=1)
        known = near or list(table.model_fields)
        return f"{name} is unknown; there is {', '.join(known)}."
    elif error["type"] == "value_error":
        problem = f"{f'{name}: ' if name else ''}{error['msg'].removeprefix('Value error, ')}"
    else:
        should = error["msg"].removeprefix("Input ")
        value = readable(repr(error["input"]), 40)
        problem = f"{name} is {value} but {should}"
    hint = "" if field is None else f" {field}"
    return f"{problem}.{hint}"


def _field(
    root: type[BaseModel], where: tuple[int | str, ...]
) -> tuple[type[BaseModel], str | None]:
    """The table in which an error lies, and the description of its field if it has one."""
    table = root
    description = None
    for part in where:
        if isinstance(part, int) or part not in table.model_fields:
            continue
        field = table.model_fields[part]
        description = field.description
        table = table_of(field.annotation) or table
    return table, description


def table_of(annotation: Any) -> type[BaseModel] | None:
    """Finds the table that a field holds: alone, in a list or as an option.

    Args:
        annotation: The type of the field.

    Returns:
        The class of the table; None if the field holds a plain value.

    Example:
        >>> table_of(list[BaseModel]).__name__
        'BaseModel'
    """
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = (table_of(part) for part in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)


def _spelled(root: type[BaseModel], where: tuple[int | str, ...]) -> str:
    """Where an error lies, as somebody finds it in the file: `[[ram]] 2 bytes`."""
    parts = [str(part + 1) if isinstance(part, int) else readable(part, 40) for part in where]
    if parts and parts[0] in root.model_fields:
        annotation = root.model_fields[parts[0]].annotation
        if getattr(annotation, "__origin__", None) is list and table_of(annotation):
            parts[0] = f"[[{parts[0]}]]"
        elif table_of(annotation):
            parts[0] = f"[{parts[0]}]"
    return " ".join(parts)


def comment_lines(text: str) -> list[str]:
    """Breaks a text into the lines of a comment.

    Args:
        text: The text.

    Returns:
        Lines that begin with `#`.

    Example:
        >>> comment_lines("Why this is so.")
        ['# Why this is so.']
    """
    return textwrap.wrap(text, COMMENT_COLUMNS, initial_indent="# ", subsequent_indent="# ")
