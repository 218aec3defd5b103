"""STM32H7: supply, voltage scales and over-drive, the first PLL, and the buses of three domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
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
HSI_HZ, CSI_HZ = 64 * MHZ, 4 * MHZ
CR, CFGR, D1CFGR, D2CFGR, D3CFGR = 0x00, 0x10, 0x18, 0x1C, 0x20
PLLCKSELR, PLLCFGR, PLL1DIVR, PLL1FRACR = 0x28, 0x2C, 0x30, 0x34
D2CCIP2R, AHB4ENR, APB4ENR = 0x54, 0xE0, 0xF4
CSR1, CR3, D3CR, PWRCR = 0x04, 0x0C, 0x18, 0x2C
SUPPLY, LDO, BOTH_SUPPLIES, STEP_DOWN = 7, 1 << 1, 6, 4
BOOTED_SUPPLY = STEP_DOWN
"""What a boot loader chose, where the board's file leaves the supply to it."""
READY = {0: 2, 7: 8, 16: 17, 24: 25}
"""The bits of CR that tell that a clock is ready, by those that switch it on."""
SOURCES = {0: 0, 1: 7, 2: 16, 3: 24}
"""The bit of CR that switches a clock on, by its number in SW; PLLSRC counts the first three."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a part's manual and data sheet allow, by voltage scale: 0 is the highest.

    Attributes:
        core_hz: The highest clock of the core.
        bus_share: What that is of the highest clock of the AXI and AHB buses.
        wait_hz: The highest clock of the AXI bus for no wait state, one, two and so on.
        delay_hz: The same for the flash's programming delay.
        vco_hz: The lowest and highest clock of the PLL's oscillator in its wide range.
        flash_reset: FLASH_ACR out of reset.
        scales: The scales, as VOS counts.
        has_over_drive: Whether scale 0 is scale 1 with SYSCFG's over-drive.
        has_odd_dividers: Whether the PLL's output may be divided by odd numbers above 1.
    """

    core_hz: tuple[int, ...]
    bus_share: int
    wait_hz: tuple[tuple[int, ...], ...]
    delay_hz: tuple[tuple[int, ...], ...]
    vco_hz: tuple[int, int]
    flash_reset: int
    scales: tuple[int, ...]
    has_over_drive: bool
    has_odd_dividers: bool


def _mhz(*numbers: int) -> tuple[int, ...]:
    return tuple(number * MHZ for number in numbers)


# RM0433 and RM0399: read latency and programming delay by AXI clock; 6.6.2, voltage scaling; PLL
# registers. DS12110 and DS12930 (revision V): general operating conditions, PLL characteristics.
_H74 = Limits(
    core_hz=_mhz(480, 400, 300, 200),
    bus_share=2,
    wait_hz=(
        _mhz(70, 140, 210, 225, 240),
        _mhz(70, 140, 210, 225),
        _mhz(55, 110, 165, 225),
        _mhz(45, 90, 135, 180, 225),
    ),
    delay_hz=(_mhz(70, 185), _mhz(70, 185), _mhz(55, 165), _mhz(45, 135)),
    vco_hz=(192 * MHZ, 960 * MHZ),
    flash_reset=0x37,
    scales=(3, 3, 2, 1),
    has_over_drive=True,
    has_odd_dividers=False,
)
# RM0455, table 16: read latency and programming delay; DS13195, the sections of the same names.
_H7A3 = Limits(
    core_hz=_mhz(280, 225, 160, 88),
    bus_share=1,
    wait_hz=(
        _mhz(42, 84, 126, 168, 210, 252, 280),
        _mhz(38, 76, 114, 152, 190, 225),
        _mhz(34, 68, 102, 136, 160),
        _mhz(22, 44, 66, 88),
    ),
    delay_hz=(_mhz(84, 168, 252), _mhz(76, 152), _mhz(68, 136), _mhz(44)),
    vco_hz=(128 * MHZ, 560 * MHZ),
    flash_reset=0x13,
    scales=(3, 2, 1, 0),
    has_over_drive=False,
    has_odd_dividers=True,
)
MEDIUM_VCO_HZ = (150 * MHZ, 420 * MHZ)
H7_LIMITS = {"STM32H743": _H74, "STM32H747": _H74, "STM32H7A3": _H7A3}


