"""Estimates the cycles of one inference: executed blocks, weighed by a model of the pipeline.

QEMU counts instructions and knows no pipeline. So it says which blocks ran how often, and the rules
of the core say what each takes: at best, and at worst, where manuals and measurements leave it
open.
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from edge.catalog.boards import Board
from edge.engine.compile import Engine
from edge.firmware.emulate import emulated_board
from edge.firmware.image import build_image
from edge.firmware.in_order import CORTEX_M7, CORTEX_M33, CORTEX_M55, InOrder
from edge.firmware.instructions import Instruction, disassemble, functions
from edge.firmware.single_issue import CORTEX_M0PLUS, CORTEX_M3, CORTEX_M4, SingleIssue
from edge.firmware.step_counts import INPUT, Passage, passages
from edge.firmware.trace import Trace, trace

PIPELINES: dict[str, SingleIssue | InOrder] = {
    "cortex-m0plus": CORTEX_M0PLUS,
    "cortex-m3": CORTEX_M3,
    "cortex-m4": CORTEX_M4,
    "cortex-m33": CORTEX_M33,
    "cortex-m55": CORTEX_M55,
    "cortex-m7": CORTEX_M7,
}
CHECK = "model_is_intact"
"""Runs before the inference, and longer than one where weights are many: it is not followed."""

LOADS = ("load", "loads", "vector load")


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a part of an inference takes.

    Attributes:
        instructions: The instructions, counted.
        low: The fewest cycles that the core's rules allow, memory without waiting.
        high: The most cycles.
        loads: The words that are loaded.
    """

    instructions: int
    low: int
    high: int
    loads: int


@dataclasses.dataclass(frozen=True)
class Cycles:
    """The estimated cycles of one inference, layer by layer.

    Attributes:
        board: The board whose clock and flash are meant.
        layers: What each layer takes, copying its rows to their ring included.
        input: What it takes to receive the rows of the input.
    """

    board: Board
    layers: tuple[Cost, ...]
    input: Cost

    @property
    def total(self) -> Cost:
        """What the whole inference takes: exactly the sum of its parts."""
        parts = (self.input, *self.layers)
        return Cost(
            instructions=sum(part.instructions for part in parts),
            low=sum(part.low for part in parts),
            high=sum(part.high for part in parts),
            loads=sum(part.loads for part in parts),
        )

    @property
    def low_ms(self) -> float:
        """The fewest milliseconds at the board's clock."""
        return self.total.low / self.board.clock_hz * 1e3

    @property
    def high_ms(self) -> float:
        """The most milliseconds at the board's clock, memory without waiting."""
        return self.total.high / self.board.clock_hz * 1e3

    @property
    def flash_wait_ms(self) -> float | None:
        """What waiting for the flash may add at most, in milliseconds."""
        cycles = self.flash_wait_cycles
        return None if cycles is None else cycles / self.board.clock_hz * 1e3

    def sentence(self) -> str:
        """Says what was estimated.

        Returns:
            Cycles, milliseconds at the board's clock, and what waiting for the flash may add.
        """
        waits = "waiting for flash is not included"
        if self.flash_wait_ms is not None:
            waits = f"waiting for flash adds at most {self.flash_wait_ms:.1f} ms"
        return (
            f"Estimated: {self.total.low:,} to {self.total.high:,} cycles, {self.low_ms:.1f} to "
            f"{self.high_ms:.1f} ms at {self.board.clock_hz / 1e6:g} MHz; {waits}."
        )

    @property
    def flash_wait_cycles(self) -> int | None:
        """What waiting for the flash may add at most; None where the board's file does not say.

        Code comes from the cache or the accelerator; every load counts as one of weights, which are
        read in order: each line of the flash makes the core wait once.
        """
        board = self.board
        if board.flash_wait_states is None or board.flash_line_bytes is None:
            return None
        return self.total.loads * 4 * board.flash_wait_states // board.flash_line_bytes


def estimate_cycles(
    engine: Engine, board: Board, *, seed: int = 0, elf: pathlib.Path | None = None
) -> Cycles:
    """Estimates the cycles of one inference.

    Args:
        engine: The model's engine, for the board's instruction set.
        board: The board; one with the same core is emulated if QEMU does not know it.
        seed: The seed of the random image.
        elf: The engine's firmware for the emulated board, taking rows; built here if None.

    Returns:
        The `Cycles`, the same in every run.

    Raises:
        MissingToolError: If CMake, the Arm compiler or QEMU is not installed.
        EmulationError: If the firmware stops before its end.
        EdgeError: If QEMU has no such core.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.engine.compile import compile_engine
        >>> found = estimate_cycles(compile_engine(graph, "dsp"), find_board("nucleo-f446re"))
        >>> found.total.instructions < found.total.low < found.total.high
        True
    """
    target = emulated_board(board)
    assert target.qemu_machine is not None, "emulated_board returns no other"
    shape = engine.network.graph.input.shape[1:]
    image = np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        elf = build_image(engine, target, folder).elf if elf is None else elf
        elf = pathlib.Path(shutil.copy(elf, folder / "firmware.elf"))
        (folder / "inputs.bin").write_bytes(image.tobytes())
        names = functions(elf)
        traced = trace(folder, target.qemu_machine, _without(names, CHECK))
        counted = passages(traced, names, engine)
        known = disassemble(elf, target.core)
    costs = weigh(counted, blocks_of(traced, known), PIPELINES[target.core])
    layers = range(len(engine.network.layers))
    return Cycles(board, tuple(costs[layer] for layer in layers), costs[INPUT])


