"""What an engine takes of a board's memory, whether it fits or not."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

from edge.catalog.boards import Bank, Board
from edge.deploy.budget import BankUse, Item
from edge.engine.compile import Engine
from edge.firmware.build import Firmware
from edge.firmware.image import build_image
from edge.firmware.render import STACK_BYTES

ROOMY_BYTES = 1 << 28


def measured_firmware(engine: Engine, board: Board) -> Firmware:
    """Compiles and links a firmware for a board's core as if the board's memory had no end.

    Args:
        engine: The engine, for the board's instruction set.
        board: The board.

    Returns:
        The `Firmware`, for its sizes: the image is gone.

    Raises:
        MissingToolError: If CMake or arm-none-eabi-gcc is not installed.
        BuildError: If the compiler fails.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> board = find_board("nucleo-f446re")
        >>> measured_firmware(compile_engine(graph, "dsp"), board).weights_bytes
        1428
    """
    roomy = dataclasses.replace(
        board, flash=(_roomy(_flash_bank(board)),), ram=(_roomy(board.largest_ram_bank),)
    )
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        return build_image(engine, roomy, pathlib.Path(name))


def engine_bank_uses(engine: Engine, board: Board, firmware: Firmware | None) -> list[BankUse]:
    """The banks that the linker fills, with what lies in them.

    Args:
        engine: The engine.
        board: The board.
        firmware: The result of `measured_firmware`; None where there is no compiler: the code is
            missing then.

    Returns:
        A bank of flash, and one of RAM.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> uses = engine_bank_uses(compile_engine(graph), find_board("nucleo-f446re"), None)
        >>> uses[0].items[0].what
        'weights'
    """
    rows = engine.network.rows
    buffers = rows[engine.network.input].row_bytes + rows[engine.network.output].bytes
    basis = "exact"
    flash = [Item("flash", "weights", engine.weights_bytes, "exact")]
    if firmware is not None:
        code = "kernels, schedule, start-up, main"
        flash.append(Item("flash", code, firmware.code_bytes, "compiled"))
        buffers, basis = firmware.static_ram_bytes - engine.state_bytes, "compiled"
    ram = (
        Item("RAM", "state: rings, tensors, counters", engine.state_bytes, "exact"),
        Item("RAM", "row of the image, output and the like", buffers, basis),
        Item("RAM", "stack", STACK_BYTES, "set aside"),
    )
    return [
        BankUse("flash", _flash_bank(board), tuple(flash)),
        BankUse("RAM", board.largest_ram_bank, ram),
    ]


def _flash_bank(board: Board) -> Bank:
    return max(board.flash, key=lambda bank: bank.bytes)


def _roomy(bank: Bank) -> Bank:
    return dataclasses.replace(bank, bytes=ROOMY_BYTES)
