"""Boards in software: their start-up as the manuals allow it, and every way to go wrong named."""

import dataclasses
import re

import pytest
from board_probe import build_probe

from edge.catalog.boards import boards, find_board
from edge.firmware.machine.chips import has_model
from edge.firmware.machine.image_run import BoardRunError, run_image

REAL = [board.id for board in boards() if has_model(board)]
ONE_A_FAMILY = {find_board(name).chip.family: name for name in REAL}
F446 = "nucleo-f446re"
DEAD = [F446, "nucleo-h743zi2", "nucleo-h7a3zi-q", "nucleo-u575zi-q", "nucleo-l4r5zi"]
DEAD += ["nucleo-l476rg", "nucleo-g0b1re"]


def found(done):
    return [violation.what for violation in done.violations]


SWITCHED_SUPPLY_HZ = dict.fromkeys(("giga-r1", "nicla-vision", "portenta-h7"), 400_000_000)
"""The STM32H747 on its own step-down converter has no scale 0, which 480 MHz need."""


@pytest.mark.parametrize("name", REAL)
def test_a_board_starts_as_its_manual_allows_at_its_full_clock(run_probe, name):
    board = find_board(name)
    done = run_probe(name, fed=b"echo")
    assert found(done) == []
    assert done.fault is None
    hz = SWITCHED_SUPPLY_HZ.get(name, board.clock_hz)
    assert done.is_at(hz)
    assert done.text == f"clock {hz}\r\necho"
    assert done.lamp_changes == 3
    assert done.result == 1
    assert done.ended == "waits"


@pytest.mark.parametrize("name", ONE_A_FAMILY.values())
def test_a_board_starts_as_well_where_another_firmware_ran(run_probe, name):
    """Its clocks are in use and its port is on: a second start finds what a first one left."""
    done = run_probe(name, fed=b"!", misbehave="void chip_start(void); chip_start();")
    assert found(done) == []
    assert done.text.endswith("\r\n!")
    assert done.is_at(SWITCHED_SUPPLY_HZ.get(name, find_board(name).clock_hz))


def test_no_byte_is_sent_twice_or_lost_where_the_run_is_interrupted(run_probe, monkeypatch):
    monkeypatch.setattr("edge.firmware.machine.board_machine.SLICE", 101)
    fed = b"abcdefghijklmnopqrstuvwxyz" * 20
    done = run_probe(F446, fed=fed)
    assert done.text == f"clock 180000000\r\n{fed.decode()}"


@pytest.mark.parametrize("name", DEAD)
def test_where_no_clock_comes_up_a_board_speaks_on_that_of_reset(run_probe, name):
    """At the right baud rate, and it says which clock that is."""
    done = run_probe(name, is_dead=True, change=lambda text: text.replace("100000U", "500U"))
    assert found(done) == []
    assert done.text == f"clock {done.core_hz:.0f}\r\n"
    assert not done.is_at(find_board(name).clock_hz)


JUMP = '((void (*)(void))0x70000001U)(); __asm__ volatile("");'
FAULTS = {
    "*(volatile uint32_t *)0x60000000U = 1U;": "write to 0x60000000",
    "(void)*(volatile uint32_t *)0x40029000U;": "read of 0x40029000",
    "*(volatile uint32_t *)0x08000000U = 1U;": "write to the flash at 0x08000000",
    '__asm__ volatile("udf #0");': "undefined instruction",
    '__asm__ volatile("bkpt #1");': "breakpoint",
}


IN_CI = ("*(volatile uint32_t *)0x60000000U = 1U;", '__asm__ volatile("udf #0");')


@pytest.mark.parametrize(
    "code",
    [pytest.param(code, marks=() if code in IN_CI else pytest.mark.exhaustive) for code in FAULTS],
)
def test_a_fault_is_named_with_its_function(run_probe, code):
    # The handler tells of it, and then blinks for ever.
    done = run_probe(F446, misbehave=code, limit_s=1.0)
    assert (done.fault.what, done.fault.function) == (FAULTS[code], "misbehave")
    assert done.fault.sentence().endswith(f"in misbehave, 0x{done.fault.address:08x}")
    assert done.result == 4
    assert re.search(r"\r\nfault \w+ pc 0x[0-9a-f]{8} lr 0x[0-9a-f]{8} .*\r\n$", done.text)


def test_a_jump_to_nowhere_is_named_with_its_caller(run_probe):
    done = run_probe(F446, misbehave=JUMP)
    assert (done.fault.what, done.fault.function) == ("jump to 0x70000000", "misbehave")
    assert done.ended == "rests", "the run ends once the report is out"


def test_an_image_in_an_endless_loop_ends(run_probe):
    done = run_probe(F446, misbehave="for (;;) { }")
    assert (done.ended, done.result) == ("rests", 0)


def test_a_process_of_its_own_does_the_same(arm_compiler, unicorn, tmp_path):
    board = find_board(F446)
    done = run_image(build_probe(board, tmp_path), board, fed=b"!")
    assert done.has_passed
    assert done.text.endswith("!")
    assert done.emulator.startswith("unicorn 2")


def test_a_core_that_unicorn_lacks_is_named(unicorn, tmp_path):
    board = dataclasses.replace(find_board(F446), core="cortex-m55")
    with pytest.raises(BoardRunError, match=r"^unicorn 2[.\d]* has no cortex-m55\.$"):
        run_image(tmp_path / "firmware.elf", board)
