"""The start-up of the STM32: it compiles as told, and goes on where no clock answers."""

import subprocess

import pytest
from chip_images import Boot, link
from compilers import GCC, driver

from edge.catalog.boards import boards, core_flags, find_board
from edge.firmware.render import BOARD_FOLDER, board_header, chip_sources, link_script

STM32 = [board for board in boards() if board.chip.family.startswith("stm32")]
ONE_A_FAMILY = {board.chip.family: board for board in STM32}
STRICT = ("-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")


def ready(register, *pairs):
    """A register whose flags follow the bits that ask for them."""

    def read(boot):
        value = boot.last(register)
        for asked, shift, mask in pairs:
            value = (value & ~(mask << shift)) | (((value >> asked) & mask) << shift)
        return value

    return {register: read}


HSE_AND_PLL = ((16, 17, 1), (24, 25, 1))
H7 = (
    ready(0x58024400, (0, 2, 1), *HSE_AND_PLL)
    | ready(0x58024410, (0, 3, 7))
    | {0x58024804: 1 << 13, 0x58024818: 0xE000, 0x5802480C: lambda boot: boot.last(0x5802480C) or 6}
)
CHIPS = {
    "stm32f7": (
        ready(0x40023800, *HSE_AND_PLL)
        | ready(0x40023808, (0, 2, 3))
        | {0x40007004: (7 << 14) | (1 << 17)},
        (0x40023804, 0x40007000, 0x40023C00, 0x40023808),
    ),
    "stm32h7": (H7, (0x58024818, 0x58024430, 0x52002000, 0x58024410)),
    "stm32l4": (
        ready(0x40021000, (8, 10, 1), (24, 25, 1)) | ready(0x40021008, (0, 2, 3)),
        (0x40007000, 0x4002100C, 0x40022000, 0x40021008),
    ),
    "stm32u5": (
        ready(0x46020C00, (8, 10, 1), (24, 25, 1))
        | ready(0x46020C1C, (0, 2, 3))
        | ready(0x4602080C, (16, 15, 1), (18, 14, 1)),
        (0x46020C28, 0x4602080C, 0x40022000, 0x46020C1C),
    ),
    "stm32g0": (
        ready(0x40021000, (8, 10, 1), (24, 25, 1)) | ready(0x40021008, (0, 3, 7)),
        (0x40007000, 0x4002100C, 0x40022000, 0x40021008),
    ),
}
"""Of a family: how its registers answer, and voltage, PLL, wait states and switch, in the order of
its source."""


def str_of(value):
    """What a test's name says of a board, or of whether its clocks come up."""
    return getattr(value, "id", "well" if value else "no clock")


def port_divider(board):
    """The core's clock over that of the serial port."""
    chip = board.chip.figures
    if "bus" in board.port.figures:
        return chip[f"apb{board.port.figures['bus']}_divider"]
    return chip.get("ahb_divider", 1) * chip.get("apb_divider", 1)


MAIN = """#include "chip.h"
volatile uint32_t firmware_result;
static void say(const char *text) {
  for (; *text != '\\0'; ++text) {
    chip_put((uint8_t)*text);
  }
}
int main(void) {
  char digits[11] = {0};
  uint32_t rest = chip_clock_hz();
  for (uint32_t at = 9U; at < 10U; --at) {
    digits[at] = (char)('0' + (rest % 10U));
    rest /= 10U;
  }
  chip_led(true);
  say("clock ");
  say(digits);
  say("\\r\\n");
  for (;;) {
    uint8_t byte;
    if (chip_get(&byte)) {
      chip_put(byte);
    }
  }
}
"""


def write_sources(board, folder):
    """The firmware of a board with a main of its own; the C files among it."""
    files = chip_sources(board) | {"board.h": board_header(board), "link.ld": link_script(board)}
    for name in ("start.c", "start.h", "chip.h", "fault.c"):
        files[name] = (BOARD_FOLDER / name).read_text()
    for name, text in (files | {"main.c": MAIN}).items():
        (folder / name).write_text(text)
    return [name for name in files if name.endswith(".c")]


