"""The command boards."""

from __future__ import annotations

from edge.cli import json, tables
from edge.cli.console import print_json, say, show
from edge.cli.options import JsonOption, NewBoardOption, OriginOption
from edge.errors import EdgeError


def boards(
    as_json: JsonOption = False, new: NewBoardOption = None, origin: OriginOption = None
) -> None:
    """List the boards, their clock, memory, serial port and light; or write a file for your own."""
    from edge.catalog.boards import boards
    from edge.catalog.new_board import write_board_file

    if new is not None:
        path = write_board_file(new, origin or "nucleo-f446re")
        say(f"Wrote {path}: change its figures, then give --board {path}.")
        return
    if origin is not None:
        raise EdgeError("--from says what a new board starts as: give --new my-board.toml too.")
    found = boards()
    if as_json:
        print_json([json.board_json(board) for board in found])
    else:
        show(tables.boards_table(found))
