"""The table of what takes a firmware's memory, section by section and symbol by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from edge.deploy.build import Build

LARGEST = 5
"""The functions and objects of each section that are shown where nobody asks for more."""


def sizes_table(built: Build, most: int | None = None) -> Table:
    """What the sections of a firmware hold.

    Args:
        built: The firmware.
        most: How many functions and objects of a section to show, the largest first; all if None.

    Returns:
        A table; what it leaves out stands in it as a sum.

    Example:
        >>> from edge.deploy.build import build
        >>> sizes_table(build("model.tflite", "nucleo-f446re"), 1).columns[0].header
        'section'
    """
    table = Table("section", "what", Column("bytes", justify="right"), title="By symbol")
    for section in built.firmware.sections:
        shown = section.symbols[:most]
        for symbol in shown:
            table.add_row(section.name, escape(symbol.name), f"{symbol.bytes:,}")
        others = section.symbols[len(shown) :]
        if others:
            left = sum(symbol.bytes for symbol in others)
            table.add_row(section.name, f"{len(others)} others", f"{left:,}")
        table.add_row(section.name, "in all", f"{section.bytes:,}", end_section=True)
    return table
