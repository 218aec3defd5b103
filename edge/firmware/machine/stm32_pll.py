"""STM32L4 and G0: one PLL, whose clock asks for a voltage and for wait states."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.stm32_io import SerialPins, connect_lamp, make_ports, make_usart
from edge.firmware.machine.watch import Watch, wait_states_for

MHZ = 1_000_000
Field = tuple[int, int, int]
"""A register's offset, the lowest bit and the number of bits."""


@dataclasses.dataclass(frozen=True)
class Family:
    """Where a family has what, and what its manual allows.

    Attributes:
        rcc: The address of the clock control.
        power: The address of the power control.
        flash: The address of the flash interface.
        ports: The address of port A.
        port_clocks: The offset of the register that clocks the ports.
        power_clock: The bit that clocks the power control.
        switch: SW, which chooses the core's clock.
        switched: SWS, which tells it.
        sources_hz: The clocks beside the PLL's, by their number in SW.
        pll: The PLL's number in SW.
        multiplier: N of the PLL, and what is added to it.
        input_divider: M of the PLL, and what is added to it.
        output_divider: The divider of the output that the core takes, and what is added to it.
        output_step: What a step of that divider counts.
        inputs_hz: The PLL's inputs, by their number.
        input_choice: The field with that number.
        ready: The bits of CR that are ready, by the bits that turn their clocks on.
        on_at_reset: CR out of reset.
        bus: The core's prescaler, and those of both buses, which fields of 3 or 4 bits hold.
        wait_hz: The highest core clock for no wait state, one, two and so on.
        most_hz: The highest core clock.
        voltage: Tells the highest core clock at the voltage that is chosen.
    """

    rcc: int
    power: int
    flash: int
    ports: int
    port_clocks: int
    power_clock: tuple[int, int]
    switch: Field
    switched: Field
    sources_hz: dict[int, int]
    pll: int
    multiplier: tuple[Field, int]
    input_divider: tuple[Field, int]
    output_divider: tuple[Field, int]
    output_step: int
    inputs_hz: dict[int, int]
    input_choice: Field
    ready: dict[int, int]
    on_at_reset: int
    bus: tuple[Field, Field, Field]
    wait_hz: tuple[int, ...]
    most_hz: int
    voltage: Callable[[Registers], int]


def _waits(*megahertz: int) -> tuple[int, ...]:
    return tuple(number * MHZ for number in megahertz)


def _l4_voltage(power: Registers) -> int:
    if power.field(0x00, 9, 2) != 1:
        return 26 * MHZ
    return 80 * MHZ if power.field(0x80, 8) else 120 * MHZ


# RM0351 and RM0432: 3.3.3 read latency, 5.1.8 voltage, 6.2 clocks, 6.4 registers.
_L4 = Family(
    rcc=0x40021000,
    power=0x40007000,
    flash=0x40022000,
    ports=0x48000000,
    port_clocks=0x4C,
    power_clock=(0x58, 28),
    switch=(0x08, 0, 2),
    switched=(0x08, 2, 2),
    sources_hz={0: 4 * MHZ, 1: 16 * MHZ},
    pll=3,
    multiplier=((0x0C, 8, 7), 0),
    input_divider=((0x0C, 4, 3), 1),
    output_divider=((0x0C, 25, 2), 1),
    output_step=2,
    inputs_hz={1: 4 * MHZ, 2: 16 * MHZ},
    input_choice=(0x0C, 0, 2),
    ready={0: 1, 8: 10, 24: 25},
    on_at_reset=0x63,
    bus=((0x08, 4, 4), (0x08, 8, 3), (0x08, 11, 3)),
    wait_hz=_waits(16, 32, 48, 64, 80),
    most_hz=80 * MHZ,
    voltage=_l4_voltage,
)
# RM0432, 3.3.3: another table, and the boost above 80 MHz.
_L4_PLUS = dataclasses.replace(_L4, wait_hz=_waits(20, 40, 60, 80, 100, 120), most_hz=120 * MHZ)
# RM0444: 3.3.4 read latency, 4.1.4 voltage, 5.2 clocks, 5.4 registers.
_G0 = dataclasses.replace(
    _L4,
    ports=0x50000000,
    port_clocks=0x34,
    power_clock=(0x3C, 28),
    switch=(0x08, 0, 3),
    switched=(0x08, 3, 3),
    sources_hz={0: 16 * MHZ},
    pll=2,
    output_divider=((0x0C, 29, 3), 1),
    output_step=1,
    inputs_hz={2: 16 * MHZ},
    ready={8: 10, 24: 25},
    on_at_reset=0x500,
    bus=((0x08, 8, 4), (0x08, 12, 3), (0x08, 12, 3)),
    wait_hz=_waits(24, 48, 64),
    most_hz=64 * MHZ,
    voltage=lambda power: 64 * MHZ if power.field(0, 9, 2) == 1 else 16 * MHZ,
)
FAMILIES = {
    "STM32L47": _L4,
    "STM32L4R": _L4_PLUS,
    "STM32G0": _G0,
}


def _divider(code: int, width: int) -> int:
    """What a bus' prescaler divides by: 1, or 2, 4 and so on where the highest bit is set."""
    if not code >> (width - 1):
        return 1
    step = (code & ((1 << (width - 1)) - 1)) + 1
    # The core's skips 32.
    return int(2 ** (step + (width == 4 and step > 4)))


