"""STM32L4, L4+ and G0: the ranges of the voltage, and what each allows of PLL, core and flash."""

from __future__ import annotations

import dataclasses
from functools import partial

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel
from edge.firmware.machine.line import Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.stm32_io import SerialPins, connect_lamp, make_ports, make_usart
from edge.firmware.machine.stm32f4 import AHB_DIVIDERS, APB_DIVIDERS
from edge.firmware.machine.watch import Watch, wait_states_for

MHZ = 1_000_000
HSI_HZ, ONE_STEP_HZ = 16 * MHZ, 80 * MHZ
MSI_HZ = [100_000 * 2**step for step in range(4)] + [number * MHZ for number in (1, 2, 4, 8, 16)]
MSI_HZ += [24 * MHZ, 32 * MHZ, 48 * MHZ]
MSI_AT_RESET = 6
CR, CFGR, PLLCFGR = 0x00, 0x08, 0x0C
PWR_CR1, PWR_CR2, PWR_SR2, PWR_CR5 = 0x00, 0x04, 0x14, 0x80
NORMAL_MODE, PORT_G_POWER = 8, 9
MSI, HSI, HSE, PLL = (0, 1), (8, 10), (16, 17), (24, 25)
"""The bits of CR that switch a clock on, and that tell that it is ready."""
FIRST, SECOND, BOOST = 1, 2, 0
"""The ranges of the voltage as VOS counts them, and the first with its boost."""
LOOKS = 3
"""How many looks at its flag the voltage takes on its way up."""
Field = tuple[int, int]
"""The lowest bit and the number of bits."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where a family has what.

    Attributes:
        ports: The address of port A.
        port_clocks: The offset of the register that clocks the ports.
        power_clock: The register and the bit that clock the power control.
        switch: SW of CFGR, which chooses the core's clock; SWS follows it.
        sources: The clocks by their number in SW.
        inputs: The PLL's inputs by their number in PLLSRC.
        prescalers: HPRE, and the prescalers of APB1 and APB2, of CFGR.
        output: R of PLLCFGR.
        output_step: What a step of it counts.
        output_on: The bit that lets the output out.
        control: CR out of reset.
    """

    ports: int
    port_clocks: int
    power_clock: tuple[int, int]
    switch: Field
    sources: dict[int, tuple[int, int]]
    inputs: dict[int, tuple[int, int]]
    prescalers: tuple[Field, Field, Field]
    output: Field
    output_step: int
    output_on: int
    control: int


