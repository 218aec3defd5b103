"""Every board's figures are plausible, and have a source."""

import dataclasses
import itertools
import subprocess

import pytest

from edge.catalog.board_file import CORES
from edge.catalog.boards import boards, core_flags, find_board
from edge.errors import EdgeError

BOARDS = boards()


def test_catalog_holds_the_well_known_boards():
    assert {board.id for board in BOARDS} >= {
        "nucleo-f446re",
        "nucleo-l4r5zi",
        "nucleo-h743zi2",
        "stm32f746g-disco",
        "nano-33-ble-sense",
        "raspberry-pi-pico",
        "raspberry-pi-pico-2",
        "microbit-v2",
        "teensy-4.1",
        "portenta-h7",
        "arduino-zero",
        "mps3-an547",
        "mps2-an385",
        "mps2-an386",
        "mps2-an500",
    }
    assert len(BOARDS) >= 42
    assert {board.core for board in BOARDS} == set(CORES)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_board_has_every_figure_and_its_source(board):
    assert board.core in CORES
    figures = {"flash", "ram", "clock", "core"} | ({"boot"} if board.boot_block else set())
    figures |= {"flash_timing"} if board.flash_wait_states is not None else set()
    figures |= {"chip"} if board.chip.family != "bare" else set()
    figures |= {"uart"} if board.port is not None else set()
    figures |= {"led"} if board.led is not None else set()
    assert set(board.sources) >= figures
    assert (board.flash_wait_states is None) == (board.flash_line_bytes is None)
    assert all(board.sources.values())
    # A chip that is left as it comes out of reset runs slowly.
    assert (16_000_000 if board.port else 8_000_000) <= board.clock_hz <= 1_000_000_000
    for bank in (*board.flash, *board.ram):
        assert bank.bytes % 1024 == 0
        assert bank.bytes > 0
        assert bank.address % 1024 == 0
    assert board.dsp == (board.core not in ("cortex-m0plus", "cortex-m3"))
    assert board.mve == (board.core in ("cortex-m55", "cortex-m85"))


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_banks_of_a_board_do_not_overlap(board):
    banks = sorted((*board.flash, *board.ram), key=lambda bank: bank.address)
    for lower, upper in itertools.pairwise(banks):
        assert lower.address + lower.bytes <= upper.address


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_core_flags_are_known_to_gcc(board, arm_compiler, tmp_path):

    (tmp_path / "empty.cc").write_text("int main() { return 0; }\n")
    command = [arm_compiler, *core_flags(board), "-c", "empty.cc", "-o", "empty.o"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


@pytest.mark.parametrize(
    ("board_id", "kib"),
    [("nucleo-f446re", 128), ("arduino-zero", 32), ("nucleo-l4r5zi", 640), ("microbit-v2", 128)],
)
def test_ram_is_that_of_the_datasheet(board_id, kib):
    assert find_board(board_id).ram_bytes == kib * 1024


@pytest.mark.parametrize("name", ["micro:bit v2", "BBC micro:bit V2", "MICROBIT-V2", "nRF52833"])
def test_find_board_takes_any_of_its_names(name):
    assert find_board(name).id == "microbit-v2"


def test_find_board_returns_a_board_as_it_is():
    own = dataclasses.replace(find_board("microbit-v2"), id="my-board")
    assert find_board(own) is own


def test_name_belongs_to_one_board():
    owners = {}
    for board in BOARDS:
        for name in (board.id, board.name, *board.aliases):
            plain = "".join(c for c in name.lower() if c.isalnum())
            assert owners.setdefault(plain, board.id) == board.id, name


def test_unknown_board_is_refused_with_the_nearest_names():
    with pytest.raises(EdgeError, match=r"Unknown board 'nucleo-f466re'; nearest: nucleo-f4"):
        find_board("nucleo-f466re")


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_board_that_is_not_emulated_speaks_or_says_that_it_does_not(board):
    """On a desk somebody must see the result; where not, the list shows no port and no clock."""
    if board.qemu_machine is not None:
        assert (board.chip.family, board.port, board.led) == ("bare", None, None)
    elif board.chip.family == "bare":
        assert (board.port, board.led, board.is_at_full_clock) == (None, None, False)
    else:
        assert board.is_at_full_clock
        assert board.chip.interrupts > 0
        assert board.port is not None or board.led is not None
    if board.port is not None:
        assert bool(board.port.bridge) == bool(board.port.usb_ids) or not board.port.bridge
        assert board.port.way
