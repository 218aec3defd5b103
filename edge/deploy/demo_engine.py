"""The end of the demo: the engine's firmware on the emulated board."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

from edge.catalog.boards import Board
from edge.deploy.build import Build, build
from edge.deploy.run_image import ask_image
from edge.deploy.verify_engine import emulate_firmware
from edge.errors import EdgeError
from edge.firmware.cycles import Cycles, estimate_cycles
from edge.firmware.machine.image_run import CPUS
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class OnBoard:
    """What the engine's firmware did on the emulated board.

    Attributes:
        built: The firmware, measured.
        outputs: The board's answers, int8 array, (count, output elements).
        cycles: What one inference takes: instructions counted, cycles estimated.
    """

    built: Build
    outputs: np.ndarray
    cycles: Cycles


def run_on_board(graph: Graph, board: Board, inputs: np.ndarray, folder: pathlib.Path) -> OnBoard:
    """Builds the engine's firmware for a board, and runs that image on the emulated board.

    Args:
        graph: An int8 model.
        board: The board.
        inputs: int8 array, (count, *input shape without the batch).
        folder: The folder for the firmware.

    Returns:
        What it did.

    Raises:
        MissingToolError: If CMake, the Arm compiler, QEMU or unicorn is not installed.
        DoesNotFitError: If the board's flash or RAM is too small.
        EdgeError: If no emulator has the board, or its firmware fails there.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> inputs, folder = np.zeros((1, 8, 8, 3), "int8"), pathlib.Path("firmware")
        >>> run_on_board(graph, find_board("nucleo-f446re"), inputs, folder).outputs
        array([[ 113, -113]], dtype=int8)
    """
    if board.qemu_machine is None and board.core not in CPUS:
        raise EdgeError(f"No emulator here has {board.name}'s core and memory.")
    built = build(graph, board, folder)
    cycles = estimate_cycles(built.engine, board)
    if board.qemu_machine is None:
        outputs = ask_image(graph, built.firmware.elf, board, inputs)
    else:
        outputs = emulate_firmware(built.engine, board, built.firmware, inputs).outputs
    return OnBoard(built, outputs, cycles)
