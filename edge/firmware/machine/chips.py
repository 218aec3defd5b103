"""Which model a board's microcontroller has."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.stm32f4 import make_stm32f4
from edge.firmware.machine.watch import Watch

MODELS: dict[str, Callable[..., ChipModel]] = {
    "STM32F4": make_stm32f4,
    "STM32F7": make_stm32f4,
}
"""What makes the model, by the beginning of the part number."""


def make_chip(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes the model of a board's microcontroller.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model; without peripherals for a chip that runs as it comes out of reset.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_chip(find_board("mps2-an386"), Line(Watch()), Watch()).blocks
        []
    """
    if board.chip.family != "bare":
        for part, make in MODELS.items():
            if board.mcu.upper().startswith(part):
                return make(board, line, watch, is_dead=is_dead)
    return ChipModel([], lambda: math.nan, line, Lamp())
