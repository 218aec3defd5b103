"""STM32U5: ranges of voltage and their booster, the first PLL, and the flash's wait states."""

from __future__ import annotations

from functools import partial

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.stm32_io import SerialPins, connect_lamp, make_ports, make_usart
from edge.firmware.machine.stm32f4 import AHB_DIVIDERS, APB_DIVIDERS
from edge.firmware.machine.voltage import Voltage
from edge.firmware.machine.watch import Watch, wait_states_for

MHZ = 1_000_000
MSI_HZ, HSI_HZ = 4 * MHZ, 16 * MHZ
CR, CFGR1, CFGR2, PLL1CFGR, PLL1DIVR, PLL1FRACR = 0x00, 0x1C, 0x20, 0x28, 0x34, 0x38
AHB2ENR1, AHB3ENR, CCIPR1, VOSR = 0x8C, 0x94, 0xE0, 0x0C
READY = {0: 2, 8: 10, 16: 17, 24: 25}
"""The bits of CR that tell that a clock is ready, by those that switch it on."""
SOURCES = {0: 0, 1: 8, 2: 16, 3: 24}
"""The bit of CR that switches a clock on, by its number in SW; PLL1SRC counts the first three
from 1."""


def _mhz(*numbers: int) -> tuple[int, ...]:
    return tuple(number * MHZ for number in numbers)


# By VOS, which counts the ranges of voltage downwards: 3 is range 1, and 0 range 4.
RANGE_HZ = _mhz(25, 55, 110, 160)
"""The highest core clock."""
WAIT_HZ = (_mhz(12, 25), _mhz(24, 48, 55), _mhz(30, 60, 90, 110), _mhz(32, 64, 96, 128, 160))
"""The highest core clock for no wait state, one, two and so on."""
VCO_HZ = (_mhz(0, 0), _mhz(128, 330), _mhz(128, 544), _mhz(128, 544))
"""The lowest and highest clock of the PLL's oscillator; range 4 has no PLL."""
UNBOOSTED_HZ = 55 * MHZ


