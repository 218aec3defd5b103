"""The command flash."""

from __future__ import annotations

from edge.cli.console import say, status
from edge.cli.options import BoardOption, DryRunOption, FirmwareArgument


def flash(
    folder: FirmwareArgument,
    board: BoardOption = "nucleo-f446re",
    dry_run: DryRunOption = False,
) -> None:
    """Program a board with a firmware."""
    from edge.catalog.boards import find_board
    from edge.firmware.flash.flash import flash, flash_plan

    target = find_board(board)
    sentence = flash_plan(folder, target).sentence()
    if dry_run:
        say(sentence)
        return
    with status(f"Programming {target.name}"):
        flash(folder, target)
    say(f"Programmed {target.name}: {sentence}")
