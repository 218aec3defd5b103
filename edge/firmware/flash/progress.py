"""Reads from a tool's output how far it has come."""

from __future__ import annotations

import re

PERCENT = re.compile(r"(\d{1,3})(?:\.\d+)?\s?%")
PAGES = re.compile(r"\b(\d+)/\s?(\d+) pages")
PYOCD_BAR = re.compile(r"\[(?:---\|){9}----\]\n\[(=*)")
PYOCD_WIDTH = 40


def fraction_done(text: str) -> float | None:
    """Reads how much of its work a tool has done.

    Args:
        text: What it printed last.

    Returns:
        The fraction from 0 to 1 that it showed last; None if it showed none.

    Example:
        >>> fraction_done("Download [====     ]  45%  1234 bytes"), fraction_done("Erasing")
        (0.45, None)
    """
    found = [(m.end(), min(1.0, int(m[1]) / 100)) for m in PERCENT.finditer(text)]
    found += [(m.end(), int(m[1]) / max(1, int(m[2]))) for m in PAGES.finditer(text)]
    found += [(m.end(), len(m[1]) / PYOCD_WIDTH) for m in PYOCD_BAR.finditer(text)]
    return max(found)[1] if found else None
