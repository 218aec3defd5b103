"""How a board is programmed: the tools that can, in the order in which they are tried."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

ToolName = Literal[
    "pyocd",
    "openocd",
    "st-flash",
    "probe-rs",
    "bossac",
    "dfu-util",
    "uf2",
    "daplink",
    "teensy_loader_cli",
]

NO_TOOL = "its file names no tool in [flash_tool]"
Word = Annotated[int, Field(ge=0, lt=1 << 32)]


class Way(BaseModel):
    """One way to program a board.

    Attributes:
        tool: The program; "uf2" and "daplink" copy a file to the board's drive.
        target: The tool's name of the chip: pyOCD's target, probe-rs's chip, the Teensy loader's
            mcu; the first letters of what bossac calls it.
        scripts: OpenOCD's configuration files.
        adapter_khz: The speed that OpenOCD's files do not set, in kHz.
        offset: What bossac is told to start at, from the start of the flash; None where the boot
            loader adds its own size.
        usb_ids: The vendor and product ids of the boot loader, "2341:035b".
        sketch_ids: The ids of the maker's own programs, whose serial port starts the boot loader
            when it is opened at 1200 baud.
        alt: The alternate setting that dfu-util writes to.
        board_ids: The first letters of what the drive says of its board: Board-ID in INFO_UF2.TXT,
            or the number that begins the Unique ID in DETAILS.TXT.
        suffix: The suffix of the file that is copied to a DAPLink drive.
        hint: What a user does so that the tool finds the board.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    tool: ToolName
    target: str = ""
    scripts: list[str] = []
    adapter_khz: int | None = None
    offset: int | None = None
    usb_ids: list[str] = []
    sketch_ids: list[str] = []
    alt: int = 0
    board_ids: list[str] = []
    suffix: Literal["hex", "bin"] = "hex"
    hint: str = ""


class ChipId(BaseModel):
    """The word by which a debugger knows the chip.

    Attributes:
        name: The register's name in the manual.
        address: Its address.
        mask: The bits that tell the chip.
        value: What they are.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    name: str
    address: Word
    mask: Word
    value: Word


class Programming(BaseModel):
    """`[flash_tool]` of a board's file.

    Attributes:
        ways: The ways to program the board, the first to try first.
        chip_id: The word by which a debugger knows the chip; None where none is known.
        uf2_family: The number of the chip in UF2 files; None where the board takes none.
        boot_block: The words that the boot ROM looks for near the start of the flash.
        why_not: Why there is no way; empty where there is one.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    ways: list[Way] = Field(
        [], description="The tools that program the board, the first to try first."
    )
    chip_id: ChipId | None = Field(
        None, description="The register by which a debugger knows the chip, and what it holds."
    )
    uf2_family: Word | None = Field(None, description="The number of the chip in UF2 files.")
    boot_block: list[Word] = Field(
        [], description="The words that the boot ROM looks for near the start of the flash."
    )
    why_not: str = Field("", description="Why nothing programs the board, if nothing does.")
