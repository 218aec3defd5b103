"""A built firmware's files: what `build` leaves in a folder, and what `flash` expects there."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from edge.catalog.boards import Bank, Board
from edge.errors import EdgeError, readable
from edge.firmware.flash.uf2 import uf2
from edge.firmware.segments import Segment, flat_image, read_segments
from edge.system.files import read_file
from edge.system.version import DISTRIBUTION, package_version

LINKED_FILES = ("firmware.elf", "firmware.bin", "firmware.hex", "firmware.map")
DESCRIPTION_FILE = "firmware.json"


@dataclasses.dataclass(frozen=True)
class FirmwareFiles:
    """A folder with a firmware that belongs to a board.

    Attributes:
        folder: The folder.
        address: The address of the image's first byte in flash.
        image: What flash shall hold from there.
    """

    folder: pathlib.Path
    address: int
    image: bytes

    def path(self, suffix: str) -> pathlib.Path:
        """Names one of the firmware's files.

        Args:
            suffix: The suffix, without its dot.

        Returns:
            The path.

        Example:
            >>> print(FirmwareFiles(pathlib.Path("firmware"), 0, b"").path("elf"))
            firmware/firmware.elf
        """
        return self.folder / f"firmware.{suffix}"


def firmware_contents(build: pathlib.Path, board: Board, model_sha256: str) -> dict[str, bytes]:
    """Collects what a build leaves for whoever programs a board.

    Args:
        build: The folder that the firmware was linked in.
        board: The board that it was linked for.
        model_sha256: The SHA-256 of the model's file, in hexadecimal.

    Returns:
        The bytes of each file by its name: the linked images, the linker's map, a UF2 file where
        the board takes one, and `firmware.json`, which says what they are.

    Raises:
        EdgeError: If the linked image is none that a board could be programmed with.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.build import build
        >>> built = build("model.tflite", "nucleo-f446re", "firmware")
        >>> sorted(firmware_contents(built.folder, built.board, built.graph.file_sha256))
        ['firmware.bin', 'firmware.elf', 'firmware.hex', 'firmware.json', 'firmware.map']
    """
    contents = {name: (build / name).read_bytes() for name in LINKED_FILES}
    segments = read_segments(contents["firmware.elf"])
    address, image = flat_image(segments)
    if board.uf2_family is not None:
        contents["firmware.uf2"] = uf2(image, address, board.uf2_family)
    description = {
        "board": board.id,
        "mcu": board.mcu,
        "model_sha256": model_sha256,
        "flash_address": address,
        "flash_bytes": len(image),
        "flash_end": address + len(image),
        "ram_end": _ram_end(segments, board),
        "made_by": f"{DISTRIBUTION} {package_version()}",
    }
    text = json.dumps(description, indent=2) + "\n"
    return contents | {DESCRIPTION_FILE: text.encode("utf-8")}


def read_firmware(folder: pathlib.Path, board: Board) -> FirmwareFiles:
    """Reads a folder that `build` wrote, and sees that a board can be programmed with it.

    Args:
        folder: The folder.
        board: The board.

    Returns:
        The `FirmwareFiles`.

    Raises:
        EdgeError: If the folder holds no firmware, one that was built for another board or lies
            outside of the board's flash, or files that do not belong together.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> read_firmware(pathlib.Path("firmware"), find_board("nucleo-f446re"))
        Traceback (most recent call last):
        edge.errors.EdgeError: firmware holds no firmware; make it with: keras-mobilenet build ...
    """
    again = f"keras-mobilenet build MODEL --board {board.argument} --out {folder}"
    elf, binary = folder / "firmware.elf", folder / "firmware.bin"
    if not elf.is_file() or not binary.is_file():
        raise EdgeError(f"{folder} holds no firmware; make it with: {again}")
    built_for = _board_of(folder / DESCRIPTION_FILE, again)
    if built_for != board.id:
        raise EdgeError(
            f"{folder} was built for {readable(built_for, 60)}, not for {board.id}: name that "
            f"board, or build for this one: {again}"
        )
    try:
        segments = read_segments(read_file(elf))
        address, image = flat_image(segments)
    except EdgeError as error:
        raise EdgeError(f"{elf} cannot be programmed. {error} Make it again: {again}") from None
    _require_inside_flash(elf, segments, board, again)
    if read_file(binary) != image:
        raise EdgeError(f"{binary} is not the image that {elf.name} holds; make both: {again}")
    return FirmwareFiles(folder, address, image)


def _board_of(path: pathlib.Path, again: str) -> str:
    """Reads for which board a firmware was built."""
    if not path.is_file():
        raise EdgeError(f"{path} is missing, which says for which board it is; make it: {again}")
    try:
        return str(json.loads(read_file(path).decode("utf-8"))["board"])
    except (ValueError, KeyError, TypeError):
        raise EdgeError(f"{path} does not say for which board it is; make it: {again}") from None


def _require_inside_flash(
    elf: pathlib.Path, segments: tuple[Segment, ...], board: Board, again: str
) -> None:
    for segment in segments:
        start, end = segment.address, segment.address + len(segment.content)
        if segment.content and not any(_holds(bank, start, end) for bank in board.flash):
            banks = ", ".join(
                f"0x{b.address:08x} to 0x{b.address + b.bytes:08x}" for b in board.flash
            )
            raise EdgeError(
                f"{elf} writes 0x{start:08x} to 0x{end:08x}, outside of the flash of {board.name} "
                f"({banks}): {again}"
            )


def _holds(bank: Bank, start: int, end: int) -> bool:
    return bank.address <= start and end <= bank.address + bank.bytes


def _ram_end(segments: tuple[Segment, ...], board: Board) -> int:
    """Finds the address behind all that the image takes in the bank of its data and stack."""
    bank = board.largest_ram_bank
    ends = [s.run_address + s.memory_bytes for s in segments]
    inside = [end for end in ends if _holds(bank, bank.address, end)]
    return max((end for end in inside if end > bank.address), default=bank.address)
