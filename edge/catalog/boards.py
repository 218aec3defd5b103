"""The Cortex-M boards: those of the TOML files beside this module, and a user's own."""

from __future__ import annotations

import dataclasses
import difflib
import os
import pathlib
import re

from edge.catalog.board_file import LedTable, PortTable, read_board_file
from edge.catalog.programming import Programming
from edge.errors import EdgeError, readable

BUILT_CORES = {"cortex-m85": "cortex-m55"}
"""Another core with the instructions of one that compilers and emulators do not know by name."""

BOARD_FOLDER = pathlib.Path(__file__).parent
SUFFIX = ".toml"
OWN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True)
class Bank:
    """One contiguous range of a board's memory.

    Attributes:
        name: The name in the datasheet.
        address: The first address.
        bytes: The size in bytes.
    """

    name: str
    address: int
    bytes: int


@dataclasses.dataclass(frozen=True)
class Chip:
    """What the start-up of a microcontroller needs to know.

    Attributes:
        family: The name of the source file in `edge/firmware/chips` that starts the chip; "bare"
            where it runs as it comes out of reset.
        interrupts: The number of interrupts in its vector table, without the core's own 16.
        figures: What the family's source reads as `CHIP_NAME`, by its name in small letters.
    """

    family: str
    interrupts: int
    figures: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Port:
    """The serial port that the firmware speaks on.

    Attributes:
        name: The peripheral's name in the reference manual.
        tx: The pin that sends.
        rx: The pin that receives.
        bridge: What takes the port to the computer; empty where a serial adapter must.
        usb_ids: The USB vendor and product ids of that bridge, "0483:374b".
        figures: What the family's source reads as `UART_NAME`, by its name in small letters.
    """

    name: str
    tx: str
    rx: str
    bridge: str
    usb_ids: tuple[str, ...]
    figures: dict[str, int]

    @property
    def way(self) -> str:
        """What takes the port to the computer, with the pins where it is none of the board's."""
        return self.bridge or f"an adapter at {self.tx} and {self.rx}"


@dataclasses.dataclass(frozen=True)
class Led:
    """The light that tells how the firmware fares.

    Attributes:
        name: Its name on the board, with its pin.
        figures: What the family's source reads as `LED_NAME`, by its name in small letters.
    """

    name: str
    figures: dict[str, int]


@dataclasses.dataclass(frozen=True)
class Board:
    """A board with the figures of its datasheet, as `boards` and `find_board` return it.

    Attributes:
        id: The name on the command line, which is also the name of the TOML file.
        name: The name that the maker prints on the board.
        vendor: The maker of the board.
        mcu: The part number of the microcontroller.
        core: The name of the core for gcc's `-mcpu`.
        fpu: The floating-point unit for `-mfpu`; `"auto"` if it is the core's only one,
            `"none"` if it has none.
        dsp: Whether the core has the DSP extension.
        mve: Whether the core has Helium, the M-profile vector extension.
        clock_hz: The highest core clock, in Hz.
        flash_wait_states: The cycles that the core waits for a line of the flash at that clock;
            None where its file does not say.
        flash_line_bytes: What one access to the flash reads; None in the same case.
        aliases: Other names that people type.
        flash: The banks of program memory.
        ram: The banks of data memory, the one for stack and arena first.
        programming: The tools that program the board.
        uf2_family: The number of the board's family in UF2 files; None where it takes no UF2.
        boot_block: The words that the boot ROM looks for near the start of the flash; may be empty.
        qemu_machine: QEMU's name of the board; None where QEMU does not emulate it.
        chip: How its microcontroller is started.
        port: Its serial port; None where the firmware speaks on none.
        led: Its light; None where the firmware lights none.
        sources: The document that each figure comes from, by the name of the figure.
        file: The file that a user described the board in; None for a board of the catalogue.
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
    flash_wait_states: int | None
    flash_line_bytes: int | None
    aliases: tuple[str, ...]
    flash: tuple[Bank, ...]
    ram: tuple[Bank, ...]
    programming: Programming
    uf2_family: int | None
    boot_block: tuple[int, ...]
    qemu_machine: str | None
    chip: Chip
    port: Port | None
    led: Led | None
    sources: dict[str, str]
    file: pathlib.Path | None = None

    @property
    def argument(self) -> str:
        """What names the board on the command line: its id, or the path of its file."""
        return self.id if self.file is None else str(self.file)

    @property
    def is_at_full_clock(self) -> bool:
        """Whether the firmware runs at `clock_hz`, and not at the clock that reset leaves."""
        return self.chip.family != "bare" or self.qemu_machine is not None

    @property
    def flash_method(self) -> str:
        """The first tool that programs the board; "none" where there is none."""
        ways = self.programming.ways
        return ways[0].tool if ways else "none"

    @property
    def flash_target(self) -> str:
        """The first tool's name of the board; may be empty."""
        ways = self.programming.ways
        return ways[0].target if ways else ""

    @property
    def flash_bytes(self) -> int:
        """The size of all flash banks together, in bytes."""
        return sum(bank.bytes for bank in self.flash)

    @property
    def ram_bytes(self) -> int:
        """The size of all RAM banks together, in bytes."""
        return sum(bank.bytes for bank in self.ram)

    @property
    def largest_ram_bank(self) -> Bank:
        """The largest RAM bank, which can hold the largest tensor arena."""
        return max(self.ram, key=lambda bank: bank.bytes)