class _Power:
    """PWR, and SYSCFG's over-drive: the supply is chosen once, and then the voltage."""

    def __init__(
        self,
        limits: Limits,
        supply: int,
        rcc: Registers,
        watch: Watch,
        *,
        check: Callable[[], None],
    ):
        self._limits, self._watch, self._check = limits, watch, check
        self._is_supplied = supply != BOTH_SUPPLIES
        first = limits.scales[-1] << 14
        self.registers = Registers("PWR", 0x58024800, reset={CR3: supply, D3CR: first})
        self.system = Registers("SYSCFG", 0x58000400)
        self.system.is_clocked = lambda: bool(rcc.field(APB4ENR, 1))
        # The level counts upwards, the scale downwards.
        self._voltage = Voltage(0)
        self.registers.writes |= {CR3: self._choose, D3CR: self._scale}
        self.registers.reads |= {CSR1: lambda: self._is_ready() << 13, D3CR: self._tell}
        if limits.has_over_drive:
            self.system.writes[PWRCR] = self._drive

    @property
    def scale(self) -> int:
        """The scale whose voltage the core has for certain."""
        return 3 - self._voltage.level

    def _is_ready(self) -> bool:
        return self._is_supplied and self._voltage.is_ready()

    def _tell(self) -> int:
        return self.registers[D3CR] & ~(1 << 13) | self._is_ready() << 13

    def _choose(self, old: int, new: int) -> int:
        self._watch.expect(
            not self._is_supplied or not (old ^ new) & SUPPLY, "the supply is chosen a second time"
        )
        self._is_supplied = True
        return new

    def _scale(self, old: int, new: int) -> int:
        asked = new >> 14 & 3
        self._watch.expect(self._is_supplied, "the voltage is chosen before the supply")
        self._watch.expect(asked in self._limits.scales, "VOS holds a reserved value")
        self._ask(asked)
        return new

    def _drive(self, old: int, new: int) -> int:
        is_first = self.registers.field(D3CR, 14, 2) == self._limits.scales[0]
        if new & 1 and not old & 1:
            self._watch.expect(
                is_first and self.scale == 1, "over-drive is switched on below voltage scale 1"
            )
            has_ldo = bool(self.registers[CR3] & LDO)
            self._watch.expect(has_ldo, "over-drive is switched on without the LDO")
        self.system[PWRCR] = new
        self._ask(self.registers.field(D3CR, 14, 2))
        return new

    def _ask(self, code: int) -> None:
        scales = self._limits.scales
        scale = len(scales) - 1 - scales[::-1].index(code) if code in scales else 3
        is_driven = self._limits.has_over_drive and self.system.field(PWRCR, 0)
        if scale == 1 and is_driven and self.registers[CR3] & LDO:
            scale = 0
        self._voltage.ask(3 - scale)
        self._check()


