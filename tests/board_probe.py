"""A small image of a board: its own start-up and chip source, with a main that tells of them."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable

from compilers import GCC

from edge.catalog.boards import Board, core_flags
from edge.firmware.render import BOARD_FOLDER, board_header, chip_sources, link_script

STARTS = ("start.c", "start.h", "fault.c", "chip.h")
NOT_THE_CHIP = ("board.h", "chip.h", "start.h")
MAIN = """
#include "chip.h"
volatile uint32_t firmware_result;

static void put_text(const char *text) {
  for (const char *at = text; *at != '\\0'; ++at) {
    chip_put((uint8_t)*at);
  }
}

static void put_number(uint32_t number) {
  if (number >= 10U) {
    put_number(number / 10U);
  }
  chip_put((uint8_t)('0' + (number % 10U)));
}

__attribute__((weak)) void misbehave(void) {}

int main(void) {
  put_text("clock ");
  put_number(chip_clock_hz());
  put_text("\\r\\n");
  misbehave();
  chip_led(true);
  chip_led(false);
  chip_led(true);
  firmware_result = 1U;
  for (;;) {
    uint8_t byte;
    if (chip_get(&byte)) {
      chip_put(byte);
    }
  }
}
"""


def build_probe(
    board: Board,
    folder: pathlib.Path,
    *,
    change: Callable[[str], str] = lambda source: source,
    misbehave: str = "",
) -> pathlib.Path:
    """Compiles the probe; `change` may break the chip's files, `misbehave` is C that main runs."""
    files = chip_sources(board) | {"board.h": board_header(board), "link.ld": link_script(board)}
    files |= {name: (BOARD_FOLDER / name).read_text("utf-8") for name in STARTS}
    files["main.c"] = MAIN
    if misbehave:
        files["misbehave.c"] = f"#include <stdint.h>\nvoid misbehave(void) {{ {misbehave} }}\n"
    files = {name: change(text) if is_chip(name) else text for name, text in files.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    elf = folder / "firmware.elf"
    subprocess.run(
        [
            *(GCC, *core_flags(board), "-O2", "-g", "-std=c11"),
            *(
                "-DFIRMWARE_HAS_SEMIHOSTING=0",
                "--specs=nano.specs",
                "-Wall",
                "-Wextra",
                "-ffunction-sections",
            ),
            *("-nostartfiles", "-Wl,--gc-sections", f"-T{folder / 'link.ld'}"),
            *(str(folder / name) for name in files if name.endswith(".c")),
            *("-o", str(elf)),
        ],
        check=True,
    )
    return elf


def is_chip(name: str) -> bool:
    """Whether a file is the chip's, or its family's header."""
    return name.startswith("chip_") or (name.endswith(".h") and name not in NOT_THE_CHIP)
