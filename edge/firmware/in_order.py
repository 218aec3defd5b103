"""Cycles of a block on the Cortex-M33, M55 and M7: in order, with results that come later.

Arm publishes no table of cycles for them. Sources: measured on RP2350 and STM32H743,
github.com/jnk0le/random, `pipeline cycle test/doc`, cortex_m33.md and cortex_m7.md; LLVM's
ARMScheduleM7.td and ARMScheduleM55.td, which Arm wrote: on the M55 vectors of 128 bits in two beats
of 64, which overlap with those of another unit, and pairs of 16-bit instructions, of which one is
an easy one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge.firmware.instructions import Instruction

Range = tuple[int, int]
"""A number of cycles, at best and at worst."""

SETS_FLAGS = ("cmp", "cmn", "tst", "teq")
VECTOR = ("vector", "vector load", "vector store")
BLOCKING = ("loads", "stores", "divide", "table")
EARLY_ALU = ("add", "sub", "mov", "adds", "subs", "movs", "addw", "subw")
EASY = ("adds", "subs", "add", "sub", "movs", "mov", "uxtb", "uxth", "sxtb", "sxth")
"""What the M55 may run beside another one, if both are 16 bits wide."""

TWO_STAGES = ("sxta", "uxta", "pkh", "q", "sadd", "ssub", "uadd", "usub", "uqadd", "uqsub")
"""Bit fields and sums in parallel whose result comes a cycle later on the M33."""

EARLY_BITS = ("sbfx", "ubfx", "bf", "rbit", "rev", "pkh", "sxta", "uxta")
"""What takes its operand in the M7's early arithmetic unit, where the shifter is."""

VECTOR_PREFIX = ("vpst", "vpt")
VECTOR_MULTIPLIES = ("vml", "vmul", "vqrdml", "vqdml", "vrml", "vqrdmul", "vqdmul", "vrmul", "vfm")


