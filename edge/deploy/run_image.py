"""Runs a board's own image on every emulator here that has the board's memory map."""

from __future__ import annotations

import pathlib

from edge.catalog.boards import Board
from edge.firmware.emulate import EmulationError
from edge.firmware.machine.image_run import ImageRun, can_run_image, run_image
from edge.firmware.machine.qemu_board import installed_machine, run_image_on_qemu


def run_everywhere(elf: pathlib.Path, board: Board) -> tuple[ImageRun, ...]:
    """Runs the image of a board where it can run unchanged.

    Args:
        elf: The path of the image, as `build` makes it.
        board: The board that it was built for.

    Returns:
        What it did on QEMU's machine with the board's memory map, if this QEMU has one, and on
        unicorn, if that is installed and has the core; nothing where there is neither.

    Raises:
        EmulationError: If its test of itself fails, or it ends in a fault.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "nucleo-f446re", "firmware").firmware.elf
        >>> [done.outcome for done in run_everywhere(elf, find_board("nucleo-f446re"))]
        ['passed', 'passed']
    """
    runs = []
    machine = installed_machine(board)
    if machine is not None:
        runs.append(run_image_on_qemu(elf, board, machine))
    if can_run_image(board):
        runs.append(run_image(elf, board))
    for done in runs:
        if done.result != 1 or done.fault is not None:
            raise EmulationError(f"{board.name}'s image on {done.emulator}: {done.outcome}.")
    return tuple(runs)
