"""Small images of a chip's own code, without a model: compiled, linked, and run up to main."""

from __future__ import annotations

import pathlib
import subprocess
from collections.abc import Callable, Mapping

import unicorn
from compilers import COMMON, GCC, driver
from elftools.elf.elffile import ELFFile
from unicorn import arm_const

from edge.catalog.boards import Board, core_flags
from edge.firmware.render import BOARD_FOLDER, board_header, chip_sources, link_script

MAIN = """#include "chip.h"
#include "start.h"
volatile uint32_t firmware_result;
int main(void);
int main(void) {
  for (;;) {
    (void)chip_clock_hz();
    chip_put('m');
  }
}
"""
STARTS = ("start.c", "start.h", "fault.c", "text.c", "text.h", "chip.h")
CORES = {
    "cortex-m0plus": arm_const.UC_CPU_ARM_CORTEX_M0,
    "cortex-m4": arm_const.UC_CPU_ARM_CORTEX_M4,
    "cortex-m7": arm_const.UC_CPU_ARM_CORTEX_M7,
}
"""A core that unicorn lacks runs as a Cortex-M33: no start-up code has Helium."""

REGISTERS = (
    (0x18000000, 0x1000),
    (0x40000000, 0x20000000),
    (0xD0000000, 0x10000),
    (0xE0000000, 0x100000),
)
MOST_INSTRUCTIONS = 20_000_000

Reads = Mapping[int, int | Callable[["Boot"], int]]


def write_sources(board: Board, folder: pathlib.Path) -> list[str]:
    """Writes start-up, chip and an empty main; the names of the C files."""
    files = {"main.c": MAIN, "board.h": board_header(board), "link.ld": link_script(board)}
    files |= chip_sources(board)
    files |= {name: (BOARD_FOLDER / name).read_text("utf-8") for name in STARTS}
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return sorted(name for name in files if name.endswith(".c"))


def compile_sources(
    board: Board, folder: pathlib.Path, sources: list[str], compiler: str, option: str
) -> None:
    """Compiles without a warning."""
    command = [*driver(compiler, board), *COMMON, option, "-DFIRMWARE_HAS_SEMIHOSTING=0", "-c"]
    _run([*command, *sources], folder)


def link(
    board: Board, folder: pathlib.Path, compiler: str = GCC, option: str = "-O2"
) -> pathlib.Path:
    """The path of the linked image."""
    sources = write_sources(board, folder)
    compile_sources(board, folder, sources, compiler, option)
    objects = [source.replace(".c", ".o") for source in sources]
    linker = [GCC, *core_flags(board), "--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections"]
    _run([*linker, "-T", "link.ld", *objects, "-o", "firmware.elf"], folder)
    return folder / "firmware.elf"


def _run(command: list[str], folder: pathlib.Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class Boot:
    """A core with a board's memory, whose registers read as told, else as last written.

    Attributes:
        writes: The registers that were written and their new values, in order.
        on_write: What is to be called with what a register is written.
    """

    def __init__(self, elf: pathlib.Path, board: Board, reads: Reads, banks=()) -> None:
        self.writes: list[tuple[int, int]] = []
        self.on_write: dict[int, Callable[[int], None]] = {}
        self._reads, self._stored = reads, {}
        self.core = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS)
        self.core.ctl_set_cpu_model(CORES.get(board.core, arm_const.UC_CPU_ARM_CORTEX_M33))
        memory = [(bank.address, bank.bytes) for bank in (*board.flash, *board.ram)]
        for address, size in (*memory, *banks):
            start, end = address & ~0xFFF, -(-(address + size) // 0x1000) * 0x1000
            self.core.mem_map(start, end - start)
        with elf.open("rb") as file:
            image = ELFFile(file)
            symbols = image.get_section_by_name(".symtab").iter_symbols()
            self.symbols = {symbol.name: symbol["st_value"] for symbol in symbols}
            for segment in image.iter_segments("PT_LOAD"):
                if segment["p_filesz"]:
                    self.core.mem_write(segment["p_paddr"], segment.data())
        for base, size in REGISTERS:
            self.core.mmio_map(base, size, self._read, base, self._write, base)

    def word(self, address: int) -> int:
        """A word of memory."""
        return int.from_bytes(self.core.mem_read(address, 4), "little")

    def last(self, register: int) -> int:
        """What a register was last written, or 0."""
        return self._stored.get(register, 0)

    def run(self, vectors: int, end: str = "main") -> bool:
        """Starts as the core does from a vector table; whether it comes to a function."""
        self.core.reg_write(arm_const.UC_ARM_REG_SP, self.word(vectors))
        return self.call(self.word(vectors + 4), self.symbols[end] & ~1)

    def call(self, entry: int, end: int) -> bool:
        """Goes on at an address; whether it comes to another."""
        self.core.emu_start(entry | 1, end, count=MOST_INSTRUCTIONS)
        return self.core.reg_read(arm_const.UC_ARM_REG_PC) == end

    def _read(self, core, offset, size, base):
        value = self._reads.get(base + offset)
        if value is None:
            return self._stored.get(base + offset, 0)
        return value(self) if callable(value) else value

    def _write(self, core, offset, size, value, base):
        self.writes.append((base + offset, value))
        self._stored[base + offset] = value
        if base + offset in self.on_write:
            self.on_write[base + offset](value)
