"""Chips that are not ST's: their code compiles, starts where the boot loader jumps, and in order.

The registers read here as a chip's do that is well, or as one whose clock never comes up.
"""

import binascii
import struct
import subprocess

import pytest
from chip_images import Boot, compile_sources, link, write_sources
from compilers import GCC
from unicorn import arm_const

from edge.catalog.boards import boards, find_board
from edge.firmware.boot2 import BOOT_BYTES, PROGRAM, boot_code

FAMILIES = {"nrf52", "nrf53", "samd21", "rp2040", "rp2350", "imxrt1062"}
OTHERS = [board for board in boards() if board.chip.family in FAMILIES]
ONE_A_FAMILY = {board.chip.family: board for board in OTHERS}
NRF52 = [board.id for board in OTHERS if board.chip.family == "nrf52"]

NRF_READY = {0x40000100: 1, 0x4000211C: 1, 0x4001E400: 1}
NRF_BANKS = ((0x10000000, 0x2000),)
APPROTECT, APPROTECT_DISABLE = 0x10001208, 0x40000558


@pytest.mark.parametrize("compiler", [GCC, "clang"])
@pytest.mark.parametrize("family", ONE_A_FAMILY)
def test_chip_compiles_without_a_warning(arm_compiler, tool, tmp_path, family, compiler):
    tool(compiler)
    board = ONE_A_FAMILY[family]
    written = write_sources(board, tmp_path)
    sources = [name for name in written if name.startswith(("chip_", "boot"))]
    for option in ("-O0", "-O2", "-Os"):
        compile_sources(board, tmp_path, sources, compiler, option)


@pytest.mark.parametrize(
    ("name", "ready"), [*((name, NRF_READY) for name in NRF52), ("microbit-v2", {})]
)
def test_nrf52_comes_to_main(arm_compiler, tmp_path, name, ready):
    board = find_board(name)
    boot = Boot(link(board, tmp_path), board, ready, NRF_BANKS)
    assert boot.run(board.flash[0].address)
    written = [address for address, _ in boot.writes]
    # The crystal first, then the port, its pins before it is enabled.
    order = [0x40000000, 0x4000250C, 0x40002514, 0x40002524, 0x40002500, 0x40002008]
    assert [written.index(address) for address in order] == sorted(map(written.index, order))
    assert (0x40002524, 0x01D7E000) in boot.writes


@pytest.mark.parametrize(
    ("revision", "before", "after", "disables"),
    [
        (0, 0xFFFFFFFF, 0xFFFFFFFF, False),
        (1, 0xFFFFFFFF, 0xFFFFFF5A, True),
        (1, 0xFFFFFF00, 0xFFFFFF00, False),
        (2, 0xFFFFFF5A, 0xFFFFFF5A, True),
    ],
    ids=["early", "later, erased", "closed by its owner", "open"],
)
def test_debug_port_is_opened_on_later_silicon_only(
    arm_compiler, tmp_path, revision, before, after, disables
):
    board = find_board("microbit-v2")
    boot = Boot(link(board, tmp_path), board, NRF_READY, NRF_BANKS)
    for address, value in ((0x10000130, 0x0D), (0x10000134, revision), (APPROTECT, before)):
        boot.core.mem_write(address, value.to_bytes(4, "little"))
    assert boot.run(0)
    assert boot.word(APPROTECT) == after
    assert ((APPROTECT_DISABLE, 0x5A) in boot.writes) == disables


@pytest.mark.parametrize(("started", "hz"), [(1, 128_000_000), (0, 64_000_000)])
def test_nrf53_comes_to_main(arm_compiler, tmp_path, started, hz):
    board = find_board("nrf5340-dk")
    ready = {0x50005100: started, 0x50008120: 1}
    boot = Boot(link(board, tmp_path), board, ready, [(0x00FF0000, 0x9000)])
    # Two trims of the factory's, and what ends their list.
    words = (0x50005F00, 7, 0x50005F04, 9, 0xFFFFFFFF, 0)
    boot.core.mem_write(0x00FF0300, struct.pack("<6I", *words))
    assert boot.run(0)
    order = order_of(boot, 0x50005F00, 0x50005F04, 0x50001500, 0x50005000, 0x50008524, 0x50008500)
    assert order == sorted(order)
    assert ((0x50005558, 0) in boot.writes) == bool(started)
    assert read_clock(boot) == hz
    sends = boot.last(0x50008544)
    boot.core.reg_write(arm_const.UC_ARM_REG_R0, ord("m"))
    boot.core.reg_write(arm_const.UC_ARM_REG_LR, boot.symbols["main"])
    assert boot.call(boot.symbols["chip_put"], boot.symbols["main"] & ~1)
    assert (boot.core.mem_read(sends, 1), boot.writes[-1]) == (b"m", (0x50008008, 1))