@dataclasses.dataclass(frozen=True)
class InOrder:
    """What differs between the cores.

    Attributes:
        refill: What a taken branch takes beside its own cycle.
        load: The cycles until a loaded word can be used.
        small_load: The cycles until a loaded byte or halfword can be used.
        multiply: The cycles until a product can be used; a sum takes it one cycle earlier.
        shifted: The cycles until the result of an operation with a shifted operand can be used.
        divide: What SDIV and UDIV take.
        bits: The cycles until a bit field can be used.
        muls: What MULS takes, whose flags come late.
        has_pairs: Whether at best an easy 16-bit instruction runs beside another one.
        words_per_cycle: The registers that LDM and STM move in a cycle.
        is_dual: Whether any two instructions may share a cycle, not only a branch and another.
        mispredicted: What a wrongly predicted branch takes; 0 for a core that does not predict.
    """

    refill: Range
    load: Range
    small_load: Range
    multiply: int
    shifted: int
    divide: Range
    bits: Range = (1, 1)
    muls: Range = (1, 1)
    has_pairs: bool = False
    words_per_cycle: int = 1
    is_dual: bool = False
    mispredicted: Range = (0, 0)

    def cycles(self, block: Sequence[Instruction], is_taken: bool, side: int) -> float:
        """Follows a block through the pipeline.

        Args:
            block: The instructions, in order.
            is_taken: Whether the last one jumped.
            side: 0 for the fewest cycles that the rules allow, 1 for the most.

        Returns:
            Cycles; a half where a slot is left to the next block.
        """
        now = 0
        partner: Instruction | None = None
        ready: dict[str, int] = {}
        sums: dict[str, int] = {}
        units: dict[str, int] = {}
        for instruction in block:
            if side == 0 and self._is_free(instruction, is_taken):
                continue
            unit = _unit(instruction)
            need = max(self._need(instruction, ready, sums, side), units.get(unit, 0))
            if partner is not None and self._joins(partner, instruction, is_taken, side):
                # What the partner makes comes in time: what is older must as well.
                older = {name: at for name, at in ready.items() if name not in partner.writes}
                is_joined = self._need(instruction, older, sums, side) <= now - 1
            else:
                is_joined = False
            if is_joined:
                issued, partner = now - 1, None
            else:
                issued = max(now, need)
                busy = self._busy(instruction, side)
                now = issued + busy
                is_alone = instruction.kind in BLOCKING or busy > 1
                partner = None if is_alone and self.is_dual else instruction
            if unit:
                units[unit] = issued + 2
            self._results(instruction, issued, ready, sums, side)
        # The end of a low-overhead loop goes back without a refill.
        if is_taken and block and block[-1].kind != "loop":
            now += self.refill[side]
        if self.is_dual and side == 0 and partner is not None:
            return now - 0.5
        return now

    def _is_free(self, instruction: Instruction, is_taken: bool) -> bool:
        """At best a cached loop end, and the prefix of predicated vectors, take no cycle."""
        is_end = instruction.name in ("le", "letp") and is_taken
        return is_end or instruction.name.startswith(VECTOR_PREFIX)

    def _need(
        self, instruction: Instruction, ready: dict[str, int], sums: dict[str, int], side: int
    ) -> int:
        need = 0
        for register in instruction.reads:
            at = ready.get(register, 0)
            if register == instruction.accumulator or (
                instruction.kind in VECTOR and register in instruction.writes
            ):
                at = min(at, sums.get(register, at))
            elif instruction.kind == "store" and register not in instruction.addresses:
                # A store takes its data a stage later than it takes its address.
                at -= 1
            elif self.is_dual and at:
                # The shifter, the multiplier and at worst the address are a stage earlier.
                is_early = instruction.is_shifted or instruction.kind == "multiply"
                is_early = is_early or instruction.name.startswith(EARLY_BITS)
                is_address = register in instruction.addresses
                at += int(
                    (is_early and ready.get(f"{register} late", 0) == at)
                    or (is_address and side == 1)
                )
            need = max(need, at)
        return need

    def _results(
        self,
        instruction: Instruction,
        issued: int,
        ready: dict[str, int],
        sums: dict[str, int],
        side: int,
    ) -> None:
        latency = 1
        if instruction.kind in ("load", "loads"):
            is_small = instruction.name[3:4] in ("b", "h", "s")
            latency = (self.small_load if is_small else self.load)[side]
        elif instruction.kind in ("multiply", "long"):
            latency = self.multiply
        elif instruction.kind == "bits":
            is_long = instruction.name.startswith(TWO_STAGES)
            latency = self.bits[1 if is_long else side]
        elif instruction.kind in VECTOR:
            # Beat by beat the next one follows; a sum in a scalar register comes at the end.
            latency = 1 + 2 * side
        elif instruction.is_shifted:
            latency = self.shifted
        for register in instruction.writes:
            is_base = register in instruction.addresses
            ready[register] = issued + (1 if is_base else latency)
            if instruction.kind == "load" and not is_base:
                ready[f"{register} late"] = ready[register]
            sums[register] = issued + max(1, latency - 1)
            if instruction.kind in VECTOR:
                scalar = not register.startswith(("q", "s", "d"))
                ready[register] += 1 if scalar and not is_base else 0
                sums[register] = issued + 1

    def _busy(self, instruction: Instruction, side: int) -> int:
        kind = instruction.kind
        if kind in ("loads", "stores") or instruction.count > 1:
            return -(-instruction.count // self.words_per_cycle)
        if kind == "divide":
            return self.divide[side]
        if instruction.name == "muls":
            return self.muls[side]
        if kind in VECTOR:
            return 1 if instruction.name.startswith(("vmov", "vmrs", "vmsr")) else 1 + side
        return 2 if kind == "table" else 1

    def _joins(self, first: Instruction, second: Instruction, is_taken: bool, side: int) -> bool:
        if not self.is_dual:
            return side == 0 and (
                _shares_with_branch(first, second, is_taken)
                or (self.has_pairs and _is_easy_pair(first, second))
            )
        kinds = {first.kind, second.kind}
        if kinds & {*BLOCKING, *VECTOR}:
            return False
        is_same = first.kind == second.kind
        if is_same and first.kind in ("multiply", "long", "bits", "store", "branch", "call"):
            return False
        if second.kind == "bits" and side == 1:
            # It belongs into the first of the two slots.
            return False
        if is_same and first.kind == "load" and side == 1:
            # Both must lie in different banks: even and odd words.
            return False
        if kinds == {"multiply", "store"} or (first.is_shifted and second.is_shifted):
            return False
        if "bits" in kinds and (first.is_shifted or second.is_shifted):
            return False
        return not self._depends(first, second, side)

    def _depends(self, first: Instruction, second: Instruction, side: int) -> bool:
        """Whether the second needs a result of the first too early to share its cycle."""
        needed = first.writes & second.reads
        if second.kind == "store":
            needed &= second.addresses
        elif side == 0 and first.kind == "alu":
            # The early arithmetic unit feeds the late one within a cycle; a sum comes later still.
            needed -= {second.accumulator}
            if first.name in EARLY_ALU and second.kind == "alu" and not second.is_shifted:
                needed = frozenset()
        return bool(needed or first.writes & second.writes)


def _unit(instruction: Instruction) -> str:
    """The vector unit: of the same one, each instruction takes two cycles."""
    if instruction.kind in ("vector load", "vector store"):
        return "memory"
    if instruction.kind != "vector":
        return ""
    return "multiply" if instruction.name.startswith(VECTOR_MULTIPLIES) else "arithmetic"


def _is_easy_pair(first: Instruction, second: Instruction) -> bool:
    if first.bytes == 4 or second.bytes == 4 or second.kind in ("branch", "call"):
        return False
    kinds = {first.kind, second.kind}
    if kinds & {*BLOCKING, "table"} or not {first.name, second.name} & set(EASY):
        return False
    return not (first.writes & (second.reads | second.writes))


def _shares_with_branch(first: Instruction, second: Instruction, is_taken: bool) -> bool:
    if second.kind == "it":
        return True
    if second.kind not in ("branch", "call") or second.bytes == 4 or first.bytes == 4:
        return False
    sets_flags = first.name.startswith(SETS_FLAGS) or first.name.endswith("s")
    return not (is_taken and sets_flags)


CORTEX_M33 = InOrder(
    # Measured: a taken branch 2 cycles, 1 behind a 16-bit instruction that sets no flags.
    refill=(1, 2),
    load=(2, 2),
    small_load=(2, 2),
    multiply=2,
    shifted=2,
    divide=(2, 11),
    # Measured: `sxtab`, `pkhbt`, `qsub` and the like 2; of others nothing is said.
    bits=(1, 2),
    # Measured, and Arm's KA001260.
    muls=(2, 2),
)
CORTEX_M55 = InOrder(
    # ARMScheduleM55.td: shifted operands, bit fields and products 2 cycles, loads 2 or more.
    refill=(1, 3),
    load=(2, 3),
    small_load=(2, 3),
    multiply=2,
    shifted=2,
    divide=(2, 11),
    bits=(2, 2),
    muls=(1, 2),
    has_pairs=True,
)
CORTEX_M7 = InOrder(
    # Measured: words in the next cycle, smaller ones a cycle later; 6 to 8 cycles mispredicted.
    refill=(0, 1),
    load=(1, 2),
    small_load=(2, 3),
    multiply=2,
    shifted=1,
    divide=(3, 12),
    words_per_cycle=2,
    is_dual=True,
    mispredicted=(0, 8),
)
