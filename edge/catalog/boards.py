"""Reads the Cortex-M boards from the TOML files beside this module."""

from __future__ import annotations

import dataclasses
import difflib
import pathlib
import tomllib

from edge.catalog.programming import Programming
from edge.errors import EdgeError

BOARD_FOLDER = pathlib.Path(__file__).parent
CORES = ("cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55")


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


def find_board(name: str | Board) -> Board:
    """Finds a board by its name.

    Args:
        name: The id of the board, its printed name or an alias; case, spaces, dots and dashes do
            not matter. A `Board` is returned as it is.

    Returns:
        The `Board`.

    Raises:
        EdgeError: If no board has that name; the message lists the nearest names.

    Example:
        >>> find_board("micro:bit v2").ram_bytes
        131072
    """
    if isinstance(name, Board):
        return name
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
    """Returns the options of gcc and clang that choose a board's core.

    Args:
        board: The board to compile for.

    Returns:
        The options, one string each.

    Example:
        >>> core_flags(find_board("nucleo-f446re"))
        ['-mcpu=cortex-m4', '-mthumb', '-mfloat-abi=hard', '-mfpu=fpv4-sp-d16']
    """
    flags = [f"-mcpu={board.core}", "-mthumb"]
    if board.fpu == "none":
        return [*flags, "-mfloat-abi=soft"]
    flags.append("-mfloat-abi=hard")
    # Left out, it is the core's own, to gcc and to clang, which knows no `auto`.
    return flags if board.fpu == "auto" else [*flags, f"-mfpu={board.fpu}"]


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
        flash_wait_states=table.get("flash_timing", {}).get("wait_states"),
        flash_line_bytes=table.get("flash_timing", {}).get("line_bytes"),
        aliases=tuple(table["aliases"]),
        flash=tuple(Bank(**bank) for bank in table["flash"]),
        ram=tuple(Bank(**bank) for bank in table["ram"]),
        programming=Programming.model_validate(table["flash_tool"]),
        uf2_family=table["flash_tool"].get("uf2_family"),
        boot_block=tuple(table["flash_tool"].get("boot_block", ())),
        qemu_machine=table.get("qemu", {}).get("machine"),
        chip=_chip(table.get("chip", {})),
        port=_port(table["uart"]) if "uart" in table else None,
        led=_led(table["led"]) if "led" in table else None,
        sources=table["source"],
    )


def _chip(table: dict) -> Chip:
    figures = dict(table)
    return Chip(figures.pop("family", "bare"), figures.pop("interrupts", 0), figures)


def _port(table: dict) -> Port:
    figures = dict(table)
    name, tx, rx, bridge = (figures.pop(key) for key in ("name", "tx", "rx", "bridge"))
    return Port(name, tx, rx, bridge, tuple(figures.pop("usb_ids")), figures)


def _led(table: dict) -> Led:
    figures = dict(table)
    return Led(figures.pop("name"), figures)
