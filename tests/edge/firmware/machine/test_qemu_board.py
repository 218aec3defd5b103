"""The image of a board on QEMU's machine with its map, and under a debugger as on a desk."""

import re
import subprocess

import pytest
from board_probe import build_probe

from edge.catalog.boards import find_board
from edge.firmware.machine.image_run import BoardRunError
from edge.firmware.machine.qemu_board import (
    QemuMachine,
    installed_machine,
    machines_with_map,
    run_image_on_qemu,
)

BOARD = find_board("nucleo-f446re")


@pytest.fixture(scope="module")
def probe(arm_compiler, tmp_path_factory):
    return build_probe(BOARD, tmp_path_factory.mktemp("probe"))


def test_the_image_speaks_on_the_boards_own_port(probe, qemu):
    """QEMU models no clock control: the reset clock, and the baud rate that goes with it."""
    done = run_image_on_qemu(probe, BOARD, installed_machine(BOARD), fed=b"echo")
    assert done.text == "clock 16000000\r\necho"
    assert done.outcome == "passed"


def test_a_machine_that_this_qemu_lacks_is_named(probe, qemu):
    machine = QemuMachine("nucleo-nowhere", ("STM32F4",), "cortex-m4", ("USART1", "USART2"))
    with pytest.raises(BoardRunError, match=r"^QEMU's nucleo-nowhere did not run the image: "):
        run_image_on_qemu(probe, BOARD, machine)


def test_only_chips_with_the_same_map_and_core_have_a_machine():
    assert [machine.name for machine in machines_with_map(find_board("microbit-v1"))] == [
        "microbit"
    ]
    for name in ("microbit-v2", "stm32f746g-disco", "mps2-an386"):
        assert machines_with_map(find_board(name)) == []


def test_gdb_loads_the_image_and_runs_it_to_a_symbol(probe, qemu, tool, tmp_path):
    """As on a desk, with QEMU's stub in the probe's place: nothing is in the flash before."""
    gdb = tool("gdb-multiarch")
    machine = installed_machine(BOARD).name
    stub = f"exec qemu-system-arm -M {machine} -nographic -monitor none -serial null -S -gdb stdio"
    script = [
        f"target remote | {stub}",
        "load",
        "monitor system_reset",
        "break chip_get",
        "continue",
        "print firmware_result",
        "kill",
    ]
    commands = [part for line in script for part in ("-ex", line)]
    done = subprocess.run(
        [gdb, "-q", "-batch", "-nx", *commands, str(probe)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert "Loading section .text" in done.stdout, done.stderr
    assert re.search(r"Breakpoint 1, chip_get \(", done.stdout), done.stdout + done.stderr
    assert re.search(r"^\$1 = 1$", done.stdout, re.M), done.stdout
