"""Cycles of short pieces of code, counted by hand from the manuals and the measurements."""

import pytest

from edge.firmware.cycles import PIPELINES
from edge.firmware.instructions import decode


def block_of(text):
    """The instructions of `a; b; c`; 32 bits wide where a name says `.w`, or is new enough."""
    block, address = [], 0x40
    for line in text.split("; "):
        name, _, operands = line.partition(" ")
        is_wide = name.endswith(".w") or name.startswith(
            ("sm", "um", "v", "ml", "ldrd", "le", "bl")
        )
        block.append(decode(address, 4 if is_wide else 2, name, operands))
        address += block[-1].bytes
    return tuple(block)


STRAIGHT = [
    # DDI 0439: back-to-back loads take one cycle more than there are loads; measured: only of one
    # memory, and another base may point to another.
    ("cortex-m4", "ldr r0, [r1, r5]; ldr r1, [r2]; ldr r2, [r3, #4]", 4, 6),
    ("cortex-m4", "ldr r0, [r3]; ldr r1, [r3, #4]; ldr r2, [r3, #8]", 4, 4),
    ("cortex-m4", "ldr r0, [r1]; adds r2, r2, #1; ldr r3, [r4]", 5, 5),
    # The second needs the first's result for its address: no pipelining.
    ("cortex-m4", "ldr r1, [r0]; ldr r2, [r1]", 4, 4),
    # No path from the arithmetic to the address: one cycle more.
    ("cortex-m4", "adds r1, r1, #4; ldr r0, [r1]", 4, 4),
    ("cortex-m4", "adds r2, r1, #4; ldr r0, [r1]", 3, 3),
    # "Normally three cycles" in the manual; measured, the store hides the load's second.
    ("cortex-m4", "ldr r0, [r1]; str r0, [r3, #20]", 2, 3),
    ("cortex-m4", "str r0, [r1, #4]; str r2, [r1, #8]", 2, 2),
    ("cortex-m4", "str r0, [r1, r2]", 2, 2),
    # Measured: three wide ones in a row off words' boundaries, and no load after one that moves
    # the same base; on the M3 none that moves its own.
    ("cortex-m4", "nop; add.w r0, r0, #1; add.w r1, r1, #1; add.w r2, r2, #1", 4, 5),
    ("cortex-m4", "ldr r0, [r1], #4; ldr r2, [r1], #4", 4, 4),
    ("cortex-m4", "ldr r0, [r3]; ldr r2, [r1], #4", 3, 4),
    ("cortex-m3", "ldr r0, [r3]; ldr r2, [r1], #4", 4, 4),
    ("cortex-m4", "str r0, [r1]; ldr r2, [r3]", 3, 4),
    # At address 0x42 a wide load may not be pipelined.
    ("cortex-m4", "ldr r0, [r1]; ldr.w r8, [r2]", 3, 4),
    ("cortex-m4", "ldr r0, [pc, #8]", 2, 3),
    ("cortex-m4", "ldrd r0, r1, [r2]", 3, 3),
    ("cortex-m4", "ldmia r0!, {r1, r2, r3}", 4, 4),
    ("cortex-m4", "push {r4, lr}", 3, 3),
    ("cortex-m4", "smlad r0, r1, r2, r0; smmulr r3, r0, r4; umull r5, r6, r7, r8", 3, 3),
    ("cortex-m4", "udiv r0, r1, r2", 2, 12),
    ("cortex-m4", "it ge; movge r0, #0", 1, 2),
    ("cortex-m3", "mla r0, r1, r2, r3; muls r0, r1, r0", 3, 3),
    ("cortex-m3", "umull r0, r1, r2, r3", 3, 5),
    ("cortex-m3", "smlal r0, r1, r2, r3", 4, 7),
    ("cortex-m0plus", "ldr r0, [r1]; ldr r2, [r3]; str r0, [r4]", 6, 6),
    ("cortex-m0plus", "muls r0, r1, r0; adds r1, r1, #4; ldr r0, [r1]", 4, 4),
    # A load can be used in the cycle after the next, and a product too.
    ("cortex-m33", "ldr r0, [r1]; adds r2, r0, r3", 3, 3),
    ("cortex-m33", "ldr r0, [r1]; adds r2, r4, r3; adds r2, r0, r3", 3, 3),
    ("cortex-m33", "muls r0, r1, r0; adds r2, r0, r3", 3, 3),
    ("cortex-m33", "muls r0, r1, r0; adds r2, r4, r3", 3, 3),
    ("cortex-m33", "pkhbt.w r0, r1, r2; adds r2, r0, r3", 3, 3),
    ("cortex-m33", "sxtb16.w r0, r1; adds r2, r0, r3", 2, 3),
    ("cortex-m33", "mla r0, r1, r2, r0; mla r0, r3, r4, r0", 2, 2),
    ("cortex-m33", "ldr r0, [r1]; str r0, [r2]", 2, 2),
    ("cortex-m33", "ldmia r0!, {r1, r2, r3}", 3, 3),
    ("cortex-m33", "ldrd r0, r1, [r2]", 2, 2),
    # Vectors of different units overlap beat by beat; of one unit each takes two cycles.
    ("cortex-m55", "vldrb.u8 q0, [r0]; vmlava.s8 r2, q2, q1", 2, 4),
    ("cortex-m55", "vldrb.u8 q0, [r0]; vldrb.u8 q1, [r1]", 3, 4),
    # Two 16-bit instructions, one of them easy, at best take a cycle.
    ("cortex-m55", "adds r0, r1, r2; ldr r3, [r4]", 1, 2),
    ("cortex-m55", "adds r0, r1, r2; ldr r3, [r0]", 2, 2),
    ("cortex-m55", "ands r0, r1; ldr r3, [r4]", 2, 2),
    # At worst the multiplication waits for the whole vector.
    ("cortex-m55", "vldrb.u8 q0, [r0]; vmlava.s8 r2, q0, q1", 2, 5),
    ("cortex-m7", "adds r0, r1, r2; adds r3, r4, r5", 1, 1),
    ("cortex-m7", "adds r0, r1, r2; adds r3, r0, r5", 1, 2),
    # A slot that is left over is half a cycle at best.
    ("cortex-m7", "smlad r0, r1, r2, r0; smlad r3, r4, r5, r3", 1.5, 2),
    ("cortex-m7", "smlad r0, r1, r2, r0; ldr r3, [r4]", 1, 1),
    ("cortex-m7", "ldr r0, [r1]; ldr r2, [r3]", 1, 2),
    ("cortex-m7", "str r0, [r1]; str r2, [r3]", 1.5, 2),
    ("cortex-m7", "ldr r0, [r1]; smlad r2, r0, r3, r2", 2.5, 4),
    # A bit field belongs into the first slot, and is late for an address or a shifter.
    ("cortex-m7", "adds r0, r1, r2; uxtb r3, r4", 1, 2),
    ("cortex-m7", "ldr r0, [r1]; ubfx.w r2, r0, #8, #8", 2.5, 4),
    ("cortex-m7", "ldmia r0!, {r1, r2, r3}", 2, 2),
]

