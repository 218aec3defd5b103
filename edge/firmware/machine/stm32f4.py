"""STM32F4 and STM32F7: the clock tree, the flash and the power of a chip with one main PLL."""

from __future__ import annotations

import dataclasses

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.stm32_io import (
    SerialPins,
    connect_lamp,
    make_old_usart,
    make_ports,
    make_usart,
)
from edge.firmware.machine.watch import Watch, wait_states_for

MHZ = 1_000_000
HSI_HZ = 16 * MHZ
CR, PLLCFGR, CFGR, AHB1ENR, APB1ENR, APB2ENR, DCKCFGR2 = 0x00, 0x04, 0x08, 0x30, 0x40, 0x44, 0x90
PWR_CR, PWR_CSR = 0x00, 0x04
AHB_DIVIDERS = {code: 2 ** (code - 7 if code < 12 else code - 6) for code in range(8, 16)}
APB_DIVIDERS = {code: 2 ** (code - 3) for code in range(4, 8)}
SERIAL_PORTS = {
    # The address, the enabling register, its bit, the bus and the pins' alternate function.
    "USART1": (0x40011000, APB2ENR, 4, 2, 7),
    "USART2": (0x40004400, APB1ENR, 17, 1, 7),
    "USART3": (0x40004800, APB1ENR, 18, 1, 7),
    "USART6": (0x40011400, APB2ENR, 5, 2, 8),
}


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a part's manual and data sheet allow.

    Attributes:
        wait_hz: The highest core clock for no wait state, one, two and so on, at 2.7 V or more.
        scale_hz: The highest core clock by the regulator's voltage scale, as VOS counts.
        over_drive_hz: The same with over-drive; empty where there is none.
        apb_hz: The highest clock of APB1 and of APB2.
        vco_hz: The lowest and highest clock of the PLL's oscillator.
        power_reset: PWR_CR out of reset.
        is_f7: Whether it is an STM32F7.
    """

    wait_hz: tuple[int, ...]
    scale_hz: dict[int, int]
    over_drive_hz: dict[int, int]
    apb_hz: tuple[int, int]
    vco_hz: tuple[int, int]
    power_reset: int
    is_f7: bool = False


def _mhz(*numbers: int) -> tuple[int, ...]:
    return tuple(number * MHZ for number in numbers)


def _scales(third: int, second: int, first: int) -> dict[int, int]:
    return {1: third * MHZ, 2: second * MHZ, 3: first * MHZ}


_F7 = Limits(
    wait_hz=_mhz(30, 60, 90, 120, 150, 180, 210, 216),
    scale_hz=_scales(144, 168, 180),
    over_drive_hz=_scales(144, 180, 216),
    apb_hz=(54 * MHZ, 108 * MHZ),
    vco_hz=(100 * MHZ, 432 * MHZ),
    power_reset=0xC000,
    is_f7=True,
)
LIMITS = {
    # RM0368, 3.4.1 and 5.4; DS9716, general operating conditions and PLL characteristics.
    "STM32F401": Limits(
        wait_hz=_mhz(30, 60, 84),
        scale_hz=_scales(60, 84, 84),
        over_drive_hz={},
        apb_hz=(42 * MHZ, 84 * MHZ),
        vco_hz=(192 * MHZ, 432 * MHZ),
        power_reset=0x8000,
    ),
    # RM0383, 3.4.1 and 5.4; DS10314.
    "STM32F411": Limits(
        wait_hz=_mhz(30, 64, 90, 100),
        scale_hz=_scales(64, 84, 100),
        over_drive_hz={},
        apb_hz=(50 * MHZ, 100 * MHZ),
        vco_hz=(100 * MHZ, 432 * MHZ),
        power_reset=0x8000,
    ),
    # RM0390, 3.4.1 and 5.1.4; DS10693.
    "STM32F446": Limits(
        wait_hz=_mhz(30, 60, 90, 120, 150, 180),
        scale_hz=_scales(120, 144, 168),
        over_drive_hz=_scales(120, 168, 180),
        apb_hz=(45 * MHZ, 90 * MHZ),
        vco_hz=(100 * MHZ, 432 * MHZ),
        power_reset=0xC000,
    ),
    # RM0385, 3.3.2 and 4.1.4; DS10916. RM0410, the same sections; DS11532.
    "STM32F746": _F7,
    "STM32F767": _F7,
}


class Clocks:
    """RCC, FLASH and PWR, and the rules between them.

    Args:
        limits: What the part allows.
        hse_hz: The clock that the board brings to the chip; 0 where it brings none.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Attributes:
        rcc: The clock control.
        flash: The flash interface.
        power: The power control.
    """

    def __init__(self, limits: Limits, hse_hz: int, watch: Watch, *, is_dead: bool = False):
        self._limits, self._hse_hz, self._watch = limits, hse_hz, watch
        self.rcc = rcc = Registers("RCC", 0x40023800, reset={CR: 0x83, PLLCFGR: 0x24003010})
        self.flash = flash = Registers("FLASH", 0x40023C00)
        power_reset = {PWR_CR: limits.power_reset}
        self.power = power = Registers("PWR", 0x40007000, reset=power_reset)
        power.is_clocked = lambda: bool(rcc.field(APB1ENR, 28))
        rcc.writes |= {CR: self._write_control, PLLCFGR: self._write_pll, CFGR: self._write_config}
        flash.writes[0] = self._write_latency
        power.writes[PWR_CR] = self._write_power
        lives = not is_dead
        rcc.make_ready(
            CR,
            {
                1: lambda: bool(rcc.field(CR, 0)),
                17: lambda: lives and bool(rcc.field(CR, 16)) and hse_hz > 0,
                25: lambda: lives and bool(rcc.field(CR, 24)) and self._pll_input_hz() > 0,
            },
        )
        power.make_ready(
            PWR_CSR,
            {
                # The voltage is the chosen one only while the PLL is on.
                14: lambda: lives and bool(rcc.field(CR, 24)),
                16: lambda: lives and bool(power.field(PWR_CR, 16)),
                17: lambda: lives and bool(power.field(PWR_CR, 17)),
            },
        )

    def core_hz(self) -> float:
        """Computes the core's clock from the written registers.

        Returns:
            The clock, in Hz.
        """
        return self._system_hz() / AHB_DIVIDERS.get(self.rcc.field(CFGR, 4, 4), 1)

    def bus_hz(self, bus: int) -> float:
        """Computes a bus' clock from the written registers.

        Args:
            bus: 1 for APB1, 2 for APB2.

        Returns:
            The clock, in Hz.
        """
        low = 10 if bus == 1 else 13
        return self.core_hz() / APB_DIVIDERS.get(self.rcc.field(CFGR, low, 3), 1)

    def _pll_input_hz(self) -> float:
        source = self._hse_hz if self.rcc.field(PLLCFGR, 22) else HSI_HZ
        return source / max(self.rcc.field(PLLCFGR, 0, 6), 1)

    def _pll_hz(self) -> float:
        multiplier = self.rcc.field(PLLCFGR, 6, 9)
        return self._pll_input_hz() * multiplier / (2 * self.rcc.field(PLLCFGR, 16, 2) + 2)

    def _system_hz(self) -> float:
        return (HSI_HZ, self._hse_hz, self._pll_hz(), HSI_HZ)[self.rcc.field(CFGR, 2, 2)]

    def _check(self) -> None:
        """Everything that depends on how fast the core runs now."""
        hz, limits = self.core_hz(), self._limits
        needed = wait_states_for(round(hz), limits.wait_hz)
        latency = self.flash.field(0, 0, 4)
        self._watch.expect(
            latency >= needed,
            f"the core runs at {hz / MHZ:g} MHz with {latency} wait states, which needs {needed}",
        )
        # Without the PLL the regulator is at its third scale, enough for HSI and HSE.
        if self.rcc.field(CFGR, 2, 2) == 2:
            scale = self.power.field(PWR_CR, 14, 2)
            driven = self.power.field(PWR_CR, 17) and self.power.field(PWR_CSR, 17)
            allowed = (limits.over_drive_hz if driven else limits.scale_hz).get(scale, 0)
            self._watch.expect(
                hz <= allowed,
                f"the core runs at {hz / MHZ:g} MHz, where voltage scale {4 - scale}"
                f"{' with over-drive' if driven else ''} allows {allowed / MHZ:g}",
            )
            self._watch.expect(
                bool(self.power.field(PWR_CSR, 14)), "the PLL is used before the voltage is ready"
            )
        for bus, limit in enumerate(limits.apb_hz, 1):
            found = self.bus_hz(bus)
            self._watch.expect(
                found <= limit, f"APB{bus} runs at {found / MHZ:g} MHz, {limit / MHZ:g} are allowed"
            )

    def _write_control(self, old: int, new: int) -> int:
        switched = self.rcc.field(CFGR, 2, 2)
        in_use = {0: 0, 1: 16, 2: 24}[switched]
        self._watch.expect(bool(new >> in_use & 1), "the clock in use is switched off")
        if new >> 24 & 1 and not old >> 24 & 1:
            source = 17 if self.rcc.field(PLLCFGR, 22) else 1
            self._watch.expect(bool(old >> source & 1), "the PLL is started before its source")
            self._check_pll()
        if (old ^ new) >> 18 & 1:
            self._watch.expect(not old >> 16 & 1, "HSEBYP is changed while HSE is on")
        return new

    def _check_pll(self) -> None:
        low, high = self._limits.vco_hz
        given = self._pll_input_hz()
        inside = given * self.rcc.field(PLLCFGR, 6, 9)
        self._watch.expect(
            0.95 * MHZ <= given <= 2.1 * MHZ, f"the PLL is given {given / MHZ:g} MHz, not 1 to 2"
        )
        self._watch.expect(
            low <= inside <= high,
            f"the PLL's oscillator runs at {inside / MHZ:g} MHz, not {low / MHZ:g} to "
            f"{high / MHZ:g}",
        )
        most = max((self._limits.over_drive_hz or self._limits.scale_hz).values())
        self._watch.expect(
            self._pll_hz() <= most,
            f"the PLL gives {self._pll_hz() / MHZ:g} MHz, {most / MHZ:g} are allowed",
        )

    def _write_pll(self, old: int, new: int) -> int:
        self._watch.expect(
            old == new or not self.rcc.field(CR, 24), "the PLL is changed while it is on"
        )
        return new

    def _write_config(self, old: int, new: int) -> int:
        switch = new & 3
        ready = {0: 1, 1: 17, 2: 25}.get(switch)
        is_ready = ready is not None and bool(self.rcc.field(CR, ready))
        self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        # A core follows its switch only to a clock that runs.
        self.rcc[CFGR] = new & ~0xC | (switch << 2 if is_ready else old & 0xC)
        self._check()
        return self.rcc[CFGR]

    def _write_latency(self, old: int, new: int) -> int:
        self.flash[0] = new
        self._check()
        return new

    def _write_power(self, old: int, new: int) -> int:
        if (old ^ new) >> 14 & 3:
            self._watch.expect(
                not self.rcc.field(CR, 24), "the voltage scale is changed while the PLL is on"
            )
        if new >> 17 & 1 and not old >> 17 & 1:
            self._watch.expect(
                bool(self.power.field(PWR_CSR, 16)), "over-drive is switched to before it is ready"
            )
        self.power[PWR_CR] = new
        self._check()
        return new


def make_stm32f4(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32F4 or STM32F7.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0390: 2.2.2 memory map, 3.4.1 read latency, 5.1.4 regulator, 6.2 clock
        tree, 6.3 RCC registers; RM0385 for the STM32F7.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32f4(find_board("nucleo-f446re"), Line(Watch()), Watch()).core_hz()
        16000000.0
    """
    limits = next(found for part, found in LIMITS.items() if board.mcu.startswith(part))
    clocks = Clocks(limits, board.chip.figures.get("hse_hz", 0), watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        0x40020000, "ABCDEFGHIJK", lambda letter: bool(rcc.field(AHB1ENR, ord(letter) - ord("A")))
    )
    blocks = [rcc, clocks.flash, clocks.power, *ports]
    if board.port is not None:
        base, register, bit, bus, function = SERIAL_PORTS[board.port.name]
        pins = SerialPins(board, ports, (function, function), watch)
        make = make_usart if limits.is_f7 else make_old_usart
        usart = make(board.port.name, base, line, lambda: clocks.bus_hz(bus), pins)
        usart.is_clocked = lambda: bool(rcc.field(register, bit))
        blocks.append(usart)
    return ChipModel(blocks, clocks.core_hz, line, connect_lamp(board, ports))
