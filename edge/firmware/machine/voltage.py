"""A core's voltage, which follows what is asked of it after a while."""

from __future__ import annotations

LOOKS = 3
"""How many looks at its flag a higher voltage takes."""


class Voltage:
    """A regulator with levels, of which a higher number is more volts.

    Args:
        level: The level at first.

    Attributes:
        level: The level that the core has for certain: on the way down the lower one.
    """

    def __init__(self, level: int):
        self.level = level
        self._asked, self._looks = level, LOOKS

    def ask(self, level: int) -> None:
        """Asks for a level.

        Args:
            level: The level.

        Example:
            >>> voltage = Voltage(0)
            >>> voltage.ask(3)
            >>> voltage.level
            0
        """
        if level != self._asked:
            self._asked, self._looks = level, 0
            self.level = min(self.level, level)

    def is_ready(self) -> bool:
        """Tells whether the asked level is there, as a flag does: each look takes a while.

        Returns:
            Whether it is.

        Example:
            >>> voltage = Voltage(0)
            >>> voltage.ask(3)
            >>> [voltage.is_ready() for _ in range(3)]
            [False, False, True]
            >>> voltage.level
            3
        """
        self._looks = min(self._looks + 1, LOOKS)
        if self._looks == LOOKS:
            self.level = self._asked
        return self.level == self._asked and self._looks == LOOKS
