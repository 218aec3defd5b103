"""Packs images into UF2 files, which the boot loaders of some boards take as a drive."""

from __future__ import annotations

import struct

UF2_BLOCK_BYTES = 256
UF2_FIRST_MAGIC, UF2_SECOND_MAGIC, UF2_LAST_MAGIC = 0x0A324655, 0x9E5D5157, 0x0AB16F30
UF2_HAS_FAMILY = 0x00002000


def uf2(image: bytes, address: int, family: int) -> bytes:
    """Packs an image into UF2 blocks, which a boot loader's drive takes in any order.

    Args:
        image: The bytes to write to the flash.
        address: The address of the first byte.
        family: The UF2 number of the microcontroller's family.

    Returns:
        The bytes of a `.uf2` file: 512 for each 256 of the image.

    Example:
        >>> len(uf2(bytes(300), 0x10000000, 0xE48BFF59))
        1024

    Source: Microsoft's UF2 specification.
    """
    blocks = -(-len(image) // UF2_BLOCK_BYTES)
    result = []
    for number in range(blocks):
        start = number * UF2_BLOCK_BYTES
        data = image[start : start + UF2_BLOCK_BYTES].ljust(UF2_BLOCK_BYTES, b"\xff")
        head = struct.pack(
            "<8I",
            *(UF2_FIRST_MAGIC, UF2_SECOND_MAGIC, UF2_HAS_FAMILY, address + start),
            *(UF2_BLOCK_BYTES, number, blocks, family),
        )
        result.append(head + data.ljust(476, b"\0") + struct.pack("<I", UF2_LAST_MAGIC))
    return b"".join(result)
