"""Compares the chip that a tool has found with the board's, before anything is erased."""

from __future__ import annotations

from edge.catalog.boards import Board
from edge.errors import EdgeError

SILENT = (0, 0xFFFFFFFF)
"""What a register reads as that is not powered, or that a locked chip does not show."""


def require_chip(board: Board, word: int | None, tool: str) -> bool:
    """Compares the word by which a chip is known with the board's.

    Args:
        board: The board.
        word: What the tool has read; None if it could not.
        tool: The tool, for the message.

    Returns:
        Whether the chip is the board's; False if the word does not tell.

    Raises:
        EdgeError: If it is another chip.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> require_chip(find_board("nucleo-f446re"), 0x10006421, "openocd")
        True
    """
    known = board.programming.chip_id
    if known is None or word is None or word in SILENT:
        return False
    if word & known.mask != known.value:
        raise EdgeError(
            f"The chip that {tool} found is not that of {board.name} ({board.mcu}): its "
            f"{known.name} is 0x{word & known.mask:x}, not 0x{known.value:x}. Nothing was erased."
        )
    return True