class _Clocks:
    """RCC and FLASH, and the rules between them and the voltage."""

    def __init__(self, limits: Limits, board: Board, watch: Watch, *, is_dead: bool):
        self._limits, self._watch, self._is_dead = limits, watch, is_dead
        figures = board.chip.figures
        self._hse_hz = figures.get("hse_hz", 0)
        reset = {CR: 0x25, PLLCKSELR: 0x02020200, PLLCFGR: 0x01FF0000, PLL1DIVR: 0x01010280}
        self.rcc = rcc = Registers("RCC", 0x58024400, reset=reset)
        self.flash = Registers("FLASH", 0x52002000, reset={0: limits.flash_reset})
        supply = BOTH_SUPPLIES if figures.get("supply") else BOOTED_SUPPLY
        self.power = _Power(limits, supply, rcc, watch, check=self._check)
        rcc.writes |= {
            CR: self._write_control,
            CFGR: self._write_config,
            PLLCKSELR: self._write_pll,
            PLLCFGR: self._write_pll,
            PLL1DIVR: self._write_pll,
        }
        for register in (D1CFGR, D2CFGR, D3CFGR):
            rcc.writes[register] = partial(self._follow, rcc, register)
        self.flash.writes[0] = partial(self._follow, self.flash, 0)
        rcc.make_ready(CR, {to: partial(self._runs, on) for on, to in READY.items()})

    def _runs(self, on: int) -> bool:
        is_there = {16: not self._is_dead and self._hse_hz > 0, 24: not self._is_dead}.get(on, True)
        return is_there and bool(self.rcc.field(CR, on))

    def _source_hz(self, number: int) -> float:
        """The clock of HSI, CSI or HSE, as SW and PLLSRC count them."""
        hsi_hz = HSI_HZ / 2 ** self.rcc.field(CR, 3, 2)
        return {0: hsi_hz, 1: CSI_HZ, 2: self._hse_hz}.get(number, 0)

    def _pll_input_hz(self) -> float:
        divider = self.rcc.field(PLLCKSELR, 4, 6)
        return self._source_hz(self.rcc.field(PLLCKSELR, 0, 2)) / divider if divider else 0

    def _vco_hz(self) -> float:
        fraction = self.rcc.field(PLL1FRACR, 3, 13) / 8192 if self.rcc.field(PLLCFGR, 0) else 0
        return self._pll_input_hz() * (self.rcc.field(PLL1DIVR, 0, 9) + 1 + fraction)

    def _pll_hz(self) -> float:
        if not self.rcc.field(PLLCFGR, 16):
            return 0
        return self._vco_hz() / (self.rcc.field(PLL1DIVR, 9, 7) + 1)

    def core_hz(self) -> float:
        """The clock of the core."""
        chosen = self.rcc.field(CFGR, 3, 3)
        system = self._pll_hz() if chosen == 3 else self._source_hz(chosen)
        return system / AHB_DIVIDERS.get(self.rcc.field(D1CFGR, 8, 4), 1)

    def axi_hz(self) -> float:
        """The clock of the AXI bus, of the flash on it, and of the AHB buses."""
        return self.core_hz() / AHB_DIVIDERS.get(self.rcc.field(D1CFGR, 0, 4), 1)

    def apb_hz(self, bus: int) -> float:
        """The clock of APB1 to APB4."""
        field = {1: (D2CFGR, 4), 2: (D2CFGR, 8), 3: (D1CFGR, 4), 4: (D3CFGR, 4)}[bus]
        return self.axi_hz() / APB_DIVIDERS.get(self.rcc.field(*field, 3), 1)

    def serial_hz(self, bus: int) -> float:
        """The clock that the serial ports of APB1 or APB2 count with."""
        chosen = self.rcc.field(D2CCIP2R, 0 if bus == 1 else 3, 3)
        others = {3: self._source_hz(0), 4: CSI_HZ}
        return others.get(chosen, 0) if chosen else self.apb_hz(bus)

    def _follow(self, block: Registers, at: int, old: int, new: int) -> int:
        block[at] = new
        self._check()
        return new

    def _check(self) -> None:
        """Everything that depends on how fast the core and the buses run now."""
        limits, scale = self._limits, self.power.scale
        core, axi, expect = self.core_hz(), self.axi_hz(), self._watch.expect
        at = f"the flash runs at {axi / MHZ:g} MHz at voltage scale {scale}"
        for name, low, width, table in (
            ("{} wait states", 0, 4, limits.wait_hz),
            ("programming delay {}", 4, 2, limits.delay_hz),
        ):
            needed = wait_states_for(round(axi), table[scale])
            found = self.flash.field(0, low, width)
            expect(found >= needed, f"{at} with {name.format(found)}, which needs {needed}")
        most = limits.core_hz[scale]
        expect(
            core <= most,
            f"the core runs at {core / MHZ:g} MHz, where voltage scale {scale} allows "
            f"{most / MHZ:g}",
        )
        # Out of reset all buses run at HSI's clock and the lowest voltage: the chip's own choice.
        if core <= HSI_HZ:
            return
        most //= limits.bus_share
        expect(axi <= most, f"AXI runs at {axi / MHZ:g} MHz, {most / MHZ:g} are allowed")
        for bus in range(1, 5):
            found_hz = self.apb_hz(bus)
            what = f"APB{bus} runs at {found_hz / MHZ:g} MHz, {most / 2 / MHZ:g} are allowed"
            expect(found_hz <= most / 2, what)

    def _write_control(self, old: int, new: int) -> int:
        expect = self._watch.expect
        in_use = SOURCES[self.rcc.field(CFGR, 3, 2)]
        expect(bool(new >> in_use & 1), "the clock in use is switched off")
        source = self.rcc.field(PLLCKSELR, 0, 2)
        if new >> 24 & 1 and not old >> 24 & 1:
            is_ready = source < 3 and bool(old >> READY[SOURCES[source]] & 1)
            expect(is_ready, "the PLL is started before its source")
            self._check_pll()
        if (old ^ new) >> 18 & 1:
            expect(not old >> 16 & 1, "HSEBYP is changed while HSE is on")
        if (old ^ new) >> 3 & 3:
            is_free = not (old >> 24 & 1 and source == 0)
            expect(is_free, "HSIDIV is changed while a PLL runs on HSI")
            if not is_free:
                new = new & ~(3 << 3) | old & 3 << 3
        return self._follow(self.rcc, CR, old, new)

    def _check_pll(self) -> None:
        expect, rcc = self._watch.expect, self.rcc
        given, inside = self._pll_input_hz() / MHZ, self._vco_hz() / MHZ
        low = 1 << rcc.field(PLLCFGR, 2, 2)
        what = f"the PLL is given {given:g} MHz, where its range is {low} to {2 * low}"
        expect(low <= given <= 2 * low, what)
        is_medium = bool(rcc.field(PLLCFGR, 1))
        expect(is_medium == (low == 1), "the PLL's oscillator is in the other range")
        lowest, highest = MEDIUM_VCO_HZ if is_medium else self._limits.vco_hz
        lowest, highest = lowest // MHZ, highest // MHZ
        what = f"the PLL's oscillator runs at {inside:g} MHz, not {lowest} to {highest}"
        expect(lowest <= inside <= highest, what)
        divider = rcc.field(PLL1DIVR, 9, 7) + 1
        is_right = self._limits.has_odd_dividers or divider == 1 or divider % 2 == 0
        expect(is_right, f"the PLL's output is divided by {divider}, which is odd")

    def _write_pll(self, old: int, new: int) -> int:
        is_off = old == new or not self.rcc.field(CR, 24)
        self._watch.expect(is_off, "the PLL is changed while it is on")
        return new

    def _write_config(self, old: int, new: int) -> int:
        switch = new & 7
        is_ready = switch in SOURCES and bool(self.rcc.field(CR, READY[SOURCES[switch]]))
        self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        # A core follows its switch only to a clock that runs.
        shown = switch << 3 if is_ready else old & 7 << 3
        return self._follow(self.rcc, CFGR, old, new & ~(7 << 3) | shown)


def make_stm32h7(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32H743, H747 or H7A3.

    Args:
        board: The board; its file says where its port is, and whether the firmware chooses the
            supply.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0433: 4.3.8 read latency, 6.4 supplies, 6.6.2 voltage, 8.5 clocks, 8.7
        registers; RM0399 for the STM32H747 and RM0455 for the STM32H7A3.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32h7(find_board("nucleo-h743zi2"), Line(Watch()), Watch()).core_hz()
        64000000.0
    """
    limits = next(found for part, found in H7_LIMITS.items() if board.mcu.startswith(part))
    clocks = _Clocks(limits, board, watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        0x58020000, "ABCDEFGHIJK", lambda letter: bool(rcc.field(AHB4ENR, ord(letter) - ord("A")))
    )
    blocks = [rcc, clocks.flash, clocks.power.registers, clocks.power.system, *ports]
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
