"""What the disassembly of real machine code says of each instruction."""

import subprocess

import pytest

from edge.firmware.instructions import decode, disassemble

PIECES = {
    "cortex-m4": [
        ("ldr r0, [r1, r2, lsl #2]", "load", "r1 r2", "r0"),
        ("ldr r0, [r1], #4", "load", "r1", "r0 r1"),
        ("ldr r0, [r1, #4]!", "load", "r1", "r0 r1"),
        ("ldrd r0, r1, [r2, #8]", "loads", "r2", "r0 r1"),
        ("ldmia r0!, {r1, r2, r3}", "loads", "r0", "r0 r1 r2 r3"),
        ("pop {r4, pc}", "loads", "sp", "pc r4 sp"),
        ("push {r4, lr}", "stores", "lr r4 sp", "sp"),
        ("strb r0, [r1, r2]", "store", "r0 r1 r2", ""),
        ("strd r0, r1, [r2]", "stores", "r0 r1 r2", ""),
        ("add r0, r8", "alu", "r0 r8", "r0"),
        ("adds r0, #200", "alu", "r0", "r0"),
        ("mov r0, r8", "alu", "r8", "r0"),
        ("mvn r0, #1", "alu", "", "r0"),
        ("add r0, r1, r2, asr #3", "alu", "r1 r2", "r0"),
        ("cmp r0, r1", "alu", "r0 r1", ""),
        ("movt r0, #1", "alu", "r0", "r0"),
        ("bfi r0, r1, #0, #8", "bits", "r0 r1", "r0"),
        ("sxtb16 r0, r1, ror #8", "bits", "r1", "r0"),
        ("ssat r0, #8, r1", "bits", "r1", "r0"),
        ("pkhbt r0, r1, r2, lsl #16", "bits", "r1 r2", "r0"),
        ("smlad r0, r1, r2, r3", "multiply", "r1 r2 r3", "r0"),
        ("smmulr r0, r1, r2", "multiply", "r1 r2", "r0"),
        ("umull r0, r1, r2, r3", "long", "r2 r3", "r0 r1"),
        ("smlal r0, r1, r2, r3", "long", "r0 r1 r2 r3", "r0 r1"),
        ("udiv r0, r1, r2", "divide", "r1 r2", "r0"),
        ("bx lr", "call", "lr", ""),
        ("tbb [pc, r0]", "table", "pc r0", ""),
        ("vpush {d8-d9}", "vector store", "d8 d9 sp", "sp"),
    ],
    "cortex-m55": [
        ("vldrb.u8 q0, [r0], #16", "vector load", "r0", "q0 r0"),
        ("vstrb.8 q0, [r0]", "vector store", "q0 r0", ""),
        ("vmlava.s8 r0, q1, q2", "vector", "q1 q2 r0", "r0"),
        ("vadd.i32 q0, q1, r2", "vector", "q1 r2", "q0"),
        ("dlstp.8 lr, r0", "loop", "r0", "lr"),
    ],
}


@pytest.mark.parametrize("core", PIECES)
def test_machine_code_is_read(arm_compiler, tmp_path, core):
    pieces = PIECES[core]
    source = tmp_path / "pieces.s"
    lines = "\n".join(text for text, *_ in pieces)
    source.write_text(f".syntax unified\n.thumb\n.fpu fpv4-sp-d16\n{lines}\n")
    flags = ["-mcpu=cortex-m55", "-mfloat-abi=hard"] if core == "cortex-m55" else [f"-mcpu={core}"]
    if core == "cortex-m55":
        source.write_text(f".syntax unified\n.thumb\n{lines}\n")
    command = ["arm-none-eabi-gcc", *flags, "-mthumb", "-c", str(source), "-o"]
    subprocess.run([*command, str(tmp_path / "pieces.o")], check=True)
    found = [at for _, at in sorted(disassemble(tmp_path / "pieces.o", core).items())]
    assert len(found) >= len(pieces)
    for (text, kind, reads, writes), instruction in zip(pieces, found, strict=False):
        assert (instruction.kind, sorted(instruction.reads), sorted(instruction.writes)) == (
            kind,
            reads.split(),
            writes.split(),
        ), text


def test_the_width_of_an_instruction_is_that_of_its_code(arm_compiler, tmp_path):
    source = tmp_path / "wide.s"
    source.write_text(".syntax unified\n.thumb\nadds r0, r0, #1\nadd.w r0, r0, #1\nnop\n")
    command = ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb", "-c", str(source)]
    subprocess.run([*command, "-o", str(tmp_path / "wide.o")], check=True)
    found = disassemble(tmp_path / "wide.o", "cortex-m4")
    assert [(at, each.bytes) for at, each in sorted(found.items())][:3] == [(0, 2), (2, 4), (6, 2)]


def test_a_shifted_operand_and_an_accumulator_are_told():
    assert decode(0, 4, "add.w", "r0, r1, r2, lsl #2").is_shifted
    assert not decode(0, 2, "lsls", "r0, r1, #2").is_shifted
    assert not decode(0, 4, "ldr.w", "r0, [r1, r2, lsl #2]").is_shifted
    assert decode(0, 4, "smlad", "r0, r1, r2, r3").accumulator == "r3"
