"""Writes small ELF files and the folders of a firmware around them, without a compiler."""

from __future__ import annotations

import json
import pathlib
import struct

from edge.catalog.boards import Board, find_board


def elf_file(*parts: tuple[int, bytes]) -> bytes:
    """An ELF file of one segment for each address and content."""
    head, entry = 52, 32
    at = head + entry * len(parts)
    table, contents = b"", b""
    for address, content in parts:
        place = (1, at + len(contents), address, address, len(content), len(content), 5, 4)
        table += struct.pack("<8I", *place)
        contents += content
    ident = b"\x7fELF\x01\x01\x01".ljust(16, b"\0")
    rest = (2, 40, 1, parts[0][0], head, 0, 0, head, entry, len(parts), 0, 0, 0)
    return ident + struct.pack("<2H5I6H", *rest) + table + contents


def firmware_folder(
    folder: pathlib.Path, board: str | Board, image: bytes = bytes(range(256)) + bytes(44)
) -> pathlib.Path:
    """A folder as `build` leaves it, with an image of any bytes."""
    target = find_board(board)
    address = max(target.flash, key=lambda bank: bank.bytes).address
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "firmware.elf").write_bytes(elf_file((address, image)))
    (folder / "firmware.bin").write_bytes(image)
    (folder / "firmware.hex").write_text(":00000001FF\n")
    (folder / "firmware.json").write_text(json.dumps({"board": target.id}))
    return folder
