"""The command flash."""

from __future__ import annotations

from edge.cli.console import say, telling
from edge.cli.options import (
    BoardOption,
    DryRunOption,
    FirmwareArgument,
    FlashToolOption,
    TimeoutOption,
)


def flash(
    folder: FirmwareArgument,
    board: BoardOption = "nucleo-f446re",
    tool: FlashToolOption = None,
    timeout: TimeoutOption = 60.0,
    dry_run: DryRunOption = False,
) -> None:
    """Program a board with a firmware, with the first of its tools that finds it."""
    from edge.catalog.boards import find_board
    from edge.firmware.flash.flash import flash, flash_plan

    target = find_board(board)
    # What is wrong with the folder is said before anything is at work.
    ways = flash_plan(folder, target, tool=tool)
    if dry_run:
        for way in ways:
            say(way.sentence())
        return
    with telling(f"Programming {target.name}") as tell:
        done = flash(folder, target, tool=tool, timeout=timeout, tell=tell)
    chip = "the chip's id is the board's" if done.is_chip_known else "the chip's id was not read"
    flashed = "verified" if done.is_verified else "not verified, its boot loader shows no flash"
    say(f"Programmed {target.name} with {done.tool}: {done.bytes:,} bytes, {flashed}; {chip}.")
