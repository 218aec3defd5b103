"""Runs a model's firmware on an emulated board, beside LiteRT's reference kernels."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import read_model
from edge.deploy.run_image import run_everywhere
from edge.deploy.verify import random_inputs
from edge.deploy.verify_engine import emulate_firmware, linked
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.cycles import Cycles, estimate_cycles
from edge.firmware.emulate import emulated_board
from edge.firmware.machine.image_run import ImageRun
from edge.runtimes.interpreters import run_litert


@dataclasses.dataclass(frozen=True)
class Run:
    """What a firmware did on an emulated board.

    Attributes:
        board: The board that QEMU emulated: the one that was asked for, or one with its core.
        outputs: The outputs of the firmware, int8 array, (count, output elements).
        expected: The outputs of LiteRT's reference kernels, int8 array of the same shape.
        instructions: The instructions of one inference.
        ram_bytes: State, image buffer, output and the peak of the stack.
        code_bytes: Flash beside the weights.
        cycles: The estimated cycles of one inference, at the clock of the board that was asked for.
        images: What the very image of the board that was asked for did, on each emulator that has
            its memory map; empty where there is none, or where QEMU emulates the board itself.
    """

    board: Board
    outputs: np.ndarray
    expected: np.ndarray
    instructions: int
    ram_bytes: int
    code_bytes: int
    cycles: Cycles
    images: tuple[ImageRun, ...] = ()

    @property
    def input_count(self) -> int:
        """How many inputs ran."""
        return len(self.outputs)

    @property
    def equal_count(self) -> int:
        """On how many inputs all output bytes are those of LiteRT's reference kernels."""
        return int((self.outputs == self.expected).all(axis=1).sum())

    @property
    def max_difference(self) -> int:
        """The largest difference of two output bytes, in steps of the output's scale."""
        return int(np.abs(self.outputs.astype(np.int32) - self.expected.astype(np.int32)).max())

    @property
    def is_equal(self) -> bool:
        """Whether all bytes of all outputs are those of LiteRT's reference kernels."""
        return self.equal_count == self.input_count


def run(
    model: Any,
    board: str | Board = "mps2-an386",
    inputs: np.ndarray | None = None,
    *,
    count: int = 20,
    seed: int = 0,
    is_frame: bool = False,
    representative_dataset: Any = None,
) -> Run:
    """Builds a model's firmware and runs it on QEMU, and a real board's own image beside it.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        board: The name of a board, or a `Board`. Where QEMU does not know it, a board with the same
            core takes its place.
        inputs: int8 array, (count, *input shape without the batch); random bytes if None.
        count: How many random inputs to draw.
        seed: The seed of the random inputs.
        is_frame: Whether a whole image is kept in RAM, in place of one row.
        representative_dataset: Inputs for a Keras model that is not quantization-aware, as
            `edge.convert` takes them.

    Returns:
        The `Run`.

    Raises:
        MissingToolError: If CMake, the Arm compiler or QEMU is not installed.
        EdgeError: If the model cannot be read, QEMU has no board with such a core, or the firmware
            cannot be built or does not run to its end.

    Example:
        >>> done = run("model.tflite", "nucleo-f446re", count=2)
        >>> done.board.id, done.is_equal
        ('mps2-an386', True)
        >>> [image.outcome for image in done.images]
        ['passed', 'passed']
    """
    asked = find_board(board)
    target = emulated_board(asked)
    graph = read_model(model, representative_dataset)
    if inputs is None:
        inputs = random_inputs(graph, count, seed)
    expected = run_litert(graph, inputs)
    engine = compile_engine(graph, instruction_set(target))
    with linked(engine, target, is_frame=is_frame) as firmware:
        emulation = emulate_firmware(engine, target, firmware, inputs)
        # The trace follows a firmware that takes rows.
        elf = None if is_frame else firmware.elf
        cycles = estimate_cycles(engine, asked, seed=seed, elf=elf)
    images: tuple[ImageRun, ...] = ()
    if target != asked:
        own = compile_engine(graph, instruction_set(asked))
        with linked(own, asked, is_frame=is_frame) as firmware_of_board:
            images = run_everywhere(firmware_of_board.elf, asked)
    return Run(
        board=target,
        outputs=emulation.outputs,
        expected=expected,
        instructions=emulation.instructions,
        ram_bytes=emulation.ram_bytes,
        code_bytes=firmware.code_bytes,
        cycles=cycles,
        images=images,
    )