def _without(names: Mapping[int, str], left_out: str) -> list[range]:
    """All addresses but those of one function."""
    addresses = sorted(names)
    (at,) = (number for number, address in enumerate(addresses) if names[address] == left_out)
    end = addresses[at + 1] if at + 1 < len(addresses) else addresses[at] + 1
    return [range(addresses[at]), range(end, 1 << 32)]


def blocks_of(
    traced: Trace, known: Mapping[int, Instruction]
) -> dict[int, tuple[Instruction, ...]]:
    """Puts the instructions of each block together.

    Args:
        traced: Where blocks begin and end.
        known: All instructions by their addresses.

    Returns:
        The instructions of each block, by the address of its first.

    Example:
        >>> from edge.firmware.instructions import decode
        >>> known = {0x40: decode(0x40, 2, "nop", ""), 0x42: decode(0x42, 2, "nop", "")}
        >>> len(blocks_of(Trace(np.zeros(0, np.uint32), {0x40: 0x42}), known)[0x40])
        2
    """
    return {
        start: tuple(known[at] for at in range(start, end + 1, 2) if at in known)
        for start, end in traced.ends.items()
    }


def weigh(
    counted: Sequence[Passage],
    blocks: Mapping[int, tuple[Instruction, ...]],
    pipeline: SingleIssue | InOrder,
) -> dict[int, Cost]:
    """Adds up what the blocks of each layer take.

    Args:
        counted: How often each block ran, and what followed it.
        blocks: The instructions of each block.
        pipeline: The core's rules.

    Returns:
        The costs by the layer's index; a layer that did not run costs nothing.

    Example:
        >>> from edge.firmware.instructions import decode
        >>> loop = (decode(0x40, 2, "subs", "r0, #1"), decode(0x42, 2, "bne.n", "40 <loop>"))
        >>> turns = [Passage(0, 0x40, 0x40, 9), Passage(0, 0x40, 0x44, 1)]
        >>> weigh(turns, {0x40: loop}, CORTEX_M4)[0]  # 2 a turn, and 1 to 3 to go back
        Cost(instructions=20, low=29, high=47, loads=0)
    """
    instructions: collections.Counter[int] = collections.Counter()
    loads: collections.Counter[int] = collections.Counter()
    cycles: tuple[collections.Counter[int], collections.Counter[int]] = (
        collections.Counter(),
        collections.Counter(),
    )
    wrong = _wrong_directions(counted, blocks)
    for passage in counted:
        block = blocks[passage.block]
        is_taken = _is_taken(passage, block)
        instructions[passage.layer] += passage.count * len(block)
        loads[passage.layer] += passage.count * sum(
            4 if i.kind == "vector load" else i.count for i in block if i.kind in LOADS
        )
        for side, total in enumerate(cycles):
            each = pipeline.cycles(block, is_taken, side)
            if isinstance(pipeline, InOrder) and (passage.block, is_taken) in wrong:
                each += pipeline.mispredicted[side]
            # Halves are kept as whole numbers until the end.
            total[passage.layer] += round(2 * each) * passage.count
    found = collections.defaultdict(lambda: Cost(0, 0, 0, 0))
    for layer, count in instructions.items():
        low, high = (-(-total[layer] // 2) for total in cycles)
        found[layer] = Cost(count, low, high, loads[layer])
    return found


def _is_taken(passage: Passage, block: Sequence[Instruction]) -> bool:
    return bool(block) and passage.following != block[-1].address + block[-1].bytes


def _wrong_directions(
    counted: Sequence[Passage], blocks: Mapping[int, tuple[Instruction, ...]]
) -> set[tuple[int, bool]]:
    """The rarer direction of each conditional branch: at worst always mispredicted."""
    counts: collections.Counter[tuple[int, bool]] = collections.Counter()
    for passage in counted:
        block = blocks[passage.block]
        if block and block[-1].kind == "branch":
            counts[passage.block, _is_taken(passage, block)] += passage.count
    return {
        (block, is_taken)
        for (block, is_taken), count in counts.items()
        if counts.get((block, not is_taken), 0) > 0 and count <= counts[block, not is_taken]
    }
