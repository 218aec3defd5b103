"""A board on unicorn: its memory banks, its core, and the models of its peripherals."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from typing import Any

import unicorn
from unicorn import arm_const

from edge.catalog.boards import Bank, Board
from edge.firmware.machine.boot import Boot
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.core import BFAR, CFSR, HFSR, VTOR, core_blocks
from edge.firmware.machine.image_run import CPUS, Fault
from edge.firmware.machine.registers import PAGE, AccessError, Bus
from edge.firmware.machine.symbols import Image
from edge.firmware.machine.watch import Watch

NATIVE_ERRORS = {unicorn.UC_ERR_INSN_INVALID: "undefined instruction"}
SLICE = 720_720
"""Instructions between looks at the clock on the wall, whole turns of a loop of up to 16. Unicorn
also stops after a time, but then runs some instructions and accesses again when it goes on."""
SILENT_SLICES = 2
"""After a fault, so long without a byte sent is the end of its report."""
EVERYWHERE = 0xFFFF_FFFF
HARD_FAULT = 3
RETURN_TO_THREAD = 0xFFFF_FFF9
PRECISE_DATA_ERROR, UNDEFINED_INSTRUCTION, FORCED = 1 << 9 | 1 << 15, 1 << 16, 1 << 30
REGISTERS = [getattr(arm_const, f"UC_ARM_REG_R{number}") for number in range(13)]
SP, LR, PC, XPSR = (getattr(arm_const, f"UC_ARM_REG_{name}") for name in ("SP", "LR", "PC", "XPSR"))


class BoardMachine:
    """A board that runs one image.

    Args:
        board: The board.
        image: What its flash holds.
        chip: The model of its microcontroller.
        watch: Where violations are noted.
        banks: All memory of the board, that of a boot ROM's included.
    """

    def __init__(
        self, board: Board, image: Image, chip: ChipModel, watch: Watch, banks: list[Bank]
    ):
        self._image = image
        # Whoever has no port waits for nothing, and blinks for ever.
        self._is_mute = not chip.blocks
        self._chip = chip
        self._uc = uc = unicorn.Uc(
            unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB | unicorn.UC_MODE_MCLASS
        )
        uc.ctl_set_cpu_model(getattr(arm_const, CPUS[board.core]))
        pages = _pages(banks)
        for first, count in _runs(pages):
            uc.mem_map(first * PAGE, count * PAGE)
        for first, count in _runs(_pages(board.flash)):
            uc.mem_protect(first * PAGE, count * PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        for address, content in image.segments:
            uc.mem_write(address, content)
        blocks = core_blocks()
        self._control = next(block for block in blocks if block.name == "SCS")
        self._bus = Bus([*blocks, *chip.blocks], watch.report)
        for first, count in _runs({page // PAGE for page in self._bus.pages} - pages):
            base = first * PAGE
            uc.mmio_map(base, count * PAGE, self._read, base, self._write, base)
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._note_invalid)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._note_exception)
        chip.memory.read = lambda address, count: bytes(uc.mem_read(address, count))
        chip.memory.write = uc.mem_write
        watch.where = self.where
        self.fault: Fault | None = None
        self._pending: tuple[str, int] | None = None
        self._accesses = 0

    def where(self) -> tuple[str, int]:
        """Tells which function runs, and the address of its block.

        Returns:
            The function's name, empty where no symbol covers it, and the address.
        """
        address = self._uc.reg_read(PC) & ~1
        return self._image.function_at(address), address

    def _caller(self) -> tuple[str, int]:
        address = (self._uc.reg_read(LR) & ~1) - 2
        return self._image.function_at(address), address

    def word(self, address: int) -> int:
        """Reads a word of memory.

        Args:
            address: The address.

        Returns:
            The word.
        """
        return int(struct.unpack("<I", self._uc.mem_read(address, 4))[0])

    @property
    def result(self) -> int:
        """What the image says of its test of itself; 0 until then."""
        return self.word(self._image.symbols["firmware_result"])

    def run(self, boot: Boot, limit_s: float) -> str:
        """Enters the image and lets it run.

        Args:
            boot: How it is entered.
            limit_s: The wall-clock time after which it is stopped.

        Returns:
            Why it stopped: `waits` for a byte on its port, `rests` in an endless loop, or `limit`.
        """
        for address, content in boot.copied:
            self._uc.mem_write(address, content)
        self._control[VTOR] = boot.vectors
        self._uc.reg_write(SP, boot.stack)
        counter = boot.counter
        end = time.monotonic() + limit_s
        last: Any = None
        silent, sent = 0, 0
        while time.monotonic() < end:
            try:
                count, left_us = self._slice(end)
                self._uc.emu_start(counter | 1, EVERYWHERE, timeout=left_us, count=count)
            except unicorn.UcError as error:
                self._pending = self._pending or (NATIVE_ERRORS.get(error.errno, str(error)), 0)
            if self._pending is not None:
                if self.fault is not None:
                    # A fault within the handler: a core locks up.
                    return "rests"
                self._enter_hard_fault(*self._pending)
                self._pending = None
            elif self._chip.line.is_waited_on:
                return "waits"
            elif (self._is_mute and self.result) or silent >= SILENT_SLICES:
                return "rests"
            is_silent = self.fault is not None and len(self._chip.line.sent) == sent
            silent, sent = silent + 1 if is_silent else 0, len(self._chip.line.sent)
            counter = self._uc.reg_read(PC)
            state = (counter, self._accesses, *map(self._uc.reg_read, REGISTERS))
            if state == last:
                return "rests"
            last = state
        return "limit"

    def _slice(self, end: float) -> tuple[int, int]:
        """How many instructions to run at once, and how many microseconds at most; 0 is no limit.

        Counting takes ten times as long as the instructions. Whoever is fed and has tested itself
        looks at its port in the end, which stops it when nothing more comes.
        """
        if self._chip.line.waits and self.fault is None and self.result:
            return 0, max(1, round((end - time.monotonic()) * 1e6))
        return SLICE, 0

    def _read(self, uc: unicorn.Uc, offset: int, size: int, base: int) -> int:
        self._accesses += 1
        try:
            value = self._bus.read(base + offset, size)
        except AccessError as error:
            self._stop(str(error), error.address)
            return 0
        if self._chip.line.is_waited_on:
            uc.emu_stop()
        return value

    def _write(self, uc: unicorn.Uc, offset: int, size: int, value: int, base: int) -> None:
        self._accesses += 1
        try:
            self._bus.write(base + offset, size, value)
        except AccessError as error:
            self._stop(str(error), error.address)

    def _note_invalid(
        self, uc: unicorn.Uc, access: int, address: int, size: int, value: int, _: Any
    ) -> bool:
        what = {
            unicorn.UC_MEM_READ_UNMAPPED: "read of",
            unicorn.UC_MEM_WRITE_UNMAPPED: "write to",
            unicorn.UC_MEM_WRITE_PROT: "write to the flash at",
            unicorn.UC_MEM_FETCH_UNMAPPED: "jump to",
        }.get(access, "access to")
        self._pending = (f"{what} 0x{address:08x}", address)
        return False

    def _note_exception(self, uc: unicorn.Uc, number: int, _: Any) -> None:
        names = {1: "undefined instruction", 7: "breakpoint", 18: "jump to Arm code"}
        self._stop(names.get(number, f"exception {number}"), 0)

    def _stop(self, what: str, address: int) -> None:
        self._pending = self._pending or (what, address)
        self._uc.emu_stop()

    def _enter_hard_fault(self, what: str, address: int) -> None:
        """Does what a core does on a fault, so that the image's own handler can tell of it."""
        uc = self._uc
        function, counter = self.where()
        if what.startswith("jump"):
            # Nothing is there: the caller is of interest.
            function, counter = self._caller()
        self.fault = Fault(what, function, counter)
        is_data = address != 0
        self._control[CFSR] = PRECISE_DATA_ERROR if is_data else UNDEFINED_INSTRUCTION
        self._control[BFAR] = address
        self._control[HFSR] = FORCED
        numbers = [*REGISTERS[:4], REGISTERS[12], LR]
        frame = [*map(uc.reg_read, numbers), counter, uc.reg_read(XPSR)]
        stack = (uc.reg_read(SP) & ~7) - 4 * len(frame)
        try:
            uc.mem_write(stack, struct.pack("<8I", *frame))
        except unicorn.UcError:
            return
        uc.reg_write(SP, stack)
        uc.reg_write(LR, RETURN_TO_THREAD)
        uc.reg_write(PC, self.word(self._control[VTOR] + 4 * HARD_FAULT) | 1)


def _pages(banks: Iterable[Bank]) -> set[int]:
    """The numbers of all pages that some banks lie on: two may share one."""
    return {
        page
        for bank in banks
        for page in range(bank.address // PAGE, -(-(bank.address + bank.bytes) // PAGE))
    }


def _runs(pages: set[int]) -> list[tuple[int, int]]:
    """The first and the count of every run of neighbours."""
    runs: list[tuple[int, int]] = []
    for page in sorted(pages):
        if runs and sum(runs[-1]) == page:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((page, 1))
    return runs
