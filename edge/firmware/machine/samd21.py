"""Microchip's SAMD21: oscillators, generators, the flash's wait states and a SERCOM."""

from __future__ import annotations

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.watch import Watch

MHZ = 1_000_000
WITHOUT_WAIT_HZ, MOST_HZ = 24 * MHZ, 48 * MHZ
CRYSTAL_HZ = 32_768
READY, XOSC32K, OSC8M, DFLL_CONTROL, DFLL_MULTIPLY = 0x0C, 0x14, 0x20, 0x24, 0x2C
ON_DEMAND, CLOSED_LOOP = 1 << 7, 1 << 2
FROM_XOSC32K, FROM_OSC8M, FROM_DFLL = 5, 6, 7
OUT, OUT_CLEAR, OUT_SET, DIR, DIR_SET = 0x10, 0x14, 0x18, 0x00, 0x08


class _Clocks:
    """SYSCTRL, GCLK, PM and NVMCTRL, and the rules between them."""

    def __init__(self, watch: Watch, *, is_dead: bool):
        self._watch = watch
        self.system = system = Registers(
            "SYSCTRL", 0x40000800, reset={OSC8M: 0x87070382, DFLL_CONTROL: ON_DEMAND}
        )
        self.generators = Registers("GCLK", 0x40000C00)
        self.power = Registers("PM", 0x40000400, reset={0x20: 0x00010000})
        self.flash = Registers("NVMCTRL", 0x41004000)
        self._sources = {0: FROM_OSC8M}
        self._dividers: dict[int, int] = {}
        self._fed: dict[int, int] = {}
        system.make_ready(
            READY,
            {
                1: lambda: not is_dead and bool(system.field(XOSC32K, 1)),
                3: lambda: bool(system.field(OSC8M, 1)),
                4: lambda: bool(system.field(DFLL_CONTROL, 1)),
                6: self._locks,
                7: self._locks,
            },
        )
        system.writes[DFLL_CONTROL] = self._write_control
        system.writes[DFLL_MULTIPLY] = self._write_multiply
        self.generators.writes |= {0: self._feed, 4: self._generate, 8: self._divide}
        self.flash.writes[4] = self._write_flash

    def hz(self, generator: int) -> float:
        """The clock of a generator."""
        source = self._sources.get(generator)
        hz = {
            FROM_XOSC32K: CRYSTAL_HZ,
            FROM_OSC8M: 8 * MHZ >> self.system.field(OSC8M, 8, 2),
            FROM_DFLL: CRYSTAL_HZ * self.system.field(DFLL_MULTIPLY, 0, 16),
        }.get(source or 0, 0)
        return hz / (self._dividers.get(generator) or 1)

    def fed_hz(self, number: int) -> float:
        """The clock of a peripheral; 0 without one."""
        generator = self._fed.get(number)
        return 0 if generator is None else self.hz(generator)

    def _locks(self) -> bool:
        reference = self._fed.get(0)
        return (
            bool(self.system.field(DFLL_CONTROL, 2))
            and reference is not None
            and self._sources.get(reference) == FROM_XOSC32K
            and bool(self.system.field(READY, 1))
        )

    def _check(self) -> None:
        hz, waits = self.hz(0), self.flash.field(4, 1, 4)
        needed = int(hz > WITHOUT_WAIT_HZ)
        self._watch.expect(
            waits >= needed,
            f"the core runs at {hz / MHZ:.3f} MHz with {waits} wait states, which needs {needed}",
        )
        self._watch.expect(
            hz <= MOST_HZ * 1.001, f"the core runs at {hz / MHZ:.3f} MHz, 48 are allowed"
        )

    def _write_control(self, old: int, new: int) -> int:
        self._watch.expect(
            not new & CLOSED_LOOP or not old & ON_DEMAND,
            "the DFLL is set up while it runs on demand (erratum 9905)",
        )
        return new

    def _write_multiply(self, old: int, new: int) -> int:
        self._watch.expect(
            not self.system[DFLL_CONTROL] & ON_DEMAND,
            "the DFLL is set up while it runs on demand (erratum 9905)",
        )
        self._watch.expect(
            bool(self.system.field(READY, 4)), "the DFLL is set up before it is ready"
        )
        return new

    def _feed(self, old: int, new: int) -> int:
        clock = new >> 16
        if clock >> 14 & 1:
            self._fed[clock & 0x3F] = clock >> 8 & 0xF
        return new

    def _generate(self, old: int, new: int) -> int:
        source = new >> 8 & 0x1F
        if new >> 16 & 1:
            ready = {FROM_XOSC32K: 1 << 1, FROM_OSC8M: 1 << 3, FROM_DFLL: 3 << 6}.get(source, 0)
            is_ready = self.system[READY] & ready == ready
            if new & 0xF == 0:
                what = "the core is switched to a clock that is not ready"
                self._watch.expect(is_ready, what)
            self._sources[new & 0xF] = source
        self._check()
        return new

    def _divide(self, old: int, new: int) -> int:
        self._dividers[new & 0xF] = new >> 8 & 0xFFFF
        return new

    def _write_flash(self, old: int, new: int) -> int:
        self.flash[4] = new
        self._check()
        return new


