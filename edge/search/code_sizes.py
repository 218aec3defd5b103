"""What each kernel adds to the code of an image, learned from images that were linked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class CodeSizes:
    """Learns from linked images what each kernel adds to the code of one.

    Example:
        >>> sizes = CodeSizes()
        >>> sizes.add(frozenset({"a"}), 100)
        >>> sizes.add(frozenset({"a", "b"}), 130)
        >>> sizes.knows(frozenset({"a", "b"})), sizes.knows(frozenset({"b"}))
        (True, False)
        >>> sizes.estimate(frozenset({"a", "b"}))
        130
    """

    def __init__(self) -> None:
        self._images: list[tuple[frozenset[str], int]] = []
        self._sizes: dict[str, float] = {}
        self._known: dict[frozenset[str], bool] = {}

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
        self._known.clear()

    def knows(self, parts: frozenset[str]) -> bool:
        """Whether the sizes of the images so far tell that of another.

        Args:
            parts: The names of its parts.

        Returns:
            False as well for one that has a part which none had.
        """
        if parts not in self._known:
            names = sorted(set().union(*(known for known, _ in self._images)))
            is_known = False
            if self._images and parts <= set(names):
                table = np.array([_row(known, names) for known, _ in self._images])
                more = np.vstack([table, _row(parts, names)])
                is_known = bool(np.linalg.matrix_rank(more) == np.linalg.matrix_rank(table))
            self._known[parts] = is_known
        return self._known[parts]

    def estimate(self, parts: frozenset[str]) -> int:
        """Adds up the parts of an image.

        Args:
            parts: The names of its parts, which `knows` knows.

        Returns:
            The bytes of its code.
        """
        return round(self._sizes[""] + sum(self._sizes[part] for part in parts))


def _row(parts: frozenset[str], names: Sequence[str]) -> list[float]:
    return [1.0, *(float(name in parts) for name in names)]