def boards() -> list[Board]:
    """Lists all boards that the catalog knows.

    Returns:
        The boards, sorted by their ids.

    Example:
        >>> "nucleo-f446re" in [board.id for board in boards()]
        True
    """
    return sorted((_read(path) for path in BOARD_FOLDER.glob("*.toml")), key=lambda b: b.id)


def find_board(name: str | os.PathLike | Board) -> Board:
    """Finds a board by its name, or reads a board of the user's own.

    Args:
        name: The id of the board, its printed name or an alias; case, spaces, dots and dashes do
            not matter. A path that ends in `.toml` is a board file, as
            `edge.catalog.new_board.write_board_file` makes one. A `Board` is returned as it is.

    Returns:
        The `Board`.

    Raises:
        EdgeError: If no board has that name; the message lists the nearest names. If a board file
            is not there or wrong; the message names the field.

    Example:
        >>> find_board("micro:bit v2").ram_bytes
        131072
    """
    if isinstance(name, Board):
        return name
    if isinstance(name, os.PathLike) or name.endswith(SUFFIX):
        return _own_board(pathlib.Path(name))
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


def built_core(board: Board) -> str:
    """Names the core that a board's programs are compiled and emulated for.

    Args:
        board: The board.

    Returns:
        The core itself, or one with the same instructions that gcc 12, clang 14 and QEMU 7 know.

    Example:
        >>> built_core(find_board("ek-ra8d1"))
        'cortex-m55'
    """
    return BUILT_CORES.get(board.core, board.core)


def core_flags(board: Board) -> list[str]:
    """Returns the options of gcc and clang that choose a board's core.

    Args:
        board: The board to compile for.

    Returns:
        The options, one string each.

    Example:
        >>> core_flags(find_board("nucleo-f446re"))
        ['-mcpu=cortex-m4', '-mthumb', '-mfloat-abi=hard', '-mfpu=fpv4-sp-d16']
    """
    flags = [f"-mcpu={built_core(board)}", "-mthumb"]
    if board.fpu == "none":
        return [*flags, "-mfloat-abi=soft"]
    flags.append("-mfloat-abi=hard")
    # Left out, it is the core's own, to gcc and to clang, which knows no `auto`.
    return flags if board.fpu == "auto" else [*flags, f"-mfpu={board.fpu}"]


def _plain(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def require_own_name(path: pathlib.Path) -> None:
    """Sees that a board file's name can be a board's id.

    Args:
        path: The path of the file.

    Raises:
        EdgeError: If it cannot.

    Example:
        >>> require_own_name(pathlib.Path("my board.toml"))
        Traceback (most recent call last):
        edge.errors.EdgeError: Board file my board.toml: its name is the board's id; rename it ...
    """
    shown = readable(str(path), 100)
    if path.suffix != SUFFIX:
        raise EdgeError(f"Board file {shown} should end in {SUFFIX}.")
    # It becomes a text in C and in the firmware's description.
    if not OWN_NAME.fullmatch(path.stem):
        raise EdgeError(
            f"Board file {shown}: its name is the board's id; rename it so that it has letters, "
            "digits, dots, dashes and underscores, 64 at most."
        )


def _own_board(path: pathlib.Path) -> Board:
    require_own_name(path)
    return dataclasses.replace(_read(path), file=path)


def _read(path: pathlib.Path) -> Board:
    table = read_board_file(path)
    timing, chip, tool = table.flash_timing, table.chip, table.flash_tool
    return Board(
        id=path.stem,
        name=table.name,
        vendor=table.vendor,
        mcu=table.mcu,
        core=table.core,
        fpu=table.fpu,
        dsp=table.dsp,
        mve=table.mve,
        clock_hz=table.clock_hz,
        flash_wait_states=None if timing is None else timing.wait_states,
        flash_line_bytes=None if timing is None else timing.line_bytes,
        aliases=tuple(table.aliases),
        flash=tuple(Bank(bank.name, bank.address, bank.bytes) for bank in table.flash),
        ram=tuple(Bank(bank.name, bank.address, bank.bytes) for bank in table.ram),
        programming=tool,
        uf2_family=tool.uf2_family,
        boot_block=tuple(tool.boot_block),
        qemu_machine=None if table.qemu is None else table.qemu.machine,
        chip=Chip(chip.family, chip.interrupts, chip.figures),
        port=_port(table.uart),
        led=_led(table.led),
        sources=table.source,
    )


def _port(port: PortTable | None) -> Port | None:
    if port is None:
        return None
    return Port(
        name=port.name,
        tx=port.tx,
        rx=port.rx,
        bridge=port.bridge,
        usb_ids=tuple(port.usb_ids),
        figures=port.figures,
    )


def _led(led: LedTable | None) -> Led | None:
    return None if led is None else Led(led.name, led.figures)
