"""Nordic's nRF51, nRF52 and nRF53: crystal, serial port, pins, and the lock of the debug port."""

from __future__ import annotations

from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.chip import ChipModel, Memory
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.watch import Watch

START, STARTED, OPENED = 0x000, 0x100, 0x558
START_RX, START_TX, RECEIVED, SENT = 0x000, 0x008, 0x108, 0x11C
ENABLE, TX_PIN, RX_PIN, RXD, TXD, BAUD = 0x500, 0x50C, 0x514, 0x518, 0x51C, 0x524
PINS_OF_UART = range(0x508, 0x518, 4)
UART_ON, OPEN = 4, 0x5A
OUT, OUT_SET, OUT_CLEAR, DIR, DIR_SET, PINS = 0x00, 0x04, 0x08, 0x10, 0x14, 0x1FC
NVMC_READY, NVMC_CONFIG, APPROTECT, REVISION_OF, REVISION = 0x400, 0x504, 0x208, 0x130, 0x134
ERASED = 0xFFFFFFFF

# Of the nRF5340's application core, as its secure code sees it.
CLOCK, DIVIDER, TRIMS, TRIM_PLACE = 0x50005000, 0x558, 0x300, 0xF00
LOCKS = {"": (0x000, 0x544), "secure ": (0x01C, 0x54C)}
"""Which settings and which bits of the control access port open its debug ports."""
OPEN_WORD = 0x50FA50FA
STOP_RX, RX_ENDED, TX_ENDED, RX_STOPPED = 0x004, 0x110, 0x120, 0x144
RX_PLACE, RX_BYTES, TX_PLACE, TX_BYTES, UARTE_ON = 0x534, 0x538, 0x544, 0x548, 8