def make_samd21(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes a SAMD21.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether the crystal does not come up.

    Returns:
        The model.

    Source:
        Microchip DS40001882: SYSCTRL, GCLK, PM, NVMCTRL, PORT, SERCOM USART; 37.12, NVM
        characteristics.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_samd21(find_board("arduino-zero"), Line(Watch()), Watch()).core_hz()
        1000000.0
    """
    clocks = _Clocks(watch, is_dead=is_dead)
    ports = [_port(f"PORT {letter}", 0x41004400 + 0x80 * n) for n, letter in enumerate("AB")]
    blocks = [clocks.system, clocks.generators, clocks.power, clocks.flash, *ports]
    if board.port is not None:
        blocks.append(_sercom(board, line, watch, clocks, ports))
    lamp = Lamp()
    if board.led is not None:
        pin, level = board.led.figures["pin"], board.led.figures["level"]
        port = ports[pin // 32]

        def follow(old: int, new: int) -> int:
            if port[DIR] >> pin % 32 & 1:
                lamp.set((new >> pin % 32 & 1) == level)
            return new

        port.writes[OUT] = follow
    return ChipModel(blocks, lambda: clocks.hz(0), line, lamp)


def _port(name: str, base: int) -> Registers:
    port = Registers(name, base, 0x80)

    def change(target: int, value: int) -> int:
        port.write(target, value)
        return 0

    port.writes[OUT_SET] = lambda old, new: change(OUT, port[OUT] | new)
    port.writes[OUT_CLEAR] = lambda old, new: change(OUT, port[OUT] & ~new)
    port.writes[DIR_SET] = lambda old, new: change(DIR, port[DIR] | new)
    return port


def _sercom(
    board: Board, line: Line, watch: Watch, clocks: _Clocks, ports: list[Registers]
) -> Registers:
    assert board.port is not None, "the caller has a serial port"
    figures = board.port.figures
    number = figures["sercom"]
    sercom = Registers(board.port.name, 0x42000800 + 0x400 * number)
    sercom.is_clocked = lambda: bool(clocks.power.field(0x20, 2 + number))
    # A reset is over at once, and synchronisation takes no time.
    sercom.writes[0x00] = lambda old, new: 0 if new & 1 else new
    sercom.reads[0x18] = lambda: 3 | line.has_byte() << 2
    sercom.reads[0x28] = line.take

    def send(old: int, new: int) -> int:
        if sercom.field(0, 1) and sercom.field(4, 16):
            for name, pin in (("TX", figures["tx_pin"]), ("RX", figures["rx_pin"])):
                port, low = ports[pin // 32], pin % 32
                function = port.field(0x30 + (low // 8) * 4, 4 * (low % 8), 4)
                is_given = port.field(0x40 + (low & ~3), 8 * (low % 4))
                what = f"{name} is not in function {'ABCDEFGH'[figures['function']]}"
                watch.expect(bool(is_given) and function == figures["function"], what)
            line.put(new, clocks.fed_hz(0x14 + number) / 16 * (1 - sercom[0x0C] / 65536))
        return 0

    sercom.writes[0x28] = send
    return sercom
