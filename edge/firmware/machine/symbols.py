"""An ELF file's segments and symbols."""

from __future__ import annotations

import bisect
import dataclasses
import pathlib
from typing import Any


@dataclasses.dataclass(frozen=True)
class Image:
    """A linked image.

    Attributes:
        segments: The bytes in the flash, by the address that each part is loaded at.
        entry: The address of the first instruction, as the linker wrote it.
        symbols: Every symbol's address, by its name.
        functions: The first address and the name of every function, in the order of addresses.
    """

    segments: tuple[tuple[int, bytes], ...]
    entry: int
    symbols: dict[str, int]
    functions: tuple[tuple[int, int, str], ...]

    def function_at(self, address: int) -> str:
        """Names the function that an address lies in.

        Args:
            address: The address of an instruction.

        Returns:
            The function's name; empty where there is none.

        Example:
            >>> image = Image((), 0, {}, ((0x100, 0x20, "main"),))
            >>> image.function_at(0x110), image.function_at(0x120)
            ('main', '')
        """
        place = bisect.bisect_right(self.functions, (address, 1 << 32, "")) - 1
        if place < 0:
            return ""
        start, size, name = self.functions[place]
        return name if address < start + size else ""


def read_image(elf: pathlib.Path) -> Image:
    """Reads an ELF file.

    Args:
        elf: The path of the file.

    Returns:
        The `Image`.

    Example:
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "nucleo-f446re", "firmware").firmware.elf
        >>> "firmware_result" in read_image(elf).symbols
        True
    """
    from elftools.elf.elffile import ELFFile

    with elf.open("rb") as file:
        content = ELFFile(file)
        segments = tuple(
            (segment["p_paddr"], segment.data())
            for segment in content.iter_segments()
            if segment["p_type"] == "PT_LOAD" and segment["p_filesz"]
        )
        table: Any = content.get_section_by_name(".symtab")
        symbols = [] if table is None else list(table.iter_symbols())
        functions = sorted(
            (symbol["st_value"] & ~1, symbol["st_size"], symbol.name)
            for symbol in symbols
            if symbol["st_info"]["type"] == "STT_FUNC" and symbol["st_size"]
        )
        named = {symbol.name: symbol["st_value"] for symbol in symbols if symbol.name}
        return Image(segments, content["e_entry"], named, tuple(functions))
