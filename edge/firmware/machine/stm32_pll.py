"""STM32L4, G0, U5 and H7: one PLL, whose clock asks for a voltage and for wait states."""

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
        power_clock: The bit that clocks the power control; None where it always runs.
        switch: SW, which chooses the core's clock.
        switched: SWS, which tells it.
        sources_hz: The clocks beside the PLL's, by their number in SW.
        pll: The PLL's number in SW.
        multiplier: N of the PLL, and what is added to it.
        input_divider: M of the PLL, and what is added to it.
        output_divider: The divider of the output that the core takes, and what is added to it.
        output_step: What a step of that divider counts.
        inputs_hz: The PLL's inputs, by their number; 0 for the board's clock.
        input_choice: The field with that number.
        ready: The bits of CR that are ready, by the bits that turn their clocks on.
        on_at_reset: CR out of reset.
        bus: The core's prescaler, and those of both buses, which fields of 3 or 4 bits hold.
        core: The prescaler before the bus; None where core and bus are one.
        wait_hz: The highest bus clock for no wait state, one, two and so on.
        most_hz: The highest core clock.
        voltage: Tells the highest core clock at the voltage that is chosen.
        voltage_ready: The bits that tell that the voltage is there: register, bit, and what it
            follows.
        others: Further peripherals, by their addresses.
    """

    rcc: int
    power: int
    flash: int
    ports: int
    port_clocks: int
    power_clock: tuple[int, int] | None
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
    core: Field | None
    wait_hz: tuple[int, ...]
    most_hz: int
    voltage: Callable[[Registers], int]
    voltage_ready: tuple[tuple[int, int, Callable[[Registers], bool]], ...] = ()
    others: tuple[tuple[str, int], ...] = ()


def _waits(*megahertz: int) -> tuple[int, ...]:
    return tuple(number * MHZ for number in megahertz)


def _l4_voltage(power: Registers) -> int:
    if power.field(0x00, 9, 2) != 1:
        return 26 * MHZ
    return 80 * MHZ if power.field(0x80, 8) else 120 * MHZ


def _u5_voltage(power: Registers) -> int:
    highest = {3: 160, 2: 110, 1: 55, 0: 25}[power.field(0x0C, 16, 2)] * MHZ
    return highest if power.field(0x0C, 14) else min(highest, 55 * MHZ)


def _h7_voltage(power: Registers) -> int:
    return {3: 480, 2: 300, 1: 200, 0: 0}[power.field(0x18, 14, 2)] * MHZ


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
    core=None,
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
# RM0456: 7.3.3 read latency, 10.5.4 voltage and booster, 11.4 clocks, 11.8 registers.
_U5 = dataclasses.replace(
    _L4,
    rcc=0x46020C00,
    power=0x46020800,
    ports=0x42020000,
    port_clocks=0x8C,
    power_clock=(0x94, 2),
    switch=(0x1C, 0, 2),
    switched=(0x1C, 2, 2),
    multiplier=((0x34, 0, 9), 1),
    input_divider=((0x28, 8, 4), 1),
    output_divider=((0x34, 24, 7), 1),
    output_step=1,
    input_choice=(0x28, 0, 2),
    ready={0: 2, 8: 10, 24: 25},
    on_at_reset=0x35,
    bus=((0x20, 0, 4), (0x20, 4, 3), (0x20, 8, 3)),
    wait_hz=_waits(32, 64, 96, 128, 160),
    most_hz=160 * MHZ,
    voltage=_u5_voltage,
    voltage_ready=(
        (0x0C, 15, lambda power: True),
        (0x0C, 14, lambda power: bool(power.field(0x0C, 18))),
    ),
    others=(("ICACHE", 0x40030400),),
)
# RM0433: 4.3.8 read latency, 6.6.2 voltage, 8.5 clocks, 8.7 registers.
_H7 = dataclasses.replace(
    _L4,
    rcc=0x58024400,
    power=0x58024800,
    flash=0x52002000,
    ports=0x58020000,
    port_clocks=0xE0,
    power_clock=None,
    switch=(0x10, 0, 3),
    switched=(0x10, 3, 3),
    sources_hz={0: 64 * MHZ, 2: 0},
    multiplier=((0x30, 0, 9), 1),
    input_divider=((0x28, 4, 6), 0),
    output_divider=((0x30, 9, 7), 1),
    output_step=1,
    inputs_hz={0: 64 * MHZ, 2: 0},
    input_choice=(0x28, 0, 2),
    ready={0: 2, 16: 17, 24: 25},
    on_at_reset=0x25,
    bus=((0x18, 0, 4), (0x1C, 4, 3), (0x1C, 8, 3)),
    core=(0x18, 8, 4),
    wait_hz=_waits(70, 140, 210, 225, 240),
    most_hz=480 * MHZ,
    voltage=_h7_voltage,
    voltage_ready=((0x04, 13, lambda power: True), (0x18, 13, lambda power: True)),
    others=(("SYSCFG", 0x58000400),),
)
FAMILIES = {
    "STM32L47": _L4,
    "STM32L4R": _L4_PLUS,
    "STM32G0": _G0,
    "STM32U5": _U5,
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

    def __init__(self, family: Family, board: Board, watch: Watch, *, is_dead: bool):
        self._family, self._watch = family, watch
        self._hse_hz = board.chip.figures.get("hse_hz", 0)
        # The flash of the H7 comes out of reset with seven wait states.
        self.flash = Registers("FLASH", family.flash, reset={0: 7 if family is _H7 else 0})
        self.power = power = Registers("PWR", family.power, reset={0: 1 << 9, 0x80: 1 << 8})
        if family is _H7:
            power[0x18] = 1 << 14
        self.rcc = rcc = Registers("RCC", family.rcc, reset={0: family.on_at_reset})
        rcc.writes[family.switch[0]] = self._write_switch
        rcc.writes.setdefault(family.bus[0][0], self._write_bus)
        pll = family.multiplier[0][0]
        rcc.writes[pll] = self._write_pll
        self.flash.writes[0] = self._write_flash
        rcc.make_ready(0, {to: self._runs(on, is_dead=is_dead) for on, to in family.ready.items()})
        for at in {at for at, _, _ in family.voltage_ready}:
            bits = {bit: tells for where, bit, tells in family.voltage_ready if where == at}
            power.make_ready(
                at,
                {bit: lambda tells=tells: tells(power) for bit, tells in bits.items()},  # type: ignore[misc]
            )
        if family.power_clock is not None:
            register, bit = family.power_clock
            power.is_clocked = lambda: bool(rcc.field(register, bit))

    def _runs(self, on: int, *, is_dead: bool) -> Callable[[], bool]:
        def tells() -> bool:
            if on == 24 and (is_dead or self._input_hz() == 0):
                return False
            if on == 16 and (is_dead or self._hse_hz == 0):
                return False
            return bool(self.rcc.field(0, on))

        return tells

    def _of(self, field: Field) -> int:
        return self.rcc.field(*field)

    def _input_hz(self) -> int:
        choice = self._of(self._family.input_choice)
        hz = self._family.inputs_hz.get(choice, 0)
        return hz or (self._hse_hz if self._family is _H7 and choice == 2 else 0)

    def _pll_hz(self) -> float:
        family = self._family
        (m, more_m), (n, more_n), (r, more_r) = (
            family.input_divider,
            family.multiplier,
            family.output_divider,
        )
        inside = self._input_hz() / (self._of(m) + more_m or 1) * (self._of(n) + more_n)
        return inside / ((self._of(r) + more_r) * family.output_step)

    def system_hz(self) -> float:
        """The clock before all prescalers."""
        chosen = self._of(self._family.switched)
        if chosen == self._family.pll:
            return self._pll_hz()
        return self._family.sources_hz.get(chosen, 0) or self._hse_hz

    def core_hz(self) -> float:
        """The clock of the core."""
        if self._family.core is None:
            return self.bus_hz()
        return self.system_hz() / _divider(self._of(self._family.core), 4)

    def bus_hz(self, bus: int = 0) -> float:
        """The clock of the bus to the flash, or of APB1 or APB2 behind it."""
        core = self._family.core
        hz = self.system_hz() / (1 if core is None else _divider(self._of(core), 4))
        for field in (self._family.bus[0], *([self._family.bus[bus]] if bus else [])):
            hz /= _divider(self._of(field), field[2])
        return hz

    def _check(self) -> None:
        hz, family = self.core_hz(), self._family
        needed, waits = (
            wait_states_for(round(self.bus_hz()), family.wait_hz),
            self.flash.field(0, 0, 4),
        )
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

    def _write_bus(self, old: int, new: int) -> int:
        self.rcc[self._family.bus[0][0]] = new
        self._check()
        return new

    def _write_pll(self, old: int, new: int) -> int:
        is_off = old == new or not self.rcc.field(0, 24)
        self._watch.expect(is_off, "the PLL is changed while it is on")
        return new

    def _write_flash(self, old: int, new: int) -> int:
        self.flash[0] = new
        self._check()
        return new


def make_stm32_pll(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32L4, G0, U5 or H7.

    Args:
        board: The board; its file says where its port is.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0351, RM0432, RM0444, RM0456 and RM0433, the sections beside each
        family.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32_pll(find_board("nucleo-l4r5zi"), Line(Watch()), Watch()).core_hz()
        4000000.0
    """
    family = next(found for part, found in FAMILIES.items() if board.mcu.startswith(part))
    clocks = _Clocks(family, board, watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        family.ports,
        "ABCDEFGHIJK",
        lambda letter: bool(rcc.field(family.port_clocks, ord(letter) - ord("A"))),
    )
    blocks = [rcc, clocks.flash, clocks.power, *ports]
    blocks += [Registers(name, base) for name, base in family.others]
    if board.port is not None:
        figures = board.port.figures
        functions = (figures["tx_function"], figures["rx_function"])
        pins = SerialPins(board, ports, functions, watch)
        bus = 2 if figures["base"] >= 0x40010000 else 1
        usart = make_usart(board.port.name, figures["base"], line, lambda: clocks.bus_hz(bus), pins)
        usart.is_clocked = lambda: bool(rcc.field(figures["clocks"], figures["clock_bit"]))
        blocks.append(usart)
    return ChipModel(blocks, clocks.core_hz, line, connect_lamp(board, ports))