@pytest.mark.parametrize(
    ("before", "after"), [(0xFFFFFFFF, 0x50FA50FA), (0, 0)], ids=["erased", "closed by its owner"]
)
def test_nrf53_opens_the_debug_ports_that_nobody_closed(arm_compiler, tmp_path, before, after):
    boot = Boot(
        link(find_board("nrf5340-dk"), tmp_path),
        find_board("nrf5340-dk"),
        {0x50005100: 1, 0x50039400: 1},
        [(0x00FF0000, 0x9000)],
    )
    settings, registers = (0x00FF8000, 0x00FF801C), (0x50006544, 0x5000654C)
    for address in settings:
        boot.core.mem_write(address, before.to_bytes(4, "little"))
    assert boot.run(0)
    assert [boot.word(address) for address in settings] == [after, after]
    assert [boot.last(address) for address in registers] == [after, after]


def order_of(boot, *registers):
    """Where each register was first written, to compare with its sorted self."""
    written = [address for address, _ in boot.writes]
    return [written.index(address) for address in registers]


@pytest.mark.parametrize(
    ("name", "flags", "baud"),
    [("arduino-zero", 0xDA, 63020), ("feather-m0", 0xDA, 63020), ("arduino-zero", 0x08, 50437)],
    ids=["zero", "feather", "no crystal"],
)
def test_samd21_comes_to_main(arm_compiler, tmp_path, name, flags, baud):
    board = find_board(name)
    boot = Boot(link(board, tmp_path), board, {0x4000080C: flags})
    assert boot.run(0x2000)
    # Wait states before the clock rises; the generator turns to the DFLL last.
    order = order_of(boot, 0x41004004, 0x40000820, 0x40000C04, 0x40000814)
    assert order == sorted(order)
    base = 0x42000800 + 0x400 * board.port.figures["sercom"]
    sources = [value >> 8 & 31 for address, value in boot.writes if address == 0x40000C04]
    assert sources == ([6, 5, 7] if flags == 0xDA else [6])
    assert (base + 0x0C, baud) in boot.writes
    assert abs((1 - baud / 65536) * (48e6 if flags == 0xDA else 8e6) / 16 - 115200) < 150


RP2 = [board.id for board in OTHERS if board.chip.family in ("rp2040", "rp2350")]
RP2_BASES = {
    # Crystal, PLL, clocks, UART, and the PLL's and the UART's bits of the resets.
    "rp2040": (0x40024000, 0x40028000, 0x40008000, 0x40034000),
    "rp2350": (0x40048000, 0x40050000, 0x40010000, 0x40070000),
}


def rp2_registers(family, stable):
    crystal, pll, clocks, _ = RP2_BASES[family]
    resets = {"rp2040": 0x4000C008, "rp2350": 0x40020008}[family]
    selected = {clocks + at + 8: lambda boot, at=clocks + at: 1 << boot.last(at) for at in (48, 60)}
    return {resets: 0xFFFFFFFF, crystal + 4: stable, pll: stable, **selected}


@pytest.mark.parametrize(
    ("name", "stable"), [*((name, 1 << 31) for name in RP2), ("raspberry-pi-pico", 0)]
)
def test_rp2_comes_to_main(arm_compiler, tmp_path, name, stable):
    board = find_board(name)
    family, figures = board.chip.family, board.chip.figures
    crystal, pll, clocks, uart = RP2_BASES[family]
    boot = Boot(link(board, tmp_path), board, rp2_registers(family, stable))
    vectors = board.flash[0].address + (BOOT_BYTES if family == "rp2040" else 0)
    assert boot.run(vectors)
    assert (0xE000ED08, vectors) in boot.writes
    if stable:
        order = order_of(boot, crystal, clocks + 48, pll + 8, pll + 4, pll + 12, uart + 0x24)
        assert order == sorted(order)
        sources = [value for address, value in boot.writes if address == clocks + 60]
        assert sources == [0, 1]
        vco = figures["xosc_hz"] * figures["pll_multiplier"]
        assert 750_000_000 <= vco <= 1_600_000_000
        divider = figures["pll_first_divider"] * figures["pll_second_divider"]
        assert vco == divider * board.clock_hz
    # What the port's clock is divided by, in 64ths, makes 115,200 baud to half a percent.
    hz = board.clock_hz if stable else figures["reset_hz"]
    in_64ths = boot.last(uart + 0x24) * 64 + boot.last(uart + 0x28)
    assert abs(hz * 4 / in_64ths / 115200 - 1) < 0.005


