"""Proves that the engine computes what LiteRT's reference kernels compute, on every core."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import pathlib
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.catalog.boards import boards as catalogue
from edge.converter.model_source import read_model
from edge.deploy.build import fitting
from edge.deploy.verify import random_inputs
from edge.engine.compile import Engine, compile_engine, compile_engines
from edge.engine.packing import instruction_set
from edge.firmware.build import Firmware
from edge.firmware.emulate import Emulation, emulate
from edge.firmware.host import run_on_host
from edge.firmware.image import build_image
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Runner:
    """One way to run a model, beside LiteRT's reference kernels.

    Attributes:
        name: What ran the model.
        equal_count: The number of inputs on which all output bytes agree with LiteRT's.
        max_difference: The largest difference of two output bytes.
        instructions: The instructions of one inference; None where they are not counted.
        ram_bytes: The bytes of state, image buffer, output and peak stack; None where they are not
            measured.
        code_bytes: The flash beside the weights, in bytes; None where it is not measured.
    """

    name: str
    equal_count: int
    max_difference: int
    instructions: int | None = None
    ram_bytes: int | None = None
    code_bytes: int | None = None


@dataclasses.dataclass(frozen=True)
class EngineVerification:
    """The outcome of running the same inputs everywhere.

    Attributes:
        input_count: The number of inputs.
        runners: What ran them, with the outcome of each.
    """

    input_count: int
    runners: tuple[Runner, ...]

    @property
    def is_equal(self) -> bool:
        """Whether every engine gave the bytes of LiteRT; TFLite Micro is only reported."""
        return all(
            runner.equal_count == self.input_count
            for runner in self.runners
            if runner.name != TFLM_NAME
        )


TFLM_NAME = "TFLite Micro, this machine"
HOST_NAME = "engine, this machine, sanitizers on"


def verify_engine(
    model: Any,
    inputs: np.ndarray | None = None,
    *,
    representative_dataset: Any = None,
    count: int = 20,
    seed: int = 0,
    boards: Sequence[str | Board] | None = None,
) -> EngineVerification:
    """Runs a model on LiteRT, on the engine on this machine and on emulated cores, and on TFLM.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        inputs: int8 array, (count, *input shape without the batch); random bytes if None.
        representative_dataset: Typical inputs for a Keras model that is not quantization-aware, as
            `edge.convert` takes them.
        count: The number of random inputs.
        seed: The seed of the random inputs.
        boards: The names of boards that QEMU knows, or `Board` objects; all of them if None.

    Returns:
        The `EngineVerification`.

    Raises:
        MissingToolError: If gcc, the Arm compiler or QEMU is not installed.
        EdgeError: If the model has an operator without a kernel, or a run fails.

    Example:
        >>> verify_engine("model.tflite", boards=["mps2-an386"]).is_equal
        True
    """
    graph = read_model(model, representative_dataset)
    if inputs is None:
        inputs = random_inputs(graph, count, seed)
    known = [board for board in catalogue() if board.qemu_machine]
    wanted = known if boards is None else boards
    targets = [find_board(board) for board in wanted]
    # Boards with the same instruction set run the same engine.
    kernel_sets = {"portable", *map(instruction_set, targets)}
    engines = compile_engines(graph, sorted(kernel_sets))
    expected = run_litert(graph, inputs)
    runners = [_runner(HOST_NAME, expected, run_on_host(engines["portable"], inputs))]
    for board in targets:
        engine = engines[instruction_set(board)]
        emulation, code_bytes = emulate_engine(engine, board, inputs)
        runner = _runner(f"engine, {board.core} on QEMU", expected, emulation.outputs)
        runners.append(
            dataclasses.replace(
                runner,
                instructions=emulation.instructions,
                ram_bytes=emulation.ram_bytes,
                code_bytes=code_bytes,
            )
        )
    if importlib.util.find_spec("tflite_micro") is not None:
        runners.append(_runner(TFLM_NAME, expected, run_tflm(graph, inputs)[0]))
    return EngineVerification(len(inputs), tuple(runners))


def run_emulated(
    graph: Graph, board: Board, inputs: np.ndarray, *, is_frame: bool = False
) -> tuple[Emulation, int]:
    """Compiles a model for a board's core and runs its firmware on QEMU.

    Args:
        graph: An int8 model with one input and one output.
        board: A board that QEMU knows.
        inputs: int8 array, (count, *input shape without the batch).
        is_frame: Whether a whole image is kept in RAM, in place of one row.

    Returns:
        The `Emulation`, and the flash beside the weights, in bytes.

    Raises:
        EdgeError: If the firmware cannot be built or does not run to its end.

    Example:
        >>> inputs = np.zeros((1, 8, 8, 3), "int8")
        >>> run_emulated(graph, find_board("mps2-an386"), inputs)[0].outputs
        array([[ 113, -113]], dtype=int8)
    """
    engine = compile_engine(graph, instruction_set(board))
    return emulate_engine(engine, board, inputs, is_frame=is_frame)


def emulate_engine(
    engine: Engine, board: Board, inputs: np.ndarray, *, is_frame: bool = False
) -> tuple[Emulation, int]:
    """Builds a firmware of an engine and runs it on QEMU.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: A board that QEMU knows.
        inputs: int8 array, (count, *input shape without the batch).
        is_frame: Whether a whole image is kept in RAM, in place of one row.

    Returns:
        The `Emulation`, and the flash beside the weights, in bytes.

    Raises:
        DoesNotFitError: If the board's flash or RAM is too small.
        EdgeError: If the firmware cannot be built or does not run to its end.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> inputs = np.zeros((1, 8, 8, 3), "int8")
        >>> engine, board = compile_engine(graph, "dsp"), find_board("mps2-an386")
        >>> emulate_engine(engine, board, inputs)[0].outputs
        array([[ 113, -113]], dtype=int8)
    """
    with linked(engine, board, is_frame=is_frame) as firmware:
        return emulate_firmware(engine, board, firmware, inputs), firmware.code_bytes


@contextlib.contextmanager
def linked(engine: Engine, board: Board, *, is_frame: bool = False) -> Iterator[Firmware]:
    """Builds a firmware of an engine, which is there until the block ends.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board.
        is_frame: Whether a whole image is kept in RAM, in place of one row.

    Yields:
        The `Firmware`.

    Raises:
        DoesNotFitError: If the board's flash or RAM is too small.
        EdgeError: If the firmware cannot be built.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> with linked(compile_engine(graph, "dsp"), find_board("mps2-an386")) as firmware:
        ...     firmware.elf.name
        'firmware.elf'
    """
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        with fitting(board, engine.network.graph):
            firmware = build_image(engine, board, pathlib.Path(name), is_frame=is_frame)
        yield firmware


def emulate_firmware(
    engine: Engine, board: Board, firmware: Firmware, inputs: np.ndarray
) -> Emulation:
    """Runs a firmware of an engine on QEMU.

    Args:
        engine: The model's engine.
        board: The board that it was built for, which QEMU knows.
        firmware: The firmware.
        inputs: int8 array, (count, *input shape without the batch).

    Returns:
        The `Emulation`.

    Raises:
        EdgeError: If the firmware does not run to its end.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> engine, board = compile_engine(graph, "dsp"), find_board("mps2-an386")
        >>> with linked(engine, board) as firmware:
        ...     inputs = np.zeros((1, 8, 8, 3), "int8")
        ...     emulate_firmware(engine, board, firmware, inputs).outputs
        array([[ 113, -113]], dtype=int8)
    """
    assert board.qemu_machine is not None, "the caller picks a board that QEMU knows"
    outputs = engine.network.graph.output.element_count
    return emulate(firmware.elf, board.qemu_machine, inputs, outputs)


def _runner(name: str, expected: np.ndarray, actual: np.ndarray) -> Runner:
    difference = np.abs(expected.astype(np.int32) - actual.astype(np.int32)).max(axis=1)
    return Runner(name, int((difference == 0).sum()), int(difference.max()))