class _Clocks:
    """RCC, FLASH and PWR, and the rules between them."""

    def __init__(self, hse_hz: int, watch: Watch, *, is_dead: bool):
        self._hse_hz, self._watch, self._is_dead = hse_hz, watch, is_dead
        reset = {CR: 0x35, PLL1DIVR: 0x01010280}
        self.rcc = rcc = Registers("RCC", 0x46020C00, reset=reset)
        self.flash = flash = Registers("FLASH", 0x40022000)
        self.power = power = Registers("PWR", 0x46020800, reset={VOSR: 1 << 15})
        power.is_clocked = lambda: bool(rcc.field(AHB3ENR, 2))
        self._voltage = Voltage(0)
        rcc.writes |= {
            CR: self._write_control,
            CFGR1: self._write_config,
            CFGR2: partial(self._follow, rcc, CFGR2),
            PLL1CFGR: self._write_pll_config,
            PLL1DIVR: self._write_pll,
        }
        flash.writes[0] = partial(self._follow, flash, 0)
        power.writes[VOSR] = self._write_voltage
        rcc.make_ready(CR, {to: partial(self._runs, on) for on, to in READY.items()})
        power.make_ready(VOSR, {14: self._is_boosted})
        tell = power.reads[VOSR]
        power.reads[VOSR] = lambda: tell() & ~(1 << 15) | self._voltage.is_ready() << 15

    def _runs(self, on: int) -> bool:
        is_there = {16: not self._is_dead and self._hse_hz > 0, 24: not self._is_dead}.get(on, True)
        return is_there and bool(self.rcc.field(CR, on))

    def _source(self) -> int:
        """The PLL's source as SW counts it; -1 without one."""
        return self.rcc.field(PLL1CFGR, 0, 2) - 1

    def _is_source_ready(self) -> bool:
        source = self._source()
        return source >= 0 and bool(self.rcc.field(CR, READY[SOURCES[source]]))

    def _is_boosted(self) -> bool:
        """The booster runs in the two higher ranges only, and on the PLL's source."""
        is_on = bool(self.power.field(VOSR, 18)) and self._voltage.level >= 2
        return is_on and self._is_source_ready()

    def _source_hz(self, number: int) -> int:
        """The clock of MSI, HSI or HSE, as SW counts them."""
        return {0: MSI_HZ, 1: HSI_HZ, 2: self._hse_hz}.get(number, 0)

    def _pll_input_hz(self) -> float:
        return self._source_hz(self._source()) / (self.rcc.field(PLL1CFGR, 8, 4) + 1)

    def _vco_hz(self) -> float:
        has_fraction = self.rcc.field(PLL1CFGR, 4)
        fraction = self.rcc.field(PLL1FRACR, 3, 13) / 8192 if has_fraction else 0
        return self._pll_input_hz() * (self.rcc.field(PLL1DIVR, 0, 9) + 1 + fraction)

    def _pll_hz(self) -> float:
        if not self.rcc.field(PLL1CFGR, 18):
            return 0
        return self._vco_hz() / (self.rcc.field(PLL1DIVR, 24, 7) + 1)

    def _system_hz(self) -> float:
        chosen = self.rcc.field(CFGR1, 2, 2)
        return self._pll_hz() if chosen == 3 else self._source_hz(chosen)

    def core_hz(self) -> float:
        """The clock of the core and its flash."""
        return self._system_hz() / AHB_DIVIDERS.get(self.rcc.field(CFGR2, 0, 4), 1)

    def serial_hz(self, bus: int) -> float:
        """The clock that USART1, on APB2, or USART2, on APB1, counts with."""
        low = 0 if bus == 2 else 2
        prescaler = self.rcc.field(CFGR2, 8 if bus == 2 else 4, 3)
        return (
            self.core_hz() / APB_DIVIDERS.get(prescaler, 1),
            self._system_hz(),
            HSI_HZ,
            0,
        )[self.rcc.field(CCIPR1, low, 2)]

    def _follow(self, block: Registers, at: int, old: int, new: int) -> int:
        block[at] = new
        self._check()
        return new

    def _check(self) -> None:
        """Everything that depends on how fast the core runs now."""
        hz, level = self.core_hz(), self._voltage.level
        needed, waits = wait_states_for(round(hz), WAIT_HZ[level]), self.flash.field(0, 0, 4)
        at = f"the core runs at {hz / MHZ:g} MHz"
        self._watch.expect(
            waits >= needed,
            f"{at} in range {4 - level} with {waits} wait states, which needs {needed}",
        )
        is_boosted = bool(self.power.field(VOSR, 14)) and self._is_boosted()
        allowed = RANGE_HZ[level] if is_boosted else min(RANGE_HZ[level], UNBOOSTED_HZ)
        how = "with the booster" if is_boosted else "without the booster"
        what = f"{at}, where range {4 - level} {how} allows {allowed / MHZ:g}"
        self._watch.expect(hz <= allowed, what)

    def _write_control(self, old: int, new: int) -> int:
        in_use = SOURCES[self.rcc.field(CFGR1, 2, 2)]
        self._watch.expect(bool(new >> in_use & 1), "the clock in use is switched off")
        if new >> 24 & 1 and not old >> 24 & 1:
            is_ready = self._is_source_ready()
            self._watch.expect(is_ready, "the PLL is started before its source")
            self._check_pll()
        return new

    def _check_pll(self) -> None:
        given, inside = self._pll_input_hz() / MHZ, self._vco_hz() / MHZ
        low, high = (8, 16) if self.rcc.field(PLL1CFGR, 2, 2) == 3 else (4, 8)
        self._watch.expect(
            low <= given <= high,
            f"the PLL is given {given:g} MHz, where its range is {low} to {high}",
        )
        level = self._voltage.level
        self._watch.expect(level > 0, "the PLL is started in range 4, which has none")
        low, high = (hz // MHZ for hz in VCO_HZ[level])
        self._watch.expect(
            level == 0 or low <= inside <= high,
            f"the PLL's oscillator runs at {inside:g} MHz, not {low} to {high}",
        )
        most = RANGE_HZ[level] / MHZ
        found = self._pll_hz() / MHZ
        what = f"the PLL gives {found:g} MHz, {most:g} are allowed in range {4 - level}"
        self._watch.expect(found <= most, what)

    def _write_pll(self, old: int, new: int) -> int:
        is_off = old == new or not self.rcc.field(CR, 24)
        self._watch.expect(is_off, "the PLL is changed while it is on")
        return new

    def _write_pll_config(self, old: int, new: int) -> int:
        # MBOOST and the source are the booster's.
        if (old ^ new) & (0xF << 12 | 3):
            is_off = not self.power.field(VOSR, 18)
            self._watch.expect(is_off, "the booster's clock is changed while it is on")
        return self._write_pll(old, new)

    def _write_config(self, old: int, new: int) -> int:
        switch = new & 3
        is_ready = bool(self.rcc.field(CR, READY[SOURCES[switch]]))
        self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        # A core follows its switch only to a clock that runs.
        shown = switch << 2 if is_ready else old & 3 << 2
        return self._follow(self.rcc, CFGR1, old, new & ~(3 << 2) | shown)

    def _write_voltage(self, old: int, new: int) -> int:
        self._voltage.ask(new >> 16 & 3)
        self.power[VOSR] = new
        if new >> 18 & 1 and not old >> 18 & 1:
            is_ready = self._is_source_ready()
            self._watch.expect(is_ready, "the booster is switched on before its clock")
            code = self.rcc.field(PLL1CFGR, 12, 4)
            given = self._source_hz(self._source()) / (2 * code or 1) / MHZ
            what = f"the booster is given {given:g} MHz, not 4 to 16"
            self._watch.expect(4 <= given <= 16, what)
        self._check()
        return new


def make_stm32u5(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32U5.

    Args:
        board: The board; its file says where its port is.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but those without a crystal comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0456: 7.3.3 read latency, 10.5.4 voltage and booster, 11.4 clocks, 11.8
        registers; DS13737, general operating conditions and PLL characteristics.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32u5(find_board("nucleo-u575zi-q"), Line(Watch()), Watch()).core_hz()
        4000000.0
    """
    clocks = _Clocks(board.chip.figures.get("hse_hz", 0), watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        0x42020000, "ABCDEFGHIJ", lambda letter: bool(rcc.field(AHB2ENR1, ord(letter) - ord("A")))
    )
    blocks = [rcc, clocks.flash, clocks.power, Registers("ICACHE", 0x40030400), *ports]
    if board.port is not None:
        figures = board.port.figures
        pins = SerialPins(board, ports, (figures["tx_function"], figures["rx_function"]), watch)
        bus = 2 if figures["base"] >= 0x40010000 else 1
        usart = make_usart(
            board.port.name, figures["base"], line, lambda: clocks.serial_hz(bus), pins
        )
        usart.is_clocked = lambda: bool(rcc.field(figures["clocks"], figures["clock_bit"]))
        blocks.append(usart)
    return ChipModel(blocks, clocks.core_hz, line, connect_lamp(board, ports))
