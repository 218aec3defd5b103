"""The command boards."""

from __future__ import annotations

from edge.cli import json, tables
from edge.cli.console import print_json, show
from edge.cli.options import JsonOption


def boards(as_json: JsonOption = False) -> None:
    """List the boards: clock, cycles that their flash makes the core wait, flash and RAM."""
    from edge.catalog.boards import boards

    found = boards()
    if as_json:
        print_json([json.board_json(board) for board in found])
    else:
        show(tables.boards_table(found))