def test_second_stage_is_what_its_text_says(arm_compiler, tmp_path):
    text = "\n".join(line[9:] for line in PROGRAM.splitlines())
    (tmp_path / "boot2.s").write_text(f".syntax unified\n.cpu cortex-m0plus\n.thumb\n{text}\n")
    for command in ("as boot2.s -o boot2.o", "objcopy -O binary boot2.o boot2.bin"):
        subprocess.run(f"arm-none-eabi-{command}".split(), cwd=tmp_path, check=True)
    assert (tmp_path / "boot2.bin").read_bytes() == boot_code()


def reversed_bits(value, width):
    return int(f"{value:0{width}b}"[::-1], 2)


def test_second_stage_has_the_checksum_of_the_boot_rom(arm_compiler, tmp_path):
    board = find_board("raspberry-pi-pico")
    boot = Boot(link(board, tmp_path), board, {})
    block = bytes(boot.core.mem_read(0x10000000, BOOT_BYTES))
    # The boot ROM's CRC is that of zlib with all bits the other way round.
    crc = binascii.crc32(bytes(reversed_bits(byte, 8) for byte in block[:-4])) ^ 0xFFFFFFFF
    assert block[-4:] == reversed_bits(crc, 32).to_bytes(4, "little")


SSI, SRAM5 = 0x18000000, 0x20041F00


class Flash:
    """A flash behind the RP2040's SSI: its commands in serial mode, and its quad-enable bit."""

    def __init__(self, is_quad, takes_quad):
        self.status, self.takes_quad = 2 * is_quad, takes_quad
        self.sent, self.received, self.busy = [], [], 3

    def answer(self, boot):
        return self.received.pop(0) if self.received else 0

    def send(self, byte):
        self.sent.append(byte)
        command, place = self.sent[0], len(self.sent)
        if place == 2 and command == 0x35:
            self.received[:] = [0, self.status]
        if place == 2 and command == 0x05:
            self.busy -= 1
            self.received[:] = [0, int(self.busy > 0)]
        if place == 2 and command == 0x31 and self.takes_quad:
            self.status = byte
        if place == 2 or command == 0x06:
            self.sent.clear()


@pytest.mark.parametrize(
    ("is_quad", "takes_quad", "frames", "control", "divider"),
    [
        (True, True, 0x005F0300, 0xA0002022, 2),
        (False, True, 0x005F0300, 0xA0002022, 2),
        (False, False, 0x001F0300, 0x03000218, 4),
    ],
    ids=["quad", "made quad", "serial"],
)
def test_image_is_entered_through_the_second_stage(
    arm_compiler, tmp_path, is_quad, takes_quad, frames, control, divider
):
    """As the boot ROM does it: the first 256 bytes in RAM, entered at their start."""
    board = find_board("raspberry-pi-pico")
    flash = Flash(is_quad, takes_quad)
    reads = {SSI + 0x28: 4, SSI + 0x60: flash.answer, **rp2_registers("rp2040", 1 << 31)}
    boot = Boot(link(board, tmp_path), board, reads)
    boot.on_write[SSI + 0x60] = flash.send
    block = bytes(boot.core.mem_read(0x10000000, BOOT_BYTES))
    boot.core.mem_write(SRAM5, block)
    boot.core.reg_write(arm_const.UC_ARM_REG_SP, SRAM5)
    assert boot.call(SRAM5, boot.symbols["main"] & ~1)
    got = [boot.last(SSI + at) for at in (0x00, 0xF4, 0x14, 0x08)]
    assert got == [frames, control, divider, 1]
    assert boot.writes.index((0xE000ED08, 0x10000100)) > max(
        n for n, (address, _) in enumerate(boot.writes) if address == SSI + 8
    )
    assert boot.core.reg_read(arm_const.UC_ARM_REG_SP) <= boot.symbols["stack_top"]


TEENSYS = ["teensy-4.0", "teensy-4.1"]
CCM, PLL, DCDC, GPR = 0x400FC000, 0x400D8000, 0x40080000, 0x400AC000
RT_WELL = {DCDC: 1 << 31, PLL: 1 << 31}