@pytest.fixture(scope="module")
def f446(arm_compiler, tmp_path_factory):
    board, folder = find_board("nucleo-f446re"), tmp_path_factory.mktemp("f446")
    sources = [*write_sources(board, folder), "main.c"]
    options = ["-O2", "-DFIRMWARE_HAS_SEMIHOSTING=0", "--specs=nano.specs", "-nostartfiles"]
    command = [GCC, *core_flags(board), *options, "-T", "link.ld", *sources]
    subprocess.run([*command, "-o", "firmware.elf"], cwd=folder, check=True)
    return folder / "firmware.elf"


@pytest.mark.parametrize("family", ONE_A_FAMILY)
@pytest.mark.parametrize("compiler", [GCC, "clang"])
def test_compiles_without_a_warning(arm_compiler, tool, tmp_path, family, compiler):
    tool(compiler)
    board = ONE_A_FAMILY[family]
    sources = write_sources(board, tmp_path)
    for level in ("-O0", "-O2", "-Os"):
        command = [*driver(compiler, board), *STRICT, level, "-DFIRMWARE_HAS_SEMIHOSTING=0"]
        subprocess.run([*command, "-fsyntax-only", *sources], cwd=tmp_path, check=True)


def test_goes_on_at_the_reset_clock_where_no_clock_answers(qemu, f446):
    """QEMU's netduinoplus2 has the F446's map, its second serial port, and no clock control."""
    command = ["qemu-system-arm", "-M", "netduinoplus2", "-display", "none", "-monitor", "none"]
    command += ["-serial", "null", "-serial", "stdio", "-kernel", str(f446)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as machine:
        try:
            assert machine.stdout.readline() == b"clock 0016000000\r\n"
            machine.stdin.write(b"echo\n")
            machine.stdin.flush()
            assert machine.stdout.readline() == b"echo\n"
        finally:
            machine.kill()


@pytest.mark.parametrize("board", STM32, ids=lambda board: board.id)
def test_a_boards_figures_fit_its_chip(arm_compiler, tmp_path, board):
    """The compiler checks each board's clock; its pins are those that it names."""
    sources = write_sources(board, tmp_path)
    command = [*driver(GCC, board), *STRICT, "-DFIRMWARE_HAS_SEMIHOSTING=0", "-fsyntax-only"]
    subprocess.run([*command, *sources], cwd=tmp_path, check=True)
    figures = board.port.figures
    for pin, way in ((board.port.tx, "tx"), (board.port.rx, "rx")):
        assert pin == f"P{chr(ord('A') + figures[f'{way}_port'])}{figures[f'{way}_pin']}"
    lit = board.led.figures
    assert board.led.name.endswith(f", P{chr(ord('A') + lit['port'])}{lit['pin']}")
    assert 31 <= board.chip.interrupts <= 155


WELL = [(board, True) for board in STM32 if board.chip.family in CHIPS]
DEAD = [(board, False) for family, board in ONE_A_FAMILY.items() if family in CHIPS]


@pytest.mark.parametrize(("board", "is_well"), WELL + DEAD, ids=str_of)
def test_comes_to_main_at_full_clock_or_at_that_of_reset(arm_compiler, tmp_path, board, is_well):
    reads, order = CHIPS[board.chip.family]
    boot = Boot(link(board, tmp_path), board, reads if is_well else {})
    assert boot.run(board.flash[0].address)
    hz = boot.word(boot.symbols["clock_hz"])
    assert (hz == board.clock_hz) == is_well
    if not is_well:
        return
    switch = next(n for n, (at, new) in enumerate(boot.writes) if at == order[-1] and new & 3)
    written = [at for at, _ in boot.writes[: switch + 1]]
    assert [written.index(at) for at in order[:3]] == sorted(map(written.index, order[:3]))
    assert order[2] in written
    figures = board.port.figures
    port_hz = hz // port_divider(board)
    scale = 256 if figures.get("is_low_power") else 1
    assert abs(boot.last(figures["base"] + 0xC) - port_hz * scale / 115200) <= 1


def test_an_arduino_without_the_ldo_stays_where_its_supply_can(arm_compiler, tmp_path):
    """The boot loader chose the supply, and no firmware may choose another."""
    board = find_board("portenta-h7")
    boot = Boot(link(board, tmp_path), board, H7 | {0x5802480C: 4})
    assert boot.run(board.flash[0].address)
    assert boot.word(boot.symbols["clock_hz"]) == 400_000_000
    assert 0x5802480C not in [at for at, _ in boot.writes]
    assert 0x5800042C not in [at for at, _ in boot.writes]
