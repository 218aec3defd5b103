"""Runs a board's own image on every emulator here that has the board's memory map."""

from __future__ import annotations

import os
import pathlib
import re

import numpy as np

from edge.catalog.boards import Board
from edge.firmware.emulate import EmulationError
from edge.firmware.machine.image_run import (
    LIMIT_S,
    ImageRequest,
    ImageRun,
    can_run_image,
    run_image,
    run_requests,
)
from edge.firmware.machine.qemu_board import installed_machine, run_image_on_qemu
from edge.firmware.serial_model import input_flip
from edge.tflite.graph import Graph

SECONDS_AN_INPUT = 10.0
"""A hundred times what an inference of ten million instructions takes."""
BYTES_A_RUN = 16_000
"""Sent to one emulated board without a cycle counter: SysTick interrupts none, so it loses the time
when SysTick has counted down twice, and gives up an input that it waits for."""
COUNTERLESS = "cortex-m0plus"


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


def ask_image(graph: Graph, elf: pathlib.Path, board: Board, inputs: np.ndarray) -> np.ndarray:
    """Sends inputs over the serial port of a board that unicorn emulates, to its own image.

    Several emulated boards share the inputs, as many at a time as this machine has cores.

    Args:
        graph: The model that the image runs.
        elf: The path of the image, as `build` makes it, without a camera.
        board: The board that it was built for.
        inputs: int8 array, (count, *input shape without the batch).

    Returns:
        What the board answered, int8 array, (count, output elements).

    Raises:
        MissingToolError: If unicorn is not installed.
        EmulationError: If the image fails its test of itself, or does what the board's manual
            forbids, or an answer is missing.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "nucleo-f446re", "firmware").firmware.elf
        >>> ask_image(graph, elf, find_board("nucleo-f446re"), np.zeros((2, 8, 8, 3), "int8"))
        array([[ 113, -113],
               [ 113, -113]], dtype=int8)
    """
    flip = np.uint8(input_flip(graph))
    count = os.cpu_count() or 1
    if board.core == COUNTERLESS:
        count = max(count, -(-inputs.nbytes // BYTES_A_RUN))
    parts = np.array_split(inputs.view(np.uint8) ^ flip, min(len(inputs), count))
    requests = [
        ImageRequest(
            elf.absolute(),
            board,
            b"".join(map(_question, part)),
            limit_s=LIMIT_S + SECONDS_AN_INPUT * len(part),
            is_dead=False,
        )
        for part in parts
    ]
    runs = run_requests(requests)
    for done in runs:
        if not done.has_passed:
            forbidden = [violation.sentence() for violation in done.violations]
            raise EmulationError(
                f"{board.name}'s image on {done.emulator}: {'; '.join([done.outcome, *forbidden])}."
            )
    answers = [re.findall(r"m-outputs-\[([0-9a-f]+)\]", done.text) for done in runs]
    if [len(answer) for answer in answers] != [len(part) for part in parts]:
        said = "".join(done.text for done in runs).split("\r\n")
        reason = next((line for line in said if line.startswith("e-[")), "it stopped too early")
        raise EmulationError(f"{board.name}'s image did not answer every input: {reason}.")
    made = bytes.fromhex("".join(text for answer in answers for text in answer))
    return np.frombuffer(made, np.int8).reshape(len(inputs), -1)


def _question(image: np.ndarray) -> bytes:
    """What asks the protocol for the outputs of one input."""
    return b"db load %d%%put %d%%%binfer 1 0%%outputs%%" % (image.size, image.size, image.tobytes())
