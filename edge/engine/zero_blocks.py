"""The blocks of a kernel's weights that the engine leaves out where they are all zero."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.engine.packing import instruction_set
from edge.engine.packing_dsp import in_run_order
from edge.engine.packing_mve import MVE_CHANNELS, MVE_LANES
from edge.engine.packing_portable import BLOCK_TAPS, PAIR

DSP_MULTIPLE = 8

Blocks = Callable[[tuple[int, ...]], np.ndarray | None]
"""From a Keras kernel's shape to the number of each weight's block; None where none is skipped."""


def pruning_block(board: str | Board) -> Blocks:
    """The blocks that pruning should set to zero for a board: those that its kernels skip.

    Convolutions skip them: two output channels by eight taps in portable C and with the DSP
    extension, four by sixteen with Helium. Depthwise convolutions and FULLY_CONNECTED skip nothing.

    Args:
        board: The board or its name.

    Returns:
        A function for `MagnitudePruning(block=...)`: it is given a kernel's shape in Keras,
        `(height, width, inputs, outputs)`, and returns an integer array of that shape, the number
        of each weight's block, or None where the board's kernels skip nothing.

    Raises:
        EdgeError: If the catalog has no such board.

    Example:
        >>> numbers = pruning_block("nucleo-f446re")((1, 1, 16, 4))
        >>> numbers[0, 0, :, 0].tolist()
        [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
        >>> bool((numbers[..., 0] == numbers[..., 1]).all())
        True
    """
    return _BY_INSTRUCTIONS[instruction_set(find_board(board))]


def _dsp(shape: tuple[int, ...]) -> np.ndarray | None:
    if len(shape) != 4:
        return None
    count = int(np.prod(shape[:3]))
    # The packing's own order tells which place a tap gets; places between two rows have none.
    places = in_run_order(1 + np.arange(count).reshape(1, shape[0], -1)).reshape(-1)
    block_of_tap = np.zeros(count, np.int64)
    filled = np.flatnonzero(places)
    block_of_tap[places[filled] - 1] = filled // DSP_MULTIPLE
    return _numbers(shape, block_of_tap, PAIR)


def _portable(shape: tuple[int, ...]) -> np.ndarray | None:
    count = int(np.prod(shape[:-1]))
    if len(shape) != 4 or count < BLOCK_TAPS:
        return None
    return _numbers(shape, np.arange(count) // BLOCK_TAPS, PAIR)


def _mve(shape: tuple[int, ...]) -> np.ndarray | None:
    count = int(np.prod(shape[:-1]))
    if len(shape) != 4 or (shape[:2] == (1, 1) and count % MVE_LANES):
        return None
    return _numbers(shape, np.arange(count) // MVE_LANES, MVE_CHANNELS)


def _numbers(shape: tuple[int, ...], block_of_tap: np.ndarray, outputs: int) -> np.ndarray:
    across = np.arange(shape[-1])[None] // outputs
    blocks = across * (block_of_tap.max() + 1) + block_of_tap[:, None]
    return np.asarray(blocks.reshape(shape))


_BY_INSTRUCTIONS: dict[str, Blocks] = {"dsp": _dsp, "mve": _mve, "portable": _portable}
