"""The rows of a long benchmark, a line of JSON each: what is there is not measured again."""

from __future__ import annotations

import json
import pathlib


def read_rows(path: pathlib.Path) -> list[dict]:
    """The rows so far."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def add_row(path: pathlib.Path, row: dict) -> None:
    """Writes a row behind the others, and prints it."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
