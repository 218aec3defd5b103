"""Raspberry Pi's RP2040 and RP2350: resets, crystal, PLL, clocks, serial port and pins."""

from __future__ import annotations

import dataclasses

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.watch import Watch

MHZ = 1_000_000
REF_CONTROL, REF_SELECTED, SYS_CONTROL, SYS_SELECTED, PERI_CONTROL = 0x30, 0x38, 0x3C, 0x44, 0x48
LOWEST_VCO_HZ, HIGHEST_VCO_HZ, LOWEST_REFERENCE_HZ = 750 * MHZ, 1600 * MHZ, 5 * MHZ
UART_FUNCTION, SIO_FUNCTION = 2, 5
STABLE = 31
STARTUP_S = 0.001
"""What a crystal is given to come up, as the makers' own code does."""


@dataclasses.dataclass(frozen=True)
class Map:
    """Where a chip has its parts.

    Attributes:
        bases: The addresses of RESETS, CLOCKS, XOSC, PLL_SYS, IO_BANK0, PADS_BANK0 and UART0.
        reset: RESET out of reset.
        bits: The bits of RESET of PLL_SYS, IO_BANK0, PADS_BANK0 and UART0.
        sio: The offsets of GPIO_OUT, its setting and clearing, GPIO_OE and its setting.
        most_hz: The highest system clock.
        pad_reset: A pad's register out of reset.
    """

    bases: tuple[int, ...]
    reset: int
    bits: tuple[int, ...]
    sio: tuple[int, ...]
    most_hz: int
    pad_reset: int


MAPS = {
    "RP2040": Map(
        bases=(
            *(0x4000C000, 0x40008000, 0x40024000, 0x40028000),
            *(0x40014000, 0x4001C000, 0x40034000),
        ),
        reset=0x01FFFFFF,
        bits=(12, 5, 8, 22),
        sio=(0x10, 0x14, 0x18, 0x20, 0x24),
        most_hz=133 * MHZ,
        pad_reset=0x56,
    ),
    "RP2350": Map(
        bases=(
            *(0x40020000, 0x40010000, 0x40048000, 0x40050000),
            *(0x40028000, 0x40038000, 0x40070000),
        ),
        reset=0x1FFFFFFF,
        bits=(14, 6, 9, 26),
        sio=(0x10, 0x18, 0x20, 0x30, 0x38),
        most_hz=150 * MHZ,
        pad_reset=0x116,
    ),
}
ISOLATED = 1 << 8


class _Clocks:
    """XOSC, PLL_SYS and CLOCKS, and the rules between them."""

    def __init__(self, chip: Map, board: Board, watch: Watch, *, is_dead: bool):
        self._chip, self._watch = chip, watch
        self._ring_hz = board.chip.figures["reset_hz"]
        self._crystal_hz = crystal_hz = board.chip.figures["xosc_hz"]
        _, clocks, xosc, pll, *_ = chip.bases
        self.clocks = Registers("CLOCKS", clocks, 0x1000)
        self.xosc = Registers("XOSC", xosc, 0x1000)
        self.pll = Registers("PLL_SYS", pll, 0x1000, reset={0: 1, 4: 0x2D, 12: 0x77000})
        self.xosc.make_ready(
            4, {STABLE: lambda: not is_dead and self.xosc.field(0, 12, 12) == 0xFAB}
        )
        # It is locked while neither it nor its oscillator is powered down.
        self.pll.make_ready(
            0, {STABLE: lambda: not is_dead and not self.pll[4] & 0x21 and self.pll[8] > 0}
        )
        self.pll.writes[4] = self._write_power
        self.xosc.writes[0] = self._start_crystal
        self.clocks.reads[REF_SELECTED] = lambda: 1 << self.clocks.field(REF_CONTROL, 0, 2)
        self.clocks.reads[SYS_SELECTED] = lambda: 1 << self.clocks.field(SYS_CONTROL, 0)
        self.clocks.writes |= {REF_CONTROL: self._turn_reference, SYS_CONTROL: self._turn_system}
        self._startup_s = lambda: self.xosc.field(0xC, 0, 14) * 256 / crystal_hz

    def system_hz(self) -> float:
        """The clock of the cores."""
        if self.clocks.field(SYS_CONTROL, 0):
            return self._pll_hz()
        return self._crystal_hz if self.clocks.field(REF_CONTROL, 0, 2) == 2 else self._ring_hz

    def _vco_hz(self) -> float:
        return self._crystal_hz / (self.pll.field(0, 0, 6) or 1) * self.pll.field(8, 0, 12)

    def _pll_hz(self) -> float:
        dividers = (self.pll.field(12, 16, 3) or 1) * (self.pll.field(12, 12, 3) or 1)
        return self._vco_hz() / dividers

    def _start_crystal(self, old: int, new: int) -> int:
        self._watch.expect(
            self._startup_s() >= STARTUP_S, "the crystal is given less than 1 ms to start"
        )
        return new

    def _write_power(self, old: int, new: int) -> int:
        if old & 0x20 and not new & 0x20:
            self._watch.expect(
                LOWEST_VCO_HZ <= self._vco_hz() <= HIGHEST_VCO_HZ,
                f"the PLL's oscillator runs at {self._vco_hz() / MHZ:g} MHz, not 750 to 1600",
            )
            self._watch.expect(
                bool(self.xosc.field(4, STABLE)), "the PLL is started before its source"
            )
        if not new & 8 and old & 8:
            self._watch.expect(
                bool(self.pll.field(0, STABLE)), "the PLL's dividers are started before it locks"
            )
        return new

    def _turn_reference(self, old: int, new: int) -> int:
        if new & 3 == 2:
            is_ready = bool(self.xosc.field(4, STABLE))
            self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        return new

    def _turn_system(self, old: int, new: int) -> int:
        if old & 1 and new & 1:
            self._watch.expect(
                (old ^ new) >> 5 & 7 == 0, "the auxiliary source is changed while it is in use"
            )
        if new & 1:
            is_ready = bool(self.pll.field(0, STABLE)) and not self.pll[4] & 8
            self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
            hz, most = self._pll_hz(), self._chip.most_hz
            self._watch.expect(
                hz <= most, f"the core runs at {hz / MHZ:g} MHz, {most / MHZ:g} are allowed"
            )
        return new


