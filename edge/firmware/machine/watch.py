"""What a board's manual forbids, noted with the function that did it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence


@dataclasses.dataclass(frozen=True)
class Violation:
    """Something that an image did against the manual.

    Attributes:
        what: One sentence, without its full stop.
        function: The function that did it; empty where no symbol covers it.
        address: The address of its code.
    """

    what: str
    function: str
    address: int

    def sentence(self) -> str:
        """Describes it in one line.

        Returns:
            What was done, and where.

        Example:
            >>> Violation("PLL is changed while it runs", "chip_start", 0x08000200).sentence()
            'PLL is changed while it runs (chip_start, 0x08000200)'
        """
        return f"{self.what} ({self.function or 'no function'}, 0x{self.address:08x})"


class Watch:
    """Collects violations, each once.

    Attributes:
        violations: What was found so far.
        where: Tells which function runs, and at which address; the machine sets it.
    """

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.where: Callable[[], tuple[str, int]] = lambda: ("", 0)

    def report(self, what: str) -> None:
        """Notes a violation, unless it was noted before.

        Args:
            what: One sentence, without its full stop.

        Example:
            >>> watch = Watch()
            >>> watch.report("PLL is changed while it runs")
            >>> watch.report("PLL is changed while it runs")
            >>> len(watch.violations)
            1
        """
        if all(found.what != what for found in self.violations):
            self.violations.append(Violation(what, *self.where()))

    def expect(self, is_right: bool, what: str) -> None:
        """Notes a violation unless a rule is kept.

        Args:
            is_right: Whether it is.
            what: The violation otherwise.

        Example:
            >>> watch = Watch()
            >>> watch.expect(True, "APB1 runs too fast")
            >>> watch.violations
            []
        """
        if not is_right:
            self.report(what)


def wait_states_for(hz: int, limits: Sequence[int]) -> int:
    """Finds how long a core must wait for its flash.

    Args:
        hz: The clock of the bus to the flash.
        limits: The highest clock for no wait state, one, two and so on, in Hz.

    Returns:
        The number of wait states; as many as there are limits if the clock is above them all.

    Example:
        >>> wait_states_for(84_000_000, [30_000_000, 60_000_000, 90_000_000])
        2
    """
    return next((states for states, limit in enumerate(limits) if hz <= limit), len(limits))
