"""What a chip's boot ROM, or a board's bootloader, does before an image's first instruction."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.symbols import Image
from edge.firmware.machine.watch import Watch


@dataclasses.dataclass(frozen=True)
class Boot:
    """How an image is entered.

    Attributes:
        way: What leads to it, in words.
        vectors: The vector table that the core is told of.
        stack: The stack pointer.
        counter: The address of the first instruction.
        copied: What was put into RAM before, by its address.
    """

    way: str
    vectors: int
    stack: int
    counter: int
    copied: tuple[tuple[int, bytes], ...] = ()


def memory_of(image: Image) -> Callable[[int, int], bytes]:
    """Makes a function that reads the flash as the image fills it.

    Args:
        image: The image.

    Returns:
        A function of an address and a count of bytes; what is not filled reads as erased.

    Example:
        >>> memory_of(Image(((0x100, b"ab"),), 0, {}, ()))(0xFF, 4)
        b'\\xffab\\xff'
    """

    def read(address: int, count: int) -> bytes:
        found = bytearray(b"\xff" * count)
        for start, content in image.segments:
            low, high = max(address, start), min(address + count, start + len(content))
            if low < high:
                found[low - address : high - address] = content[low - start : high - start]
        return bytes(found)

    return read


def from_vectors(board: Board, image: Image, watch: Watch) -> Boot:
    """Enters an image by a vector table, at the start of the flash or behind a bootloader.

    Args:
        board: The board.
        image: The image.
        watch: Where a table that no core could start from is noted.

    Returns:
        The `Boot`.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> image = Image(((0x08000000, struct.pack("<2I", 0x20000800, 0x08000101)),), 0, {}, ())
        >>> from_vectors(find_board("nucleo-f446re"), image, Watch()).way
        'the vector table at 0x08000000'
    """
    vectors = min(address for address, _ in image.segments)
    bank = max(board.flash, key=lambda bank: bank.bytes)
    way = f"the vector table at 0x{vectors:08x}"
    if vectors != bank.address:
        way += f", 0x{vectors - bank.address:x} behind the start of {bank.name}"
    stack, counter = struct.unpack("<2I", memory_of(image)(vectors, 8))
    watch.expect(vectors % 128 == 0, f"{way} is not aligned")
    watch.expect(
        any(bank.address < stack <= bank.address + bank.bytes for bank in board.ram),
        f"the stack pointer 0x{stack:08x} is in no RAM",
    )
    watch.expect(bool(counter & 1), f"the reset vector 0x{counter:08x} is no Thumb address")
    return Boot(way, vectors, stack, counter & ~1)