@pytest.mark.parametrize("name", TEENSYS)
def test_flash_begins_with_what_the_boot_rom_reads(arm_compiler, tmp_path, name):
    board = find_board(name)
    elf = link(board, tmp_path)
    boot = Boot(elf, board, {})
    flash = [boot.word(0x60000000 + at) for at in range(0, 512, 4)]
    assert struct.pack("<I", flash[0]) == b"FCFB"
    assert struct.pack("<I", flash[1]) == b"\x00\x00\x01V"
    # Sampling, pads, clock; a serial NOR; its size; page, sector and block.
    block = struct.pack("<128I", *flash)
    assert (block[0x0C], block[0x44], block[0x45], block[0x46]) == (1, 1, 4, 6)
    assert flash[0x50 // 4] == board.chip.figures["flash_bytes"] >= board.flash_bytes
    assert (flash[0x1C0 // 4], flash[0x1C4 // 4], flash[0x1D0 // 4]) == (256, 4096, 65536)
    # Command EBh on one line, 24 bits of address, mode and four cycles on four, then data.
    sequence = struct.unpack_from("<6H", block, 0x80)
    assert [(code >> 10, code >> 8 & 3, code & 255) for code in sequence] == [
        *((1, 0, 0xEB), (2, 2, 24), (7, 2, 0xFF)),
        *((12, 2, 4), (9, 2, 4), (0, 0, 0)),
    ]
    header, entry, reserved, dcd, data, own, csf, also = struct.unpack(
        "<8I", boot.core.mem_read(0x60001000, 32)
    )
    assert struct.pack("<I", header) == b"\xd1\x00\x20\x41"
    assert (reserved, dcd, csf, also, own) == (0, 0, 0, 0, 0x60001000)
    start, size, is_plugin = struct.unpack("<3I", boot.core.mem_read(data, 12))
    subprocess.run(
        ["arm-none-eabi-objcopy", "-O", "binary", elf, tmp_path / "firmware.bin"], check=True
    )
    assert (start, size, is_plugin) == (0x60000000, (tmp_path / "firmware.bin").stat().st_size, 0)
    assert boot.word(entry) == boot.symbols["stack_top"]
    assert boot.word(entry + 4) == boot.symbols["enter"] | 1


@pytest.mark.parametrize(
    ("name", "ready", "hz"),
    [
        ("teensy-4.0", RT_WELL, 600_000_000),
        ("teensy-4.1", RT_WELL, 600_000_000),
        ("teensy-4.1", {DCDC: 1 << 31, PLL: 0}, 24_000_000),
        ("teensy-4.1", {DCDC: 0}, 396_000_000),
    ],
    ids=["4.0", "4.1", "no lock", "no voltage"],
)
def test_teensy_is_entered_through_its_header(arm_compiler, tmp_path, name, ready, hz):
    board = find_board(name)
    boot = Boot(link(board, tmp_path), board, ready)
    assert boot.run(boot.word(0x60001004))
    written = [address for address, _ in boot.writes]
    # Before there is a stack all of the FlexRAM is data memory.
    assert boot.writes[:3] == [
        (GPR + 0x44, 0xAAAAAAAA),
        (GPR + 0x40, 0x00200006),
        (GPR + 0x38, 0x00A00000),
    ]
    assert boot.writes[3] == (0xE000ED08, 0x60001400)
    assert boot.last(DCDC + 0x0C) & 31 == 18
    assert boot.last(0xE000ED14) & 3 << 16 == 3 << 16
    # The voltage rises first; the core is on the crystal while the PLL starts, and not before.
    sources = [value >> 25 & 1 for address, value in boot.writes if address == CCM + 0x14]
    order = [DCDC + 0x0C, CCM + 0x14, PLL, CCM + 0x10]
    order = order[: {600: 4, 24: 3, 396: 1}[hz // 1_000_000]]
    assert order_of(boot, *order) == sorted(order_of(boot, *order))
    assert sources == {600: [0, 1, 1, 0], 24: [0, 1], 396: []}[hz // 1_000_000]
    assert CCM + 0x10 in written or hz < 600_000_000
    assert read_clock(boot) == hz
    rate = boot.last(0x40198010)
    assert abs(24e6 / ((rate >> 24) + 1) / (rate & 0x1FFF) / 115200 - 1) < 0.005


def read_clock(boot):
    """What the chip says that it runs at, once it has come to main."""
    core, back = boot.core, boot.symbols["main"]
    core.reg_write(arm_const.UC_ARM_REG_LR, back)
    assert boot.call(boot.symbols["chip_clock_hz"], back & ~1)
    return core.reg_read(arm_const.UC_ARM_REG_R0)


def test_what_a_boot_loader_left_on_is_silenced_before_the_chip_starts(arm_compiler, tmp_path):
    board = find_board("feather-nrf52840")
    boot = Boot(link(board, tmp_path), board, NRF_READY, NRF_BANKS)
    boot.core.reg_write(arm_const.UC_ARM_REG_PRIMASK, 1)
    assert boot.run(board.flash[0].address)
    order = [0xE000E010, 0xE000ED04, 0xE000E180, 0xE000E280, 0xE000E184, 0xE000E284, 0x40000000]
    assert order_of(boot, *order) == sorted(order_of(boot, *order))
    assert boot.core.reg_read(arm_const.UC_ARM_REG_PRIMASK) == 0
