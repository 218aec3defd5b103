"""Cortex-M boards: what they hold, read from the TOML files beside this module."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import tomllib

from edge.errors import EdgeError

BOARD_FOLDER = pathlib.Path(__file__).parent
CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")


@dataclasses.dataclass(frozen=True)
class Bank:
    """One contiguous piece of memory.

    Attributes:
        name: As the datasheet calls it.
        address: First address.
        bytes: Size in bytes.
    """

    name: str
    address: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Board:
    """A board, with the figures of its datasheet.

    Attributes:
        id: The name on the command line, and of the TOML file.
        name: The name that its maker prints.
        vendor: Its maker.
        mcu: The microcontroller's part number.
        core: gcc's `-mcpu` name.
        fpu: gcc's `-mfpu` name, or `"none"`.
        dsp: Whether the core has the DSP extension.
        mve: Whether the core has Helium.
        clock_hz: Highest core clock, in Hz.
        aliases: Other names people type.
        flash: Program memory.
        ram: Data memory, the bank for stack and arena first.
        flash_method: The tool that programs the board.
        flash_target: That tool's name of the board, may be empty.
        uf2_family: Number of its family in UF2 files; None where its image is no UF2.
        boot_block: Words that its boot ROM looks for near the start of the flash; may be none.
        qemu_machine: QEMU's name of the board, None where it has none.
        sources: Where each figure is from.
    """

    id: str
    name: str
    vendor: str
    mcu: str
    core: str
    fpu: str
    dsp: bool
    mve: bool
    clock_hz: int
    aliases: tuple[str, ...]
    flash: tuple[Bank, ...]
    ram: tuple[Bank, ...]
    flash_method: str
    flash_target: str
    uf2_family: int | None
    boot_block: tuple[int, ...]
    qemu_machine: str | None
    sources: dict[str, str]

    @property
    def flash_bytes(self) -> int:
        """Program memory of all banks, in bytes."""
        return sum(bank.bytes for bank in self.flash)

    @property
    def ram_bytes(self) -> int:
        """Data memory of all banks, in bytes."""
        return sum(bank.bytes for bank in self.ram)

    @property
    def largest_ram_bank(self) -> Bank:
        """The bank that can hold the largest tensor arena."""
        return max(self.ram, key=lambda bank: bank.bytes)


def boards() -> list[Board]:
    """All boards, sorted by name.

    Returns:
        One `Board` per TOML file.

    Example:
        >>> "nucleo-f446re" in [board.id for board in boards()]
        True
    """
    return sorted((_read(path) for path in BOARD_FOLDER.glob("*.toml")), key=lambda b: b.id)


def find_board(name: str) -> Board:
    """The board of a name.

    Args:
        name: Its id, its printed name or an alias; case, spaces, dots and dashes do not matter.

    Returns:
        The `Board`.

    Raises:
        EdgeError: If no board has that name; the message lists the nearest.

    Example:
        >>> find_board("micro:bit v2").ram_bytes
        131072
    """
    all_boards = boards()
    names = {
        _plain(n): board for board in all_boards for n in (board.id, board.name, *board.aliases)
    }
    if (found := names.get(_plain(name))) is not None:
        return found
    near = difflib.get_close_matches(_plain(name), names, n=8, cutoff=0.4)
    ids = list(dict.fromkeys(names[key].id for key in near))[:3] or [b.id for b in all_boards]
    raise EdgeError(
        f"Unknown board {name!r}; nearest: {', '.join(ids)}. `keras-mobilenet boards` lists all."
    )


def core_flags(board: Board) -> list[str]:
    """gcc's options for a board's core.

    Args:
        board: The board.

    Returns:
        The options.

    Example:
        >>> core_flags(find_board("nucleo-f446re"))
        ['-mcpu=cortex-m4', '-mthumb', '-mfloat-abi=hard', '-mfpu=fpv4-sp-d16']
    """
    flags = [f"-mcpu={board.core}", "-mthumb"]
    if board.fpu == "none":
        return [*flags, "-mfloat-abi=soft"]
    return [*flags, "-mfloat-abi=hard", f"-mfpu={board.fpu}"]


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _read(path: pathlib.Path) -> Board:
    table = tomllib.loads(path.read_text("utf-8"))
    return Board(
        id=path.stem,
        name=table["name"],
        vendor=table["vendor"],
        mcu=table["mcu"],
        core=table["core"],
        fpu=table["fpu"],
        dsp=table["dsp"],
        mve=table["mve"],
        clock_hz=table["clock_hz"],
        aliases=tuple(table["aliases"]),
        flash=tuple(Bank(**bank) for bank in table["flash"]),
        ram=tuple(Bank(**bank) for bank in table["ram"]),
        flash_method=table["flash_tool"]["method"],
        flash_target=table["flash_tool"]["target"],
        uf2_family=table["flash_tool"].get("uf2_family"),
        boot_block=tuple(table["flash_tool"].get("boot_block", ())),
        qemu_machine=table.get("qemu", {}).get("machine"),
        sources=table["source"],
    )
