"""The other end of a board's serial port: what is sent to it, and what it sent."""

from __future__ import annotations

from edge.firmware.machine.watch import Watch

BAUD = 115_200
BAUD_TOLERANCE = 0.02
"""What both ends of an asynchronous line with ten bits a character may differ by, together."""
PATIENCE = 2_000
"""Looks at an empty receiver, in a row, after which an image waits for more than it will get."""


class Line:
    """A serial line with 8 bits, no parity and one stop bit.

    Args:
        watch: Where a wrong baud rate is noted.
        fed: The bytes that the board receives, as fast as it takes them.

    Attributes:
        sent: What the board has sent.
        looks: How often in a row the board looked for a byte that was not there.
    """

    def __init__(self, watch: Watch, fed: bytes = b""):
        self._watch = watch
        self._fed, self._taken = fed, 0
        self.sent = bytearray()
        self.looks = 0

    @property
    def waits(self) -> bool:
        """Whether the board has yet to take a byte."""
        return self._taken < len(self._fed)

    @property
    def is_waited_on(self) -> bool:
        """Whether the board does nothing but wait for a byte that does not come."""
        return self.looks >= PATIENCE

    def has_byte(self) -> bool:
        """Tells whether a byte waits, as a status register does.

        Returns:
            Whether one does.

        Example:
            >>> Line(Watch(), b"name%").has_byte()
            True
        """
        waits = self.waits
        self.looks = 0 if waits else self.looks + 1
        return waits

    def take(self) -> int:
        """Takes the byte that waits.

        Returns:
            The byte; 0 if none waits.

        Example:
            >>> chr(Line(Watch(), b"name%").take())
            'n'
        """
        if not self.waits:
            return 0
        self._taken += 1
        return self._fed[self._taken - 1]

    def put(self, byte: int, baud: float) -> None:
        """Takes a byte from the board.

        Args:
            byte: The byte.
            baud: The rate that it is sent at.

        Example:
            >>> line = Line(Watch())
            >>> line.put(ord("m"), 115_942)
            >>> bytes(line.sent)
            b'm'
        """
        self.looks = 0
        self.sent.append(byte & 0xFF)
        self._watch.expect(
            abs(baud / BAUD - 1) <= BAUD_TOLERANCE,
            f"the port sends at {baud:,.0f} baud, not at {BAUD:,}",
        )


class Lamp:
    """A board's light.

    Attributes:
        changes: How often it went on or off.
        is_on: Whether it is on now.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.is_on = False

    def set(self, is_on: bool) -> None:
        """Switches the light.

        Args:
            is_on: Whether it is on.

        Example:
            >>> lamp = Lamp()
            >>> lamp.set(True)
            >>> lamp.changes
            1
        """
        self.changes += is_on != self.is_on
        self.is_on = is_on