def make_rp2(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an RP2040 or RP2350.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether the crystal does not come up.

    Returns:
        The model.

    Source:
        Raspberry Pi, RP2040 datasheet: 2.14 resets, 2.15 clocks, 2.16 crystal oscillator, 2.18
        PLL, 2.19 GPIO, 2.3.1 SIO, 4.2 UART, 4.10 SSI; RP2350 datasheet, the same parts.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_rp2(find_board("raspberry-pi-pico"), Line(Watch()), Watch()).core_hz()
        6500000
    """
    chip = next(found for part, found in MAPS.items() if board.mcu.startswith(part))
    clocks = _Clocks(chip, board, watch, is_dead=is_dead)
    resets = Registers("RESETS", chip.bases[0], 0x1000, reset={0: chip.reset})
    resets.reads[8] = lambda: ~resets[0] & chip.reset
    pads_reset = {4 + 4 * pin: chip.pad_reset for pin in range(48)}
    pins = Registers("IO_BANK0", chip.bases[4], 0x1000)
    pads = Registers("PADS_BANK0", chip.bases[5], 0x1000, reset=pads_reset)
    uart = _uart(board, line, watch, clocks, chip, pins, pads)
    for block, bit in zip((clocks.pll, pins, pads, uart), chip.bits, strict=True):
        block.is_clocked = lambda bit=bit: not resets.field(0, bit)  # type: ignore[misc]
    flash = _flash_port() if chip is MAPS["RP2040"] else []
    lamp, sio = _sio(board, chip, pins)
    blocks = [resets, clocks.clocks, clocks.xosc, clocks.pll, pins, pads, uart, sio, *flash]
    return ChipModel(blocks, clocks.system_hz, line, lamp)


def _uart(
    board: Board,
    line: Line,
    watch: Watch,
    clocks: _Clocks,
    chip: Map,
    pins: Registers,
    pads: Registers,
) -> Registers:
    uart = Registers("UART0", chip.bases[6], 0x1000)
    latched = {"divider": 0.0}

    def latch(old: int, new: int) -> int:
        latched["divider"] = uart[0x24] + uart[0x28] / 64
        return new

    def send(old: int, new: int) -> int:
        if board.port is not None and uart[0x30] & 0x101 == 0x101:
            for name in ("tx", "rx"):
                pin = board.port.figures[f"{name}_pin"]
                is_given = pins.field(4 + 8 * pin, 0, 5) == UART_FUNCTION
                is_given &= not pads[4 + 4 * pin] & ISOLATED
                watch.expect(is_given, f"{name.upper()} (GP{pin}) is not the port's")
            is_on = clocks.clocks.field(PERI_CONTROL, 11)
            hz = clocks.system_hz() if is_on else 0.0
            line.put(new, hz / 16 / (latched["divider"] or 1))
        return 0

    uart.writes |= {0x2C: latch, 0x00: send}
    uart.reads[0x00] = line.take
    uart.reads[0x18] = lambda: 1 << 7 | (not line.has_byte()) << 4
    return uart


def _sio(board: Board, chip: Map, pins: Registers) -> tuple[Lamp, Registers]:
    """The single-cycle port, and the light that hangs on it."""
    lamp = Lamp()
    sio = Registers("SIO", 0xD0000000, 0x1000)
    out, out_set, out_clear, enabled, enable_set = chip.sio

    def change(target: int, value: int) -> int:
        sio.write(target, value)
        return 0

    sio.writes[out_set] = lambda old, new: change(out, sio[out] | new)
    sio.writes[out_clear] = lambda old, new: change(out, sio[out] & ~new)
    sio.writes[enable_set] = lambda old, new: change(enabled, sio[enabled] | new)
    if board.led is not None:
        pin, level = board.led.figures["pin"], board.led.figures["level"]

        def follow(old: int, new: int) -> int:
            if sio.field(enabled, pin) and pins.field(4 + 8 * pin, 0, 5) == SIO_FUNCTION:
                lamp.set((new >> pin & 1) == level)
            return new

        sio.writes[out] = follow
    return lamp, sio


def _flash_port() -> list[Registers]:
    """The RP2040's port to its flash, which answers each byte: quad mode is on (bit 1)."""
    port = Registers("XIP_SSI", 0x18000000, 0x1000)
    waiting = [0]

    def send(old: int, new: int) -> int:
        waiting[0] += 1
        return 0

    def receive() -> int:
        waiting[0] = max(waiting[0] - 1, 0)
        return 2

    port.writes[0x60], port.reads[0x60] = send, receive
    port.reads[0x28] = lambda: 1 << 2 | (waiting[0] > 0) << 3
    qspi_pads = Registers("PADS_QSPI", 0x40020000, 0x1000)
    return [port, qspi_pads, Registers("XIP_CTRL", 0x14000000, 0x1000)]
