"""What takes the memory of a linked firmware: section by section, symbol by symbol."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

SECTIONS = (".text", ".init_array", ".ARM.exidx", ".data", ".bss")
"""The sections that take memory of a chip, in the order of their addresses."""

REST = "alignment and unnamed"


@dataclasses.dataclass(frozen=True)
class SymbolSize:
    """A function or an object of a firmware.

    Attributes:
        name: Its name in C; `REST` for what has none.
        bytes: What it takes.
    """

    name: str
    bytes: int


@dataclasses.dataclass(frozen=True)
class SectionSize:
    """A section of a firmware.

    Attributes:
        name: The name, as the linker script has it.
        bytes: What it takes.
        symbols: What it holds, the largest first; their bytes are the section's.
    """

    name: str
    bytes: int
    symbols: tuple[SymbolSize, ...]


def section_sizes(sections: Mapping[str, int], symbols: str) -> tuple[SectionSize, ...]:
    """Sorts the symbols of a linked image into its sections.

    Args:
        sections: The bytes of each section by its name.
        symbols: What `nm -f sysv` printed of the image.

    Returns:
        The sections that take memory; what no symbol claims stands in them as `REST`.

    Example:
        >>> line = "main |08000000| T | FUNC|00000010| |.text"
        >>> section_sizes({".text": 20}, line)[0].symbols[1]
        SymbolSize(name='alignment and unnamed', bytes=4)
    """
    found: dict[str, dict[int, SymbolSize]] = {}
    for line in symbols.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) != 7 or not cells[4] or int(cells[4], 16) == 0:
            continue
        name, address, _, _, size, _, section = cells
        # Two names of one function, as those of the handlers are, are one.
        found.setdefault(section, {}).setdefault(int(address, 16), SymbolSize(name, int(size, 16)))
    return tuple(
        SectionSize(name, sections[name], _with_rest(sections[name], found.get(name, {}).values()))
        for name in SECTIONS
        if sections.get(name)
    )


def _with_rest(count: int, symbols: Iterable[SymbolSize]) -> tuple[SymbolSize, ...]:
    ordered = sorted(symbols, key=lambda symbol: (-symbol.bytes, symbol.name))
    rest = count - sum(symbol.bytes for symbol in ordered)
    return (*ordered, SymbolSize(REST, rest)) if rest else tuple(ordered)
