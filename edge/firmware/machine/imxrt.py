"""NXP's i.MX RT1062: the core's voltage, its PLL and dividers, an LPUART and a pin."""

from __future__ import annotations

import functools

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.watch import Watch

MHZ = 1_000_000
CRYSTAL_HZ = 24 * MHZ
CORE_DIVIDER, DIVIDERS, SOURCES, SERIAL, BUSY, GATE_3 = 0x10, 0x14, 0x18, 0x24, 0x48, 0x74
PLL_ON, PLL_DOWN, PLL_BYPASSED = 1 << 13, 1 << 12, 1 << 16
FAST_HZ, FAST_MILLIVOLTS, MOST_HZ, MOST_BUS_HZ = 528 * MHZ, 1250, 600 * MHZ, 150 * MHZ
BOOT_SOURCES = 1 << 18
"""What the boot ROM leaves: the core on the second PLL's fraction of 396 MHz."""
OUTPUT, SET, CLEAR = 0x04, 0x84, 0x88


class _Clocks:
    """DCDC, CCM and the core's PLL, and the rules between them."""

    def __init__(self, watch: Watch, *, is_dead: bool):
        self._watch = watch
        self.supply = Registers("DCDC", 0x40080000, 0x1000, reset={0: 1 << 31, 0x0C: 0x0E})
        self.control = Registers("CCM", 0x400FC000, 0x1000)
        self.control.values |= {SOURCES: BOOT_SOURCES, CORE_DIVIDER: 1, DIVIDERS: 2 << 8}
        self.analog = Registers("CCM_ANALOG", 0x400D8000, 0x1000, reset={0: 0x13063})
        self.analog.make_ready(
            0, {31: lambda: not is_dead and self.analog[0] & (PLL_ON | PLL_DOWN) == PLL_ON}
        )
        self.control.reads[BUSY] = lambda: 0
        for offset in (CORE_DIVIDER, DIVIDERS, SOURCES):
            self.control.writes[offset] = functools.partial(self._change, offset)
        self.supply.writes[0x0C] = self._change_voltage

    def core_hz(self) -> float:
        """The clock of the core."""
        field = self.control.field
        if field(DIVIDERS, 25):
            second = {0: 480 * MHZ, 1: CRYSTAL_HZ}.get(field(SOURCES, 12, 2), 0)
            hz = second / (field(DIVIDERS, 27, 3) + 1)
        else:
            hz = (528 * MHZ, 396 * MHZ, 352 * MHZ, self._pll_hz())[field(SOURCES, 18, 2)]
        return hz / (field(DIVIDERS, 10, 3) + 1)

    def serial_hz(self) -> float:
        """The clock of the serial ports."""
        source = CRYSTAL_HZ if self.control.field(SERIAL, 6) else 80 * MHZ
        return source / (self.control.field(SERIAL, 0, 6) + 1)

    def _pll_hz(self) -> float:
        divider = self.control.field(CORE_DIVIDER, 0, 3) + 1
        return CRYSTAL_HZ * self.analog.field(0, 0, 7) / 2 / divider

    def _change(self, offset: int, old: int, new: int) -> int:
        self.control[offset] = new
        self._check()
        return new

    def _change_voltage(self, old: int, new: int) -> int:
        self.supply[0x0C] = new
        self._check()
        return new

    def _check(self) -> None:
        hz = self.core_hz()
        millivolts = 800 + 25 * self.supply.field(0x0C, 0, 5)
        self._watch.expect(
            hz <= FAST_HZ or millivolts >= FAST_MILLIVOLTS,
            f"the core runs at {hz / MHZ:g} MHz on {millivolts} mV, which needs {FAST_MILLIVOLTS}",
        )
        self._watch.expect(
            hz <= MOST_HZ, f"the core runs at {hz / MHZ:g} MHz, {MOST_HZ / MHZ:g} are allowed"
        )
        bus_hz = hz / (self.control.field(DIVIDERS, 8, 2) + 1)
        self._watch.expect(
            bus_hz <= MOST_BUS_HZ,
            f"the peripherals' bus runs at {bus_hz / MHZ:g} MHz, {MOST_BUS_HZ / MHZ:g} are allowed",
        )
        if not self.control.field(DIVIDERS, 25) and self.control.field(SOURCES, 18, 2) == 3:
            is_ready = bool(self.analog.field(0, 31)) and not self.analog[0] & PLL_BYPASSED
            self._watch.expect(is_ready, "the core is switched to a clock that is not ready")


def make_imxrt(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an i.MX RT1062.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether the core's PLL does not lock.

    Returns:
        The model.

    Source:
        NXP IMXRT1060RM: 14 CCM, 18 DCDC, 49 LPUART, 12 GPIO, 11 IOMUXC; IMXRT1060CEC, operating
        ranges.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_imxrt(find_board("teensy-4.1"), Line(Watch()), Watch()).core_hz()
        396000000.0
    """
    clocks = _Clocks(watch, is_dead=is_dead)
    pins = Registers("IOMUXC", 0x401F8000, 0x1000)
    lamp, port = _lamp(board)
    blocks = [clocks.supply, clocks.control, clocks.analog, pins, port]
    places = {
        "WDOG1": 0x400B8000,
        "WDOG2": 0x400D0000,
        "WDOG3": 0x400BC000,
        "IOMUXC_GPR": 0x400AC000,
    }
    blocks += [Registers(name, base, 0x1000) for name, base in places.items()]
    blocks[-2].values[0] = 0x2980
    if board.port is not None:
        blocks.append(_uart(line, watch, clocks, pins))
    return ChipModel(blocks, clocks.core_hz, line, lamp)


def _uart(line: Line, watch: Watch, clocks: _Clocks, pins: Registers) -> Registers:
    uart = Registers("LPUART6", 0x40198000, 0x1000, reset={0x10: 0x0F000004})
    uart.is_clocked = lambda: clocks.control.field(GATE_3, 6, 2) == 3
    uart.reads[0x14] = lambda: 3 << 22 | line.has_byte() << 21
    uart.reads[0x1C] = line.take

    def send(old: int, new: int) -> int:
        if uart.field(0x18, 19):
            for name, offset in (("TX", 0x0C4), ("RX", 0x0C8)):
                is_given = pins.field(offset, 0, 3) == 2
                watch.expect(is_given, f"{name} is not in alternate function 2")
            samples = uart.field(0x10, 24, 5) + 1
            line.put(new, clocks.serial_hz() / samples / (uart.field(0x10, 0, 13) or 1))
        return 0

    uart.writes[0x1C] = send
    return uart


def _lamp(board: Board) -> tuple[Lamp, Registers]:
    lamp = Lamp()
    port = Registers("GPIO2", 0x401BC000, 0x1000)

    def change(value: int) -> int:
        port.write(0, value)
        return 0

    port.writes[SET] = lambda old, new: change(port[0] | new)
    port.writes[CLEAR] = lambda old, new: change(port[0] & ~new)
    if board.led is not None:
        pin, level = board.led.figures["pin"], board.led.figures["level"]

        def follow(old: int, new: int) -> int:
            if port.field(OUTPUT, pin):
                lamp.set((new >> pin & 1) == level)
            return new

        port.writes[0] = follow
    return lamp, port
