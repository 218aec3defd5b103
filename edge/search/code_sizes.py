"""What each kernel adds to the code of an image, learned from images that were linked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

UNKNOWN_BYTES = 500
"""What a part counts that no image had so far: of the size of a kernel."""


class CodeSizes:
    """Learns from linked images what each kernel adds to the code of one.

    Example:
        >>> sizes = CodeSizes()
        >>> sizes.add(frozenset({"a"}), 100)
        >>> sizes.add(frozenset({"a", "b"}), 130)
        >>> sizes.estimate(frozenset({"a", "b"})), sizes.estimate(frozenset({"a", "c"}))
        (130, 600)
    """

    def __init__(self) -> None:
        self._images: list[tuple[frozenset[str], int]] = []
        self._sizes: dict[str, float] = {}

    def add(self, parts: frozenset[str], size: int) -> None:
        """Adds an image.

        Args:
            parts: The names of its parts.
            size: The bytes of its code.
        """
        self._images.append((parts, size))
        names = sorted(set().union(*(parts for parts, _ in self._images)))
        table = np.array([_row(parts, names) for parts, _ in self._images])
        sizes = np.array([size for _, size in self._images], float)
        found = np.linalg.lstsq(table, sizes, rcond=None)[0]
        self._sizes = dict(zip(["", *names], found.tolist(), strict=True))

    def estimate(self, parts: frozenset[str]) -> int:
        """Adds up the parts of an image.

        Args:
            parts: The names of its parts.

        Returns:
            The bytes of its code.
        """
        known = self._sizes.get("", 0.0)
        return round(known + sum(self._sizes.get(part, UNKNOWN_BYTES) for part in parts))


def _row(parts: frozenset[str], names: Sequence[str]) -> list[float]:
    return [1.0, *(float(name in parts) for name in names)]
