"""Cycles of a block on the Cortex-M0+, M3 and M4: one instruction at a time, three stages at most.

Sources: Arm's technical reference manuals DDI 0484 (Cortex-M0+), DDI 0337 (Cortex-M3) and DDI 0439
(Cortex-M4), instruction set summary and load/store timings; what they leave open, as measured on
STM32F103 and STM32F407: github.com/jnk0le/random, `pipeline cycle test/doc`, cortex_m3m4.md; and on
a Cortex-M4's fetching: compendium.i-0.nl, instruction alignment, and eprint.iacr.org/2025/523.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge.firmware.instructions import Instruction

Range = tuple[int, int]
"""A number of cycles, at best and at worst."""


@dataclasses.dataclass(frozen=True)
class SingleIssue:
    """What differs between the cores.

    Attributes:
        refill: The cycles that fill the pipeline after a jump, P in the manuals.
        call: What BL takes beyond that.
        pop_pc: What POP and LDM take beyond that when they jump.
        multiply_add: What MLA and MLS take.
        long: What UMULL and SMULL take.
        long_add: What UMLAL and SMLAL take.
        divide: What SDIV and UDIV take.
        has_pipelined_loads: Whether a load after a load takes one cycle.
        chains_moving_loads: Whether it does as well if it moves its own base.
        has_wide_fetch_stalls: Whether wide instructions off a word's boundary may wait.
    """

    refill: Range
    call: int = 0
    pop_pc: int = 0
    multiply_add: int = 1
    long: Range = (1, 1)
    long_add: Range = (1, 1)
    divide: Range = (2, 12)
    has_pipelined_loads: bool = True
    chains_moving_loads: bool = True
    has_wide_fetch_stalls: bool = True

    def cycles(self, block: Sequence[Instruction], is_taken: bool, side: int) -> float:
        """Adds up a block.

        Args:
            block: The instructions, in order.
            is_taken: Whether the last one jumped.
            side: 0 for the fewest cycles that the rules allow, 1 for the most.

        Returns:
            Cycles.
        """
        total = self._fetch_stalls(block) if side == 1 else 0
        before: Instruction | None = None
        for instruction in block:
            if instruction.is_memory:
                total += self._memory(instruction, before, side)
            else:
                total += self._work(instruction, side)
            before = instruction
        if is_taken and before is not None:
            total += self.refill[side] + (self.call if before.name == "bl" else 0)
            total += self.pop_pc if before.kind == "loads" else 0
        return total

    def _fetch_stalls(self, block: Sequence[Instruction]) -> int:
        """Measured: three wide instructions in a row off words' boundaries take a cycle more."""
        stalls, run = 0, 0
        for instruction in block:
            is_off = instruction.bytes == 4 and instruction.address % 4 == 2
            run = run + 1 if is_off else 0
            stalls += int(run == 3)
        return stalls if self.has_wide_fetch_stalls else 0

    def _work(self, instruction: Instruction, side: int) -> int:
        kind = instruction.kind
        if kind == "multiply" and instruction.name.startswith(("mla", "mls")):
            return self.multiply_add
        if kind == "long":
            is_sum = instruction.name[2:4] in ("la", "aa")
            return (self.long_add if is_sum else self.long)[side]
        if kind == "divide":
            return self.divide[side]
        if kind == "table":
            return 2
        # IT is folded into the 16-bit instruction before it where that was fetched along with it.
        return side if kind == "it" else 1

    def _memory(self, instruction: Instruction, before: Instruction | None, side: int) -> int:
        kind = instruction.kind
        stall = 0
        if before is not None and not before.is_memory and self.has_pipelined_loads:
            # No forwarding path leads from the arithmetic to the address.
            stall = int(bool(before.writes & instruction.addresses))
        if kind in ("loads", "stores") or instruction.count > 1:
            # 1 + N, also LDRD and STRD, which are pipelined with nothing.
            return 1 + instruction.count + stall
        if not self.has_pipelined_loads:
            return 2
        follows_load = before is not None and before.kind == "load"
        if follows_load and before is not None:
            follows_load = not (before.writes & instruction.addresses)
        if kind in ("store", "vector store"):
            # The manual says one cycle less after a load; measured: the load's second is hidden.
            if follows_load and side == 0:
                return 0
            return 1 + stall + int(instruction.is_indexed)
        if instruction.addresses & instruction.writes and not self.chains_moving_loads:
            follows_load = False
        cycles = 1 if follows_load else 2
        if side == 1:
            # Measured: 32-bit loads off a word's boundary may not pipeline, nor do those from
            # another memory, which another base may point to; a load waits for a store before it;
            # a literal's may wait for the fetch.
            is_off = instruction.bytes == 4 and instruction.address % 4 == 2
            is_elsewhere = before is not None and before.addresses != instruction.addresses
            cycles = 2 if is_off or is_elsewhere else cycles
            cycles += int(before is not None and before.kind == "store")
            cycles += int("pc" in instruction.addresses)
        return cycles + stall


CORTEX_M0PLUS = SingleIssue(
    # Table 3-1: B taken 2, BL 3, BX 2, POP with PC 3+N, loads and stores 2. MULS takes 1 cycle with
    # the fast multiplier, which all boards of the catalog have (32 without).
    refill=(1, 1),
    call=1,
    pop_pc=1,
    has_pipelined_loads=False,
    has_wide_fetch_stalls=False,
)
CORTEX_M3 = SingleIssue(
    refill=(1, 3),
    multiply_add=2,
    long=(3, 5),
    long_add=(4, 7),
    divide=(2, 12),
    chains_moving_loads=False,
)
CORTEX_M4 = SingleIssue(refill=(1, 3))
