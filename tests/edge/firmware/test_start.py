"""A firmware on a board ends with a word where it faults, on every kind of core.

QEMU's boards stand in for the chips: the test's own chip speaks through the debugger.
"""

import re
import subprocess
import threading

import pytest
from compilers import GCC

from edge.catalog.boards import core_flags, find_board
from edge.firmware.emulate import qemu_command
from edge.firmware.render import BOARD_FOLDER, board_header, link_script

CHIP = """#include "chip.h"
void chip_start(void) {}
uint32_t chip_clock_hz(void) { return 25000000U; }
void chip_put(uint8_t byte) {
  register uint32_t r0 __asm__("r0") = 3U; /* write a character */
  register const uint8_t *r1 __asm__("r1") = &byte;
  __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
}
void chip_led(bool is_on) { (void)is_on; }
"""

MAIN = """#include "start.h"
volatile uint32_t firmware_result;
uint32_t deep(uint32_t depth);
__attribute__((noinline)) uint32_t deep(uint32_t depth) {
  volatile uint32_t words[4] = {depth};
  return (depth == 0U) ? 0U : (deep(depth - 1U) + words[0]);
}
int main(void) {
  __asm__ volatile("what_went_wrong:" ::: "memory");
  %s;
  return 0;
}
"""

FAULTS = {
    "undefined": '__asm__ volatile(".short 0xDE00")',
    "nowhere": "*(volatile uint32_t *)0xF0000000U = 1U",
    "stack": "firmware_result = deep(100000U)",
    "interrupt": "*(volatile uint32_t *)0xE000E100U = 2U; *(volatile uint32_t *)0xE000E200U = 2U;"
    '__asm__ volatile("dsb\\n\\tisb")',
}
NAMES = {"undefined": "usage", "nowhere": "bus|memory", "stack": "stack", "interrupt": "interrupt"}


def said_by(board, statement, folder):
    """The line that a firmware prints, and its symbols."""
    files = {"board.h": board_header(board), "link.ld": link_script(board), "chip.c": CHIP}
    files["board.h"] = files["board.h"].replace("BOARD_INTERRUPTS 0U", "BOARD_INTERRUPTS 16U")
    files["main.c"] = MAIN % statement
    for name in ("start.c", "start.h", "chip.h", "fault.c"):
        files[name] = (BOARD_FOLDER / name).read_text()
    for name, text in files.items():
        (folder / name).write_text(text)
    options = ["-O2", "-DFIRMWARE_HAS_SEMIHOSTING=0", "-Wall", "-Wextra", "-Werror", "-std=c11"]
    command = [GCC, *core_flags(board), *options, "--specs=nano.specs", "-nostartfiles"]
    sources = [name for name in files if name.endswith(".c")]
    linked = [*command, "-T", "link.ld", *sources, "-o", "firmware.elf"]
    subprocess.run(linked, cwd=folder, check=True)
    listing = subprocess.run(
        ["arm-none-eabi-nm", "firmware.elf"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout
    symbols = {line.split()[-1]: int(line.split()[0], 16) for line in listing.splitlines()}
    qemu = qemu_command(board.qemu_machine, counts_instructions=False)
    with subprocess.Popen(qemu, cwd=folder, stderr=subprocess.PIPE, text=True) as machine:
        limit = threading.Timer(20, machine.kill)
        limit.start()
        try:
            return machine.stderr.readline(), symbols
        finally:
            limit.cancel()
            machine.kill()


BOARDS = ("qemu-m0plus", "mps2-an386", "mps2-an505")
CASES = [(board_id, kind) for board_id in BOARDS for kind in FAULTS]
CASES.remove(("qemu-m0plus", "nowhere"))  # QEMU's board takes a write anywhere


@pytest.mark.parametrize(("board_id", "kind"), CASES)
def test_a_fault_is_told(arm_compiler, qemu, tmp_path, board_id, kind):
    board = find_board(board_id)
    line, symbols = said_by(board, FAULTS[kind], tmp_path)
    told = re.fullmatch(r"fault (\w+) pc 0x(\w{8}) lr 0x(\w{8}) cfsr 0x(\w{8})\r?\n", line)
    assert told, line
    name, at, _, cause = told.groups()
    if board_id == "qemu-m0plus" and kind != "interrupt":
        assert (name, int(cause, 16)) == ("hard", 0)
    else:
        assert re.fullmatch(NAMES[kind], name)
    if kind != "stack":
        assert abs(int(at, 16) - symbols["what_went_wrong"]) < 32
