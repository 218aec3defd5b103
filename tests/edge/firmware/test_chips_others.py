"""Chips that are not ST's: their code compiles, starts where the boot loader jumps, and in order.

The registers read here as a chip's do that is well, or as one whose clock never comes up.
"""

import pytest
from chip_images import Boot, compile_sources, link, write_sources
from compilers import GCC

from edge.catalog.boards import boards, find_board

FAMILIES = {"nrf52", "samd21"}
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
    sources = write_sources(board, tmp_path)
    for option in ("-O0", "-O2", "-Os"):
        compile_sources(board, tmp_path, sources, compiler, option)


@pytest.mark.parametrize("name", NRF52)
@pytest.mark.parametrize("ready", [NRF_READY, {}], ids=["well", "no crystal"])
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


def order_of(boot, *registers):
    """Where each register was first written, to compare with its sorted self."""
    written = [address for address, _ in boot.writes]
    return [written.index(address) for address in registers]


@pytest.mark.parametrize("name", ["arduino-zero", "feather-m0"])
@pytest.mark.parametrize(("flags", "baud"), [(0xDA, 63020), (0x08, 50437)])
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
