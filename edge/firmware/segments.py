"""Reads where the parts of a linked image lie, in flash and when it runs."""

from __future__ import annotations

import dataclasses
import struct

from edge.errors import EdgeError

ELF_HEADER, PROGRAM_HEADER = struct.Struct("<16s2H5I6H"), struct.Struct("<8I")
ELF32_LITTLE_ENDIAN = b"\x7fELF\x01\x01"
LOADED = 1


@dataclasses.dataclass(frozen=True)
class Segment:
    """One part of a linked image.

    Attributes:
        address: The address that a loader writes it to.
        content: The bytes that are written there; empty where memory is only cleared.
        run_address: The address at which the program uses it.
        memory_bytes: The bytes that it takes there.
    """

    address: int
    content: bytes
    run_address: int
    memory_bytes: int


def read_segments(elf: bytes) -> tuple[Segment, ...]:
    """Reads the segments of an ELF file that are loaded.

    Args:
        elf: The file's bytes.

    Returns:
        The segments, in the order of the file; none of them is empty in memory.

    Raises:
        EdgeError: If it is no executable of a 32-bit little-endian machine, or ends too early.

    Example:
        >>> read_segments(bytes(300))
        Traceback (most recent call last):
        edge.errors.EdgeError: It is no ELF file of a 32-bit little-endian microcontroller.

    Source: Tool Interface Standard, ELF specification, version 1.2.
    """
    if not elf.startswith(ELF32_LITTLE_ENDIAN):
        raise EdgeError("It is no ELF file of a 32-bit little-endian microcontroller.")
    found = []
    try:
        head = ELF_HEADER.unpack_from(elf)
        start, size, count = head[5], head[9], head[10]
        for number in range(count):
            kind, at, run, load, stored, memory, _, _ = PROGRAM_HEADER.unpack_from(
                elf, start + number * size
            )
            if kind == LOADED and memory:
                content = elf[at : at + stored]
                if len(content) != stored:
                    raise EdgeError("The ELF file ends in the middle of a segment.")
                found.append(Segment(load, content, run, memory))
    except struct.error:
        raise EdgeError("The ELF file ends in the middle of a header.") from None
    return tuple(found)


def flat_image(segments: tuple[Segment, ...]) -> tuple[int, bytes]:
    """Lays segments out as they lie in flash.

    Args:
        segments: The segments of an image.

    Returns:
        The address of the first byte, and the bytes from there, with zeros between segments, as
        `objcopy -O binary` writes them.

    Raises:
        EdgeError: If no segment has content.

    Example:
        >>> flat_image((Segment(8, b"ab", 8, 2), Segment(12, b"c", 0x20, 1), Segment(0, b"", 0, 9)))
        (8, b'ab\\x00\\x00c')
    """
    stored = [segment for segment in segments if segment.content]
    if not stored:
        raise EdgeError("The ELF file has nothing to write to flash.")
    first = min(segment.address for segment in stored)
    image = bytearray(max(s.address + len(s.content) for s in stored) - first)
    for segment in stored:
        at = segment.address - first
        image[at : at + len(segment.content)] = segment.content
    return first, bytes(image)