@dataclasses.dataclass(frozen=True)
class Range:
    """What is allowed at a voltage.

    Attributes:
        wait_hz: The highest core clock for no wait state, one, two and so on; the last is the
            highest of all, and of the PLL's output.
        vco_hz: The lowest and highest clock of the PLL's oscillator.
    """

    wait_hz: tuple[int, ...]
    vco_hz: tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a part's manual and data sheet allow.

    Attributes:
        layout: Where its family has what.
        ranges: What each range of the voltage allows.
        input_hz: The lowest and highest clock that the PLL multiplies.
        divider: M of PLLCFGR.
        most: The highest N; the lowest is 8.
    """

    layout: Layout
    ranges: dict[int, Range]
    input_hz: tuple[int, int]
    divider: Field
    most: int


def _range(megahertz: tuple[int, ...], lowest: int, highest: int) -> Range:
    return Range(tuple(number * MHZ for number in megahertz), (lowest * MHZ, highest * MHZ))


_L4 = Layout(
    ports=0x48000000,
    port_clocks=0x4C,
    power_clock=(0x58, 28),
    switch=(0, 2),
    sources={0: MSI, 1: HSI, 2: HSE, 3: PLL},
    inputs={1: MSI, 2: HSI, 3: HSE},
    prescalers=((4, 4), (8, 3), (11, 3)),
    output=(25, 2),
    output_step=2,
    output_on=24,
    control=0x63,
)
_G0 = Layout(
    ports=0x50000000,
    port_clocks=0x34,
    power_clock=(0x3C, 28),
    switch=(0, 3),
    sources={0: HSI, 1: HSE, 2: PLL},
    inputs={2: HSI, 3: HSE},
    prescalers=((8, 4), (12, 3), (12, 3)),
    output=(29, 3),
    output_step=1,
    output_on=28,
    control=0x500,
)
# RM0351, 3.3.3 read latency, 5.1.7 voltage scaling, 6.4.4 PLLCFGR; DS10198, PLL characteristics.
_L47 = Limits(
    layout=_L4,
    ranges={
        FIRST: _range((16, 32, 48, 64, 80), 64, 344),
        SECOND: _range((6, 12, 18, 26), 64, 128),
    },
    input_hz=(4 * MHZ, 16 * MHZ),
    divider=(4, 3),
    most=86,
)
L4_LIMITS = {
    "STM32L47": _L47,
    # RM0432, the same sections, and the boost of the first range; DS12023.
    "STM32L4R": dataclasses.replace(
        _L47,
        ranges={
            BOOST: _range((20, 40, 60, 80, 100, 120), 64, 344),
            FIRST: _range((20, 40, 60, 80), 64, 344),
            SECOND: _range((8, 16, 26), 64, 128),
        },
        divider=(4, 4),
        most=127,
    ),
    # RM0444, 3.3.4 read latency, 4.1.4 voltage scaling, 5.4.4 PLLCFGR; DS13560.
    "STM32G0": Limits(
        layout=_G0,
        ranges={FIRST: _range((24, 48, 64), 96, 344), SECOND: _range((8, 16), 96, 128)},
        input_hz=(2_660_000, 16 * MHZ),
        divider=(4, 3),
        most=86,
    ),
}


class _Power:
    """PWR: its range holds once its flag was looked at often enough."""

    def __init__(self, limits: Limits, watch: Watch):
        self._limits, self._watch, self._looks = limits, watch, LOOKS
        reset = {PWR_CR1: FIRST << 9, PWR_CR5: 1 << NORMAL_MODE}
        self.registers = Registers("PWR", 0x40007000, reset=reset)
        self.registers.reads[PWR_SR2] = self._tell

    def _tell(self) -> int:
        self._looks = min(self._looks + 1, LOOKS)
        return 0 if self._looks == LOOKS else 1 << 10

    def scale(self, old: int, new: int) -> None:
        """Follows a write of CR1."""
        asked, before = new >> 9 & 3, old >> 9 & 3
        self._watch.expect(asked in (FIRST, SECOND), "VOS holds a reserved value")
        if (before, asked) == (SECOND, FIRST):
            self._looks = 0

    @property
    def range(self) -> Range:
        """The range that the core has for certain."""
        ranges = self._limits.ranges
        if self.registers.field(PWR_CR1, 9, 2) != FIRST or self._looks < LOOKS:
            return ranges[SECOND]
        has_boost = BOOST in ranges and not self.registers.field(PWR_CR5, NORMAL_MODE)
        return ranges[BOOST if has_boost else FIRST]


class _Clocks:
    """RCC and FLASH, and the rules between them and the voltage."""

    def __init__(self, limits: Limits, hse_hz: int, watch: Watch, *, is_dead: bool):
        self._limits, self._hse_hz, self._watch = limits, hse_hz, watch
        self._layout = layout = limits.layout
        self._power = _Power(limits, watch)
        self.power = power = self._power.registers
        self.flash = Registers("FLASH", 0x40022000)
        # The PLL of the L4 multiplies by 16 at first, and its output is off.
        self.rcc = rcc = Registers("RCC", 0x40021000, reset={CR: layout.control, PLLCFGR: 0x1000})
        power.is_clocked = lambda: bool(rcc.field(*layout.power_clock))
        rcc.writes |= {CR: self._write_control, CFGR: self._write_config, PLLCFGR: self._write_pll}
        self.flash.writes[0] = partial(self._follow, self.flash, 0)
        power.writes |= {PWR_CR1: self._write_scale, PWR_CR5: partial(self._follow, power, PWR_CR5)}
        self._lives = {*layout.sources.values()} if not is_dead else {layout.sources[0]}
        clocks = {*layout.sources.values(), *layout.inputs.values()}
        rcc.make_ready(CR, {clock[1]: partial(self._runs, clock) for clock in clocks})

    def _runs(self, clock: tuple[int, int]) -> bool:
        is_there = clock in self._lives and (clock != HSE or self._hse_hz > 0)
        return is_there and bool(self.rcc.field(CR, clock[0]))

    def _is_ready(self, clock: tuple[int, int] | None) -> bool:
        return clock is not None and bool(self.rcc.field(CR, clock[1]))

    def _source_hz(self, clock: tuple[int, int] | None) -> float:
        is_chosen = self.rcc.field(CR, 3)
        step = self.rcc.field(CR, 4, 4) if is_chosen else MSI_AT_RESET
        msi_hz = MSI_HZ[step] if step < len(MSI_HZ) else 0
        return {MSI: msi_hz, HSI: HSI_HZ, HSE: self._hse_hz}.get(clock or PLL, 0)

    @property
    def _pll_source(self) -> tuple[int, int] | None:
        return self._layout.inputs.get(self.rcc.field(PLLCFGR, 0, 2))

    def _pll_input_hz(self) -> float:
        return self._source_hz(self._pll_source) / (
            self.rcc.field(PLLCFGR, *self._limits.divider) + 1
        )

    def _vco_hz(self) -> float:
        return self._pll_input_hz() * self.rcc.field(PLLCFGR, 8, 7)

    def _pll_hz(self) -> float:
        layout = self._layout
        divider = (self.rcc.field(PLLCFGR, *layout.output) + 1) * layout.output_step
        return self._vco_hz() / divider if self.rcc.field(PLLCFGR, layout.output_on) else 0

    @property
    def _clock(self) -> tuple[int, int] | None:
        """The clock that the core runs on."""
        low, width = self._layout.switch
        return self._layout.sources.get(self.rcc.field(CFGR, low + width, width))

    def core_hz(self) -> float:
        """The clock of the core, and of the flash."""
        clock = self._clock
        hz = self._pll_hz() if clock == PLL else self._source_hz(clock)
        if clock == HSI and self._layout is _G0:
            hz /= 2 ** self.rcc.field(CR, 11, 3)
        return hz / AHB_DIVIDERS.get(self.rcc.field(CFGR, *self._layout.prescalers[0]), 1)

    def bus_hz(self, bus: int) -> float:
        """The clock of APB1 or APB2; both may be as fast as the core."""
        field = self._layout.prescalers[bus]
        return self.core_hz() / APB_DIVIDERS.get(self.rcc.field(CFGR, *field), 1)

    def _follow(self, block: Registers, at: int, old: int, new: int) -> int:
        block[at] = new
        self._check()
        return new

    def _check(self) -> None:
        """Everything that depends on how fast the core runs now."""
        hz, wait_hz = self.core_hz(), self._power.range.wait_hz
        needed, found = wait_states_for(round(hz), wait_hz), self.flash.field(0, 0, 4)
        at = f"the core runs at {hz / MHZ:g} MHz"
        self._watch.expect(
            found >= min(needed, len(wait_hz) - 1),
            f"{at} with {found} wait states, which needs {needed}",
        )
        most = wait_hz[-1]
        self._watch.expect(hz <= most, f"{at}, where the voltage allows {most / MHZ:g}")

    def _write_control(self, old: int, new: int) -> int:
        used = [clock for clock in (self._clock,) if clock is not None]
        if PLL in used and self._pll_source is not None:
            used.append(self._pll_source)
        is_kept = all(new >> clock[0] & 1 for clock in used)
        self._watch.expect(is_kept, "the clock in use is switched off")
        if self._layout is _L4 and (old ^ new) >> 3 & 0x1F:
            is_free = not old & 1 or bool(old >> 1 & 1)
            self._watch.expect(is_free, "MSI's range is changed before MSI is ready")
        if new >> 24 & 1 and not old >> 24 & 1:
            is_ready = self._is_ready(self._pll_source)
            self._watch.expect(is_ready, "the PLL is started before its source")
            self._check_pll()
        return self._follow(self.rcc, CR, old, new)

    def _check_pll(self) -> None:
        expect, now = self._watch.expect, self._power.range
        given, inside, out = self._pll_input_hz(), self._vco_hz(), self._pll_hz()
        low, high = self._limits.input_hz
        what = f"the PLL is given {given / MHZ:g} MHz, not {low / MHZ:g} to {high / MHZ:g}"
        expect(low <= given <= high, what)
        times = self.rcc.field(PLLCFGR, 8, 7)
        is_right = 8 <= times <= self._limits.most
        expect(is_right, f"the PLL multiplies by {times}, not by 8 to {self._limits.most}")
        low, high = now.vco_hz
        what = f"the PLL's oscillator runs at {inside / MHZ:g} MHz, not {low / MHZ:g} to "
        expect(low <= inside <= high, f"{what}{high / MHZ:g}")
        most = now.wait_hz[-1]
        expect(out <= most, f"the PLL gives {out / MHZ:g} MHz, {most / MHZ:g} are allowed")

    def _write_pll(self, old: int, new: int) -> int:
        is_off = old == new or not self.rcc.field(CR, PLL[0])
        self._watch.expect(is_off, "the PLL is changed while it is on")
        return new

    def _write_config(self, old: int, new: int) -> int:
        low, width = self._layout.switch
        mask, before = (1 << width) - 1, self.core_hz()
        chosen = new >> low & mask
        clock = self._layout.sources.get(chosen)
        is_ready = self._is_ready(clock)
        self._watch.expect(is_ready, "the core is switched to a clock that is not ready")
        has_output = clock != PLL or bool(self.rcc.field(PLLCFGR, self._layout.output_on))
        self._watch.expect(has_output, "the core is switched to an output of the PLL that is off")
        # A core follows its switch only to a clock that runs.
        shown = chosen if is_ready else old >> (low + width) & mask
        self.rcc[CFGR] = new & ~(mask << (low + width)) | shown << (low + width)
        is_step = before * 2 < self.core_hz() > ONE_STEP_HZ
        self._watch.expect(not is_step, "the core is switched above 80 MHz in one step")
        return self._follow(self.rcc, CFGR, old, self.rcc[CFGR])

    def _write_scale(self, old: int, new: int) -> int:
        self._power.scale(old, new)
        self.power[PWR_CR1] = new
        if self.rcc.field(CR, PLL[0]):
            self._check_pll()
        return self._follow(self.power, PWR_CR1, old, new)


def make_stm32l4(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an STM32L4, L4+ or G0.

    Args:
        board: The board; its file says where its port is.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether no clock but that of reset comes up.

    Returns:
        The model.

    Source:
        STMicroelectronics RM0351, RM0432 and RM0444: the sections beside each part, and RCC, PWR
        and FLASH registers.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_stm32l4(find_board("nucleo-l4r5zi"), Line(Watch()), Watch()).core_hz()
        4000000.0
    """
    limits = next(found for part, found in L4_LIMITS.items() if board.mcu.startswith(part))
    layout, hse_hz = limits.layout, board.chip.figures.get("hse_hz", 0)
    clocks = _Clocks(limits, hse_hz, watch, is_dead=is_dead)
    rcc = clocks.rcc
    ports = make_ports(
        layout.ports,
        "ABCDEFGHI",
        lambda letter: bool(rcc.field(layout.port_clocks, ord(letter) - ord("A"))),
    )
    if layout is _L4:
        _watch_port_g(ports["ABCDEFGHI".index("G")], clocks.power, watch)
    blocks = [rcc, clocks.flash, clocks.power, *ports]
    if board.port is not None:
        figures = board.port.figures
        pins = SerialPins(board, ports, (figures["tx_function"], figures["rx_function"]), watch)
        bus = 2 if figures["base"] >= 0x40010000 else 1
        usart = make_usart(board.port.name, figures["base"], line, lambda: clocks.bus_hz(bus), pins)
        usart.is_clocked = lambda: bool(rcc.field(figures["clocks"], figures["clock_bit"]))
        blocks.append(usart)
    return ChipModel(blocks, clocks.core_hz, line, connect_lamp(board, ports))


def _watch_port_g(port: Registers, power: Registers, watch: Watch) -> None:
    """Most pins of port G have their own supply, cut off until firmware says that it is there."""

    def choose(old: int, new: int) -> int:
        is_supplied = bool(power.field(PWR_CR2, PORT_G_POWER))
        watch.expect(is_supplied, "port G is used before its supply is let in")
        return new

    port.writes[0] = choose
