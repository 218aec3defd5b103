"""What a chip's boot ROM, or a board's bootloader, does before an image's first instruction."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.firmware.machine.symbols import Image
from edge.firmware.machine.watch import Watch

RP2040_FLASH, RP2040_VECTORS, RP2040_BOOT2, BOOT2_BYTES = 0x10000000, 0x10000100, 0x20041F00, 256
ALIGNED_MEMORY = 1 << 20
"""A flash begins at a multiple of this; an image that does not has something before it."""
IMXRT_FLASH, IMXRT_IVT = 0x60000000, 0x60001000


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
    way = f"the vector table at 0x{vectors:08x}"
    if vectors % ALIGNED_MEMORY:
        way += ", behind a bootloader"
    stack, counter = struct.unpack("<2I", memory_of(image)(vectors, 8))
    watch.expect(vectors % 128 == 0, f"{way} is not aligned")
    watch.expect(
        any(bank.address < stack <= bank.address + bank.bytes for bank in board.ram),
        f"the stack pointer 0x{stack:08x} is in no RAM",
    )
    watch.expect(bool(counter & 1), f"the reset vector 0x{counter:08x} is no Thumb address")
    return Boot(way, vectors, stack, counter & ~1)


def find_boot(board: Board, image: Image, watch: Watch) -> Boot:
    """Finds how an image is entered, and checks the headers on the way.

    Args:
        board: The board.
        image: The image.
        watch: Where a header is noted that a boot ROM would not take.

    Returns:
        The `Boot`.

    Source:
        RP2040 datasheet, 2.8.1.3.1, second stage; RP2350 datasheet, 5.9.5, minimum Arm image;
        NXP IMXRT1060RM, 9.6.3 and 9.7.1, FlexSPI configuration block and image vector table.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> image = Image(((0x08000000, struct.pack("<2I", 0x20000800, 0x08000101)),), 0, {}, ())
        >>> find_boot(find_board("nucleo-f446re"), image, Watch()).counter
        134217984
    """
    if board.chip.family == "rp2040":
        return _through_boot2(image, watch)
    if board.chip.family == "imxrt1062":
        return _through_ivt(image, watch)
    boot = from_vectors(board, image, watch)
    if board.chip.family == "rp2350":
        _check_block(image, watch)
        return dataclasses.replace(boot, way=f"the boot block, then {boot.way}")
    return boot


def crc_of_boot2(content: bytes) -> int:
    """Computes the checksum that the RP2040's boot ROM looks for.

    Args:
        content: The second stage without its checksum, 252 bytes.

    Returns:
        The CRC-32 with the polynomial 04C11DB7h, not reflected, from FFFFFFFFh on.

    Example:
        >>> hex(crc_of_boot2(b"123456789"))
        '0x376e6e7'
    """
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def _through_boot2(image: Image, watch: Watch) -> Boot:
    """The ROM copies the second stage to the end of the RAM and calls it; it does the rest."""
    read = memory_of(image)
    stage = read(RP2040_FLASH, BOOT2_BYTES)
    checksum = int.from_bytes(stage[-4:], "little")
    is_right = crc_of_boot2(stage[:-4]) == checksum
    watch.expect(is_right, f"boot2's checksum 0x{checksum:08x} is not that of its bytes")
    way = f"boot2, checksum 0x{checksum:08x}, then the vector table at 0x{RP2040_VECTORS:08x}"
    copied = ((RP2040_BOOT2, stage),)
    return Boot(way, RP2040_FLASH, RP2040_BOOT2, RP2040_BOOT2, copied=copied)


def _check_block(image: Image, watch: Watch) -> None:
    """The RP2350's ROM looks for a block within the first 4 KiB that says what the image is."""
    content = memory_of(image)(RP2040_FLASH, 4096)
    start = content.find(struct.pack("<I", 0xFFFFDED3))
    watch.expect(start >= 0 and start % 4 == 0, "no boot block starts within the first 4 KiB")
    if start >= 0:
        _, kind, last, link, end = struct.unpack_from("<5I", content, start)
        watch.expect(kind == 0x10210142, f"the boot block 0x{kind:08x} is no secure Arm image")
        is_whole = (last, link, end) == (0x000001FF, 0, 0xAB123579)
        watch.expect(is_whole, "the boot block does not end as one of a single item")


def _through_ivt(image: Image, watch: Watch) -> Boot:
    """The ROM reads how the flash is read, then where the image is and where it starts."""
    read = memory_of(image)
    flash = struct.unpack("<128I", read(IMXRT_FLASH, 512))
    watch.expect(flash[0] == 0x42464346, f"the flash's block begins with 0x{flash[0]:08x}")
    watch.expect(flash[1] >> 24 == 0x56, "the flash's block has no version")
    watch.expect(flash[32] >> 10 & 0x3F == 1, "the flash's reading begins with no command")
    header, entry, _, _, data, self_address, *_ = struct.unpack("<8I", read(IMXRT_IVT, 32))
    watch.expect(header & 0xF0FFFFFF == 0x402000D1, f"the IVT's header is 0x{header:08x}")
    watch.expect(self_address == IMXRT_IVT, f"the IVT says that it is at 0x{self_address:08x}")
    start, count, plugin = struct.unpack("<3I", read(data, 12))
    end = max(address + len(content) for address, content in image.segments)
    watch.expect(start == IMXRT_FLASH, f"the boot data say that the image is at 0x{start:08x}")
    watch.expect(start + count >= end, f"the boot data say {count:,} bytes, there are more")
    watch.expect(plugin == 0, "the boot data say that the image is a plugin")
    stack, counter = struct.unpack("<2I", read(entry, 8))
    way = f"the flash's block, the IVT at 0x{IMXRT_IVT:08x}, then its entry 0x{entry:08x}"
    return Boot(way, entry, stack, counter & ~1)
