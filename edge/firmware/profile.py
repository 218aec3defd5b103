"""Counts the instructions of each layer of an engine, on an emulated core."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile

import numpy as np

from edge.catalog.boards import Board
from edge.engine.compile import Engine
from edge.firmware.emulate import (
    CALIBRATION_INSTRUCTIONS,
    Emulation,
    EmulationError,
    emulate,
    emulated_board,
    run_qemu,
)
from edge.firmware.image import build_image

PROFILE_FILE = "profile.bin"
WORDS_PER_STEP = 3
INSTRUCTIONS_PER_TURN = 4
"""The length of the loop in profile.c that waits for the clock to tick."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """Instructions of one inference, layer by layer.

    Attributes:
        board: The emulated board that they were counted on.
        engine: The engine that ran.
        layer_instructions: The instructions of each layer, copying its rows to their ring included.
        input_instructions: The instructions of copying rows of the input to their ring.
        emulation: The same inference without the probe: its count is the whole inference's.
    """

    board: Board
    engine: Engine
    layer_instructions: tuple[int, ...]
    input_instructions: int
    emulation: Emulation

    @property
    def instructions(self) -> int:
        """The instructions of the whole inference, measured at once, without the probe."""
        return self.emulation.instructions

    @property
    def residual(self) -> int:
        """What the whole inference takes beyond its layers: to take a row, and to return."""
        return self.instructions - self.input_instructions - sum(self.layer_instructions)

    def by_operator(self) -> dict[int, int]:
        """Instructions by the operator's index in the model's file.

        Returns:
            A number for each operator that the engine runs; RESHAPE costs nothing and has none.
        """
        return {
            layer.op.index: count
            for layer, count in zip(
                self.engine.network.layers, self.layer_instructions, strict=True
            )
        }


def profile(engine: Engine, board: Board, *, seed: int = 0) -> Profile:
    """Counts the instructions of each layer of an engine.

    The clock of QEMU's boards ticks once in many instructions. The firmware waits for the next tick
    after every step, in a loop of known length, so that a step's count is exact to one turn of that
    loop; the cost of the probe is measured as well, and subtracted.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board; one with the same core stands for it if QEMU does not know it.
        seed: The seed of the random image.

    Returns:
        The `Profile`.

    Raises:
        MissingToolError: If CMake, the Arm compiler or QEMU is not installed.
        EmulationError: If a firmware stops before its end, or its counts are incomplete.
        EdgeError: If QEMU has no such core.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> counted = profile(compile_engine(graph, "dsp"), find_board("nucleo-f446re"))
        >>> counted.board.id, sorted(counted.by_operator())
        ('mps2-an386', [0, 1, 2, 3, 4, 5, 6])
    """
    target = emulated_board(board)
    assert target.qemu_machine is not None, "emulated_board returns no other"
    graph = engine.network.graph
    shape = (1, *graph.input.shape[1:])
    image = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        plain, probed = pathlib.Path(name) / "plain", pathlib.Path(name) / "probed"
        plain.mkdir()
        probed.mkdir()
        elf = build_image(engine, target, plain).elf
        emulation = emulate(elf, target.qemu_machine, image, graph.output.element_count)
        elf = build_image(engine, target, probed, is_profiled=True).elf
        elf.rename(probed / elf.name)
        (probed / "inputs.bin").write_bytes(image.tobytes())
        said = run_qemu(probed, target.qemu_machine)
        content = (probed / PROFILE_FILE).read_bytes() if said.get("count") == 1 else b""
    layers, tensors = len(engine.network.layers), list(engine.plan.stores)
    costs = np.frombuffer(content, "<u4").reshape(-1, WORDS_PER_STEP).astype(np.float64)
    if len(costs) != layers + len(tensors) + 2:
        raise EmulationError(f"The profile on {target.qemu_machine} is incomplete: {said}.")
    per_tick = CALIBRATION_INSTRUCTIONS / said["calibration_ticks"]
    totals = costs[:, 0] * per_tick - costs[:, 1] * INSTRUCTIONS_PER_TURN
    empty = totals[-1] / costs[-1, 2]
    counts = totals - costs[:, 2] * empty
    kept = dict(zip(tensors, counts[layers:], strict=False))
    by_layer = (counts[layer.index] + kept[layer.output] for layer in engine.network.layers)
    return Profile(
        board=target,
        engine=engine,
        layer_instructions=tuple(round(count) for count in by_layer),
        input_instructions=round(kept[engine.network.input]),
        emulation=emulation,
    )
