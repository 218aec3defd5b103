"""A microcontroller's model, as its family's module makes it and the machine runs it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from edge.firmware.machine.line import Lamp, Line
from edge.firmware.machine.registers import Registers


class Memory:
    """The memory as a peripheral sees it that reads and writes it by itself; the machine's.

    Attributes:
        read: Reads bytes: called with an address and a count.
        write: Writes bytes: called with an address and the bytes.
    """

    def __init__(self) -> None:
        self.read: Callable[[int, int], bytes] = lambda address, count: bytes(count)
        self.write: Callable[[int, bytes], None] = lambda address, content: None


@dataclasses.dataclass(frozen=True)
class ChipModel:
    """What an image finds beside the core and the memory.

    Attributes:
        blocks: The peripherals.
        core_hz: The core's clock as the registers stand, in Hz.
        line: The serial line behind the board's port.
        lamp: The board's light.
        memory: What its peripherals reach by themselves; the machine connects it.
    """

    blocks: list[Registers]
    core_hz: Callable[[], float]
    line: Line
    lamp: Lamp
    memory: Memory = dataclasses.field(default_factory=Memory)


def pin_of(text: str) -> tuple[str, int]:
    """Reads a pin's name.

    Args:
        text: A text with the name of a pin: a letter of the port and a number.

    Returns:
        The port's letter and the pin's number.

    Raises:
        ValueError: If there is no such name.

    Example:
        >>> pin_of("LD2 (PA5)")
        ('A', 5)
    """
    found = re.search(r"\bP([A-K])(\d{1,2})\b", text)
    if found is None:
        raise ValueError(f"{text!r} names no pin")
    return found[1], int(found[2])