TAKEN = [
    ("cortex-m0plus", "b.n 40", 2, 2),
    ("cortex-m0plus", "bl 40", 3, 3),
    ("cortex-m0plus", "bx lr", 2, 2),
    ("cortex-m0plus", "pop {r4, pc}", 5, 5),
    ("cortex-m3", "b.n 40", 2, 4),
    ("cortex-m4", "subs r0, #1; bne.n 40", 3, 5),
    ("cortex-m4", "pop {r4, pc}", 4, 6),
    # Measured: 1 and 2 cycles; behind one that sets no flags 1, 1 and 1.
    ("cortex-m33", "subs r7, #1; bne.n 40", 3, 4),
    ("cortex-m33", "subs r7, #1; add r0, r1; bne.n 40", 3, 5),
    # The end of a low-overhead loop takes nothing once the loop is known.
    ("cortex-m55", "vldrb.u8 q0, [r0]; vmlava.s8 r2, q2, q1; letp lr, 40", 2, 5),
    ("cortex-m7", "subs r0, #1; bne.n 40", 1, 2),
]


@pytest.mark.parametrize(("core", "text", "low", "high"), STRAIGHT)
def test_code_without_a_jump(core, text, low, high):
    block = block_of(text)
    assert [PIPELINES[core].cycles(block, False, side) for side in (0, 1)] == [low, high]


@pytest.mark.parametrize(("core", "text", "low", "high"), TAKEN)
def test_code_that_jumps(core, text, low, high):
    block = block_of(text)
    assert [PIPELINES[core].cycles(block, True, side) for side in (0, 1)] == [low, high]


@pytest.mark.parametrize(
    ("core", "low", "high"), [("cortex-m4", 2, 2), ("cortex-m33", 1, 2), ("cortex-m0plus", 2, 2)]
)
def test_a_branch_that_is_not_taken(core, low, high):
    block = block_of("subs r0, #1; bne.n 40")
    assert [PIPELINES[core].cycles(block, False, side) for side in (0, 1)] == [low, high]