class _Clocks:
    """RCC, FLASH and PWR of a family, and the rules between them."""

    def __init__(self, family: Family, watch: Watch, *, is_dead: bool):
        self._family, self._watch = family, watch
        self.flash = Registers("FLASH", family.flash)
        self.power = power = Registers("PWR", family.power, reset={0: 1 << 9, 0x80: 1 << 8})
        self.rcc = rcc = Registers("RCC", family.rcc, reset={0: family.on_at_reset})
        rcc.writes[family.switch[0]] = self._write_switch
        pll = family.multiplier[0][0]
        rcc.writes[pll] = self._write_pll
        self.flash.writes[0] = self._write_flash
        rcc.make_ready(0, {to: self._runs(on, is_dead=is_dead) for on, to in family.ready.items()})
        power.is_clocked = lambda: bool(rcc.field(*family.power_clock))

    def _runs(self, on: int, *, is_dead: bool) -> Callable[[], bool]:
        def tells() -> bool:
            if on == 24 and (is_dead or self._input_hz() == 0):
                return False
            return bool(self.rcc.field(0, on))

        return tells

    def _of(self, field: Field) -> int:
        return self.rcc.field(*field)

    def _input_hz(self) -> int:
        return self._family.inputs_hz.get(self._of(self._family.input_choice), 0)

    def _pll_hz(self) -> float:
        family = self._family
        (m, more_m), (n, more_n), (r, more_r) = (
            family.input_divider,
            family.multiplier,
            family.output_divider,
        )
        inside = self._input_hz() / (self._of(m) + more_m or 1) * (self._of(n) + more_n)
        return inside / ((self._of(r) + more_r) * family.output_step)

    def _system_hz(self) -> float:
        chosen = self._of(self._family.switched)
        if chosen == self._family.pll:
            return self._pll_hz()
        return self._family.sources_hz.get(chosen, 0)

    def core_hz(self) -> float:
        """The clock of the core, and of its bus to the flash."""
        return self.bus_hz()

    def bus_hz(self, bus: int = 0) -> float:
        """The clock of the bus to the flash, or of APB1 or APB2 behind it."""
        hz = self._system_hz()
        for field in (self._family.bus[0], *([self._family.bus[bus]] if bus else [])):
            hz /= _divider(self._of(field), field[2])
        return hz

    def _check(self) -> None:
        hz, family = self.core_hz(), self._family
        needed, waits = wait_states_for(round(hz), family.wait_hz), self.flash.field(0, 0, 4)
        self._watch.expect(
            waits >= needed,
            f"the core runs at {hz / MHZ:g} MHz with {waits} wait states, which needs {needed}",
        )
        allowed = min(family.voltage(self.power), family.most_hz)
        self._watch.expect(
            hz <= allowed,
            f"the core runs at {hz / MHZ:g} MHz, where the voltage allows {allowed / MHZ:g}",
        )

    def _write_switch(self, old: int, new: int) -> int:
        family = self._family
        _, low, width = family.switch
        at, low_of_switched, _ = family.switched
        mask = (1 << width) - 1
        chosen, before = new >> low & mask, old >> low_of_switched & mask
        is_ready = chosen != family.pll or bool(self.rcc.field(0, 25))
        self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        shown = (chosen if is_ready else before) << low_of_switched
        self.rcc[at] = new & ~(mask << low_of_switched) | shown
        if chosen == family.pll != before and family is _L4_PLUS and self.core_hz() > 80 * MHZ:
            self._watch.report("the core is switched above 80 MHz in one step")
        self._check()
        return self.rcc[at]

    def _write_pll(self, old: int, new: int) -> int:
        is_off = old == new or not self.rcc.field(0, 24)
        self._watch.expect(is_off, "the PLL is changed while it is on")
        return new

    def _write_flash(self, old: int, new: int) -> int:
        self.flash[0] = new
        self._check()
        return new


def make_stm32_pll(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32L4 or G0.

    Args:
        board: The board; its file says where its port is.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0351, RM0432 and RM0444, the sections beside each family.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32_pll(find_board("nucleo-l4r5zi"), Line(Watch()), Watch()).core_hz()
        4000000.0
    """
    family = next(found for part, found in FAMILIES.items() if board.mcu.startswith(part))
    clocks = _Clocks(family, watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        family.ports,
        "ABCDEFGHIJK",
        lambda letter: bool(rcc.field(family.port_clocks, ord(letter) - ord("A"))),
    )
    blocks = [rcc, clocks.flash, clocks.power, *ports]
    if board.port is not None:
        figures = board.port.figures
        functions = (figures["tx_function"], figures["rx_function"])
        pins = SerialPins(board, ports, functions, watch)
        bus = 2 if figures["base"] >= 0x40010000 else 1
        usart = make_usart(board.port.name, figures["base"], line, lambda: clocks.bus_hz(bus), pins)
        usart.is_clocked = lambda: bool(rcc.field(figures["clocks"], figures["clock_bit"]))
        blocks.append(usart)
    return ChipModel(blocks, clocks.core_hz, line, connect_lamp(board, ports))