def make_nordic(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes an nRF51 or nRF52.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether the crystal does not come up; the core runs at full speed without it.

    Returns:
        The model.

    Source:
        Nordic nRF52840 Product Specification v1.7: CLOCK, UART, GPIO, NVMC, UICR; nRF51 Series
        Reference Manual v3.0.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_nordic(find_board("microbit-v2"), Line(Watch()), Watch()).core_hz()
        64000000
    """
    is_nrf51 = board.mcu.upper().startswith("NRF51")
    clock = Registers("CLOCK", 0x40000000, 0x1000)
    clock.make_ready(STARTED, {0: lambda: bool(clock[START]) and not is_dead})
    ports = [_port("P0", 0x50000504), _port("P1", 0x50000804)]
    blocks = [clock, *ports[: 1 if is_nrf51 else 2]]
    is_open = [is_nrf51]
    if not is_nrf51:
        blocks += _memories(board, clock, watch, is_open)
    if board.port is not None:
        blocks.append(_uart(board, line, watch, clock, is_open))
    return ChipModel(
        blocks, lambda: 16_000_000 if is_nrf51 else 64_000_000, line, _lamp(board, ports)
    )


def _port(name: str, base: int) -> Registers:
    port = Registers(name, base, 0x27C)
    port.writes[OUT_SET] = lambda old, new: _put(port, OUT, port[OUT] | new)
    port.writes[OUT_CLEAR] = lambda old, new: _put(port, OUT, port[OUT] & ~new)
    port.writes[DIR_SET] = lambda old, new: _put(port, DIR, port[DIR] | new)
    return port


def _put(port: Registers, offset: int, value: int) -> int:
    port.write(offset, value)
    return 0


def _lamp(board: Board, ports: list[Registers]) -> Lamp:
    lamp = Lamp()
    if board.led is not None:
        pin, level = board.led.figures["pin"], board.led.figures["level"]
        port = ports[pin // 32]

        def follow(old: int, new: int) -> int:
            if port[DIR] >> pin % 32 & 1:
                lamp.set((new >> pin % 32 & 1) == level)
            return new

        port.writes[OUT] = follow
    return lamp


def _memories(board: Board, clock: Registers, watch: Watch, is_open: list[bool]) -> list[Registers]:
    """The flash's control, and the pages of facts and of settings beside the flash."""
    control = Registers("NVMC", 0x4001E000, 0x1000, reset={NVMC_READY: 1})
    figures = board.chip.figures
    facts = {REVISION_OF: figures["revision_of"], REVISION: figures["hardened_from"]}
    settings = Registers("UICR", 0x10001000, 0x1000, reset={APPROTECT: ERASED})

    def keep(old: int, new: int) -> int:
        watch.expect(control[NVMC_CONFIG] == 1, "UICR is written while writing is not enabled")
        return old & new

    def open_port(old: int, new: int) -> int:
        is_open[0] = new == OPEN and settings[APPROTECT] & 0xFF == OPEN
        return new

    settings.writes[APPROTECT] = keep
    clock.writes[OPENED] = open_port
    return [control, Registers("FICR", 0x10000000, 0x1000, reset=facts), settings]


def _uart(
    board: Board, line: Line, watch: Watch, clock: Registers, is_open: list[bool]
) -> Registers:
    assert board.port is not None, "the caller has a serial port"
    figures = board.port.figures
    uart = Registers("UART0", 0x40002000, 0x1000)

    def send(old: int, new: int) -> int:
        if uart[ENABLE] == UART_ON and uart[START_TX]:
            watch.expect(bool(clock[STARTED] & 1), "the port sends before the crystal runs")
            watch.expect(is_open[0], "the debug port of hardened silicon is left closed")
            for name, offset, pin in (("TX", TX_PIN, "tx_pin"), ("RX", RX_PIN, "rx_pin")):
                watch.expect(uart[offset] == figures[pin], f"{name} is on another pin")
            line.put(new, uart[BAUD] * 16_000_000 / 2**32)
            uart[SENT] = 1
        return 0

    uart.reads[RECEIVED] = lambda: int(bool(uart[START_RX]) and line.has_byte())
    uart.reads[RXD] = line.take
    uart.writes[TXD] = send
    _watch_pins(uart, watch)
    return uart


def make_nrf53(board: Board, line: Line, watch: Watch, *, is_dead: bool = False) -> ChipModel:
    """Makes the application core of an nRF5340, in the secure state of its reset.

    Args:
        board: The board.
        line: The serial line behind its port.
        watch: Where violations are noted.
        is_dead: Whether the crystal does not come up.

    Returns:
        The model.

    Source:
        Nordic nRF5340 Product Specification v1.3: FICR (TRIMCNF), UICR, CTRL-AP, CLOCK (HFCLKCTRL),
        UARTE, GPIO, NVMC and EasyDMA.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> make_nrf53(find_board("nrf5340-dk"), Line(Watch()), Watch()).core_hz()
        64000000
    """
    # Which registers the factory trims, and how, differs from chip to chip: one stands for all.
    trim = {TRIMS: CLOCK + TRIM_PLACE, TRIMS + 4: 0x5A17, TRIMS + 8: ERASED}
    facts = Registers("FICR", 0x00FF0000, 0x1000, reset=trim)
    clock = Registers("CLOCK", CLOCK, 0x1000, reset={DIVIDER: 1})
    clock.make_ready(STARTED, {0: lambda: bool(clock[START]) and not is_dead})

    def divide(old: int, new: int) -> int:
        watch.expect(new <= 1, f"the core's clock is divided by the reserved {new}")
        is_trimmed = clock[TRIM_PLACE] == facts[TRIMS + 4]
        watch.expect(is_trimmed, "the core's clock rises before the factory's trims are written")
        return new

    clock.writes[DIVIDER] = divide
    ports = [_port("P0", 0x50842504), _port("P1", 0x50842804)]
    settings, lock = _locks(watch)
    blocks = [facts, clock, *settings, lock, Registers("CACHE", 0x50001000, 0x1000), *ports]
    memory = Memory()
    if board.port is not None:

        def check() -> None:
            watch.expect(bool(clock[STARTED] & 1), "the port sends before the crystal runs")
            for name, (setting, disable) in LOCKS.items():
                is_open = settings[1][setting] == lock[disable] == OPEN_WORD
                watch.expect(is_open, f"the {name}debug port is left closed")

        blocks.append(_uarte(board, line, watch, memory, check))
    return ChipModel(
        blocks=blocks,
        core_hz=lambda: 128_000_000 >> clock.field(DIVIDER, 0, 2),
        line=line,
        lamp=_lamp(board, ports),
        memory=memory,
    )


def _locks(watch: Watch) -> tuple[list[Registers], Registers]:
    """The flash's control with the settings that it writes, and the control access port."""
    control = Registers("NVMC", 0x50039000, 0x1000, reset={NVMC_READY: 1})
    erased = {setting: ERASED for setting, _ in LOCKS.values()}
    settings = Registers("UICR", 0x00FF8000, 0x1000, reset=erased)

    def keep(old: int, new: int) -> int:
        watch.expect(control[NVMC_CONFIG] == 1, "UICR is written while writing is not enabled")
        return old & new

    settings.writes |= dict.fromkeys(erased, keep)
    return [control, settings], Registers("CTRL-AP", 0x50006000, 0x1000)


def _uarte(
    board: Board, line: Line, watch: Watch, memory: Memory, check: Callable[[], None]
) -> Registers:
    """A port that reads and writes memory by itself, and only RAM."""
    assert board.port is not None, "the caller has a serial port"
    figures = board.port.figures
    uarte = Registers("UARTE0", 0x50008000, 0x1000)

    def is_given_ram(place: int, count: int) -> bool:
        start = uarte[place]
        is_ram = any(
            bank.address <= start and start + uarte[count] <= bank.address + bank.bytes
            for bank in board.ram
        )
        watch.expect(is_ram, f"the port is given 0x{start:08x}, which it cannot reach")
        return is_ram

    def send(old: int, new: int) -> int:
        if new and uarte[ENABLE] == UARTE_ON:
            check()
            for name, offset, pin in (("TX", TX_PIN, "tx_pin"), ("RX", RX_PIN, "rx_pin")):
                watch.expect(uarte[offset] == figures[pin], f"{name} is on another pin")
            if is_given_ram(TX_PLACE, TX_BYTES):
                for byte in memory.read(uarte[TX_PLACE], uarte[TX_BYTES]):
                    line.put(byte, uarte[BAUD] * 16_000_000 / 2**32)
                uarte[TX_ENDED] = 1
        return 0

    def receive(old: int, new: int) -> int:
        watch.expect(not old, "the port is to receive while it does")
        return int(uarte[ENABLE] == UARTE_ON and is_given_ram(RX_PLACE, RX_BYTES))

    def has_received() -> int:
        # Whoever asks for one byte at a time has the event with it.
        if uarte[START_RX] and not uarte[RX_ENDED] and line.has_byte():
            memory.write(uarte[RX_PLACE], bytes([line.take()]))
            uarte[START_RX], uarte[RX_ENDED] = 0, 1
        return uarte[RX_ENDED]

    def stop(old: int, new: int) -> int:
        uarte[START_RX], uarte[RX_STOPPED] = 0, 1
        return 0

    def enable(old: int, new: int) -> int:
        watch.expect(not uarte[START_RX], "the port is switched while it receives")
        return new

    uarte.reads[RX_ENDED] = has_received
    uarte.writes |= {START_TX: send, START_RX: receive, STOP_RX: stop, ENABLE: enable}
    _watch_pins(uarte, watch)
    return uarte


def _watch_pins(uart: Registers, watch: Watch) -> None:
    def choose(old: int, new: int) -> int:
        watch.expect(not uart[ENABLE], "a pin is chosen while the port is on")
        return new

    uart.writes |= dict.fromkeys(PINS_OF_UART, choose)
