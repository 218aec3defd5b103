"""Which model a board's microcontroller has."""

from __future__ import annotations

import math
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.imxrt import make_imxrt
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.nordic import make_nordic, make_nrf53
from edge.firmware.machine.rp2 import make_rp2
from edge.firmware.machine.samd21 import make_samd21
from edge.firmware.machine.stm32f4 import LIMITS, make_stm32f4
from edge.firmware.machine.stm32h7 import H7_LIMITS, make_stm32h7
from edge.firmware.machine.stm32l4 import L4_LIMITS, make_stm32l4
from edge.firmware.machine.stm32u5 import make_stm32u5
from edge.firmware.machine.watch import Watch

MODELS: dict[str, Callable[..., ChipModel]] = {
    **dict.fromkeys(LIMITS, make_stm32f4),
    **dict.fromkeys(H7_LIMITS, make_stm32h7),
    **dict.fromkeys(L4_LIMITS, make_stm32l4),
    "STM32U5": make_stm32u5,
    "NRF51": make_nordic,
    "NRF52": make_nordic,
    "NRF53": make_nrf53,
    "ATSAMD21": make_samd21,
    "RP2": make_rp2,
    "MIMXRT1062": make_imxrt,
}
"""What makes the model, by the beginning of the part number."""


def has_model(board: Board) -> bool:
    """Tells whether a board's microcontroller is modelled.

    Args:
        board: The board.

    Returns:
        Whether it is; not if it runs as it comes out of reset.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> has_model(find_board("nucleo-f446re"))
        True
    """
    is_known = board.mcu.upper().startswith(tuple(MODELS))
    return is_known and board.chip.family != "bare"


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
    if has_model(board):
        part = next(part for part in MODELS if board.mcu.upper().startswith(part))
        return MODELS[part](board, line, watch, is_dead=is_dead)
    return ChipModel([], lambda: math.nan, line, Lamp())
