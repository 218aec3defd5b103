"""STM32: pins, serial ports of both kinds, and the light, as every family has them."""

from __future__ import annotations

from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.chip import pin_of
from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers
from edge.firmware.machine.watch import Watch

MODER, ODR, BSRR, AFRL, BRR = 0x00, 0x14, 0x18, 0x20, 0x28
OUTPUT, ALTERNATE = 1, 2
RECEIVED, SENT, ROOM = 1 << 5, 1 << 6, 1 << 7
OVERSAMPLES_BY_8 = 1 << 15
LOW_POWER_RATIO = 256
"""An LPUART divides its clock in steps of 1/256."""


def make_ports(base: int, letters: str, is_clocked: Callable[[str], bool]) -> list[Registers]:
    """Makes the ports of pins.

    Args:
        base: The address of port A; the others follow every KiB.
        letters: The letters of the ports that the chip has.
        is_clocked: Tells whether the clock of the port with a letter runs.

    Returns:
        The ports.

    Example:
        >>> ports = make_ports(0x40020000, "AB", lambda letter: True)
        >>> ports[0].write(0x18, 1 << 5)
        >>> ports[0][0x14]
        32
    """
    ports = []
    for letter in letters:
        port = Registers(f"GPIO{letter}", base + 0x400 * (ord(letter) - ord("A")))
        port.is_clocked = lambda letter=letter: is_clocked(letter)  # type: ignore[misc]

        def set_and_reset(old: int, new: int, port: Registers = port) -> int:
            port.write(ODR, port[ODR] & ~(new >> 16) | new & 0xFFFF)
            return 0

        def reset(old: int, new: int, port: Registers = port) -> int:
            port.write(ODR, port[ODR] & ~new)
            return 0

        port.writes |= {BSRR: set_and_reset, BRR: reset}
        ports.append(port)
    return ports


def connect_lamp(board: Board, ports: list[Registers]) -> Lamp:
    """Makes the board's light, which follows its pin.

    Args:
        board: The board; its light's name holds the pin, and its figures whether high is on.
        ports: The ports.

    Returns:
        The light.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> connect_lamp(find_board("mps2-an386"), []).is_on
        False
    """
    lamp = Lamp()
    if board.led is None:
        return lamp
    letter, pin = pin_of(board.led.name)
    port = next(port for port in ports if port.name == f"GPIO{letter}")
    is_high = bool(board.led.figures.get("is_high", 1))

    def follow(old: int, new: int) -> int:
        if port.field(MODER, 2 * pin, 2) == OUTPUT:
            lamp.set(bool(new >> pin & 1) == is_high)
        return new

    port.writes[ODR] = follow
    return lamp


class SerialPins:
    """Whether the pins of a board's port are the port's.

    Args:
        board: The board.
        ports: The ports.
        functions: The alternate function that the pins need, TX first.
        watch: Where a wrong pin is noted.
    """

    def __init__(
        self, board: Board, ports: list[Registers], functions: tuple[int, int], watch: Watch
    ):
        assert board.port is not None, "the caller has a serial port"
        self._watch = watch
        self._wanted = []
        pins = (board.port.tx, board.port.rx)
        for name, text, function in zip(("TX", "RX"), pins, functions, strict=True):
            letter, pin = pin_of(text)
            port = next(port for port in ports if port.name == f"GPIO{letter}")
            self._wanted.append((name, port, pin, function))

    def check(self) -> None:
        """Notes a pin that is not in its alternate function."""
        for name, port, pin, function in self._wanted:
            found = port.field(AFRL + 4 * (pin // 8), 4 * (pin % 8), 4)
            is_right = port.field(MODER, 2 * pin, 2) == ALTERNATE and found == function
            what = f"{name} (P{port.name[-1]}{pin}) is not in alternate function {function}"
            self._watch.expect(is_right, what)


def make_old_usart(
    name: str, base: int, line: Line, hz: Callable[[], float], pins: SerialPins
) -> Registers:
    """Makes a serial port with one data register, as of the STM32F4.

    Args:
        name: Its name.
        base: Its address.
        line: The line behind it.
        hz: Its clock, in Hz.
        pins: Its pins.

    Returns:
        The registers.

    Source:
        STMicroelectronics RM0390, 25.6, USART registers.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> board, watch = find_board("nucleo-f446re"), Watch()
        >>> ports = make_ports(0x40020000, "A", lambda letter: True)
        >>> pins = SerialPins(board, ports, (7, 7), watch)
        >>> usart = make_old_usart("USART2", 0x40004400, Line(watch, b"!"), lambda: 45e6, pins)
        >>> chr(usart.read(0x04))
        '!'
    """
    usart = Registers(name, base)

    def status() -> int:
        return SENT | ROOM | (RECEIVED if line.has_byte() else 0)

    def send(old: int, new: int) -> int:
        # UE and TE of CR1.
        if usart.field(0x0C, 13) and usart.field(0x0C, 3):
            pins.check()
            # Both rates have the divider in 16ths, or in 8ths: both come to clock / BRR.
            divider = usart[0x08]
            if usart[0x0C] & OVERSAMPLES_BY_8:
                divider = (divider >> 4 << 3 | divider & 7) or 1
            line.put(new, hz() / (divider or 1))
        return 0

    usart.reads |= {0x00: status, 0x04: line.take}
    usart.writes |= {0x00: lambda old, new: old, 0x04: send}
    return usart


def make_usart(
    name: str, base: int, line: Line, hz: Callable[[], float], pins: SerialPins
) -> Registers:
    """Makes a serial port with a register for each way, as of the STM32F7 and later.

    Args:
        name: Its name; LPUART1 divides its clock more finely.
        base: Its address.
        line: The line behind it.
        hz: Its clock, in Hz.
        pins: Its pins.

    Returns:
        The registers.

    Source:
        STMicroelectronics RM0351, 40.8, USART registers, and 41.7, LPUART registers.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> board, watch = find_board("nucleo-f446re"), Watch()
        >>> ports = make_ports(0x40020000, "A", lambda letter: True)
        >>> pins = SerialPins(board, ports, (7, 7), watch)
        >>> usart = make_usart("USART2", 0x40004400, Line(watch, b"!"), lambda: 45e6, pins)
        >>> chr(usart.read(0x24))
        '!'
    """
    usart = Registers(name, base)

    def status() -> int:
        is_sending, is_receiving = (usart.field(0, bit) for bit in (3, 2))
        acknowledged = is_sending << 21 | is_receiving << 22
        return SENT | ROOM | acknowledged | (RECEIVED if line.has_byte() else 0)

    def send(old: int, new: int) -> int:
        if usart.field(0, 0) and usart.field(0, 3):
            pins.check()
            divider = usart[0x0C] or 1
            if name.startswith("LPUART"):
                line.put(new, hz() * LOW_POWER_RATIO / divider)
            elif usart[0] & OVERSAMPLES_BY_8:
                line.put(new, 2 * hz() / (divider & ~0xF | (divider & 7) << 1 or 1))
            else:
                line.put(new, hz() / divider)
        return 0

    usart.reads |= {0x1C: status, 0x24: line.take}
    usart.writes |= {0x1C: lambda old, new: old, 0x28: send}
    return usart
