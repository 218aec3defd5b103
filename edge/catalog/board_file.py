"""What a board's TOML file says, field by field, and the check of a file against it."""

from __future__ import annotations

import itertools
import os
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.catalog.programming import NO_TOOL, Programming
from edge.errors import quoted, readable
from edge.system.toml_file import read_toml_file

FPUS = {
    "cortex-m0plus": ("none",),
    "cortex-m3": ("none",),
    "cortex-m4": ("none", "fpv4-sp-d16"),
    "cortex-m7": ("none", "fpv5-sp-d16", "fpv5-d16"),
    "cortex-m33": ("none", "fpv5-sp-d16"),
    "cortex-m55": ("none", "auto"),
    "cortex-m85": ("none", "auto"),
}
"""What `-mfpu` may name for each core; "auto" is the core's only unit."""

CORES = tuple(FPUS)
HELIUM_CORES = ("cortex-m55", "cortex-m85")
WORD = 1 << 32
FIGURE_NAME = re.compile(r"[a-z][a-z0-9_]*")

Text = Annotated[str, Field(min_length=1)]
Word = Annotated[int, Field(ge=0, lt=WORD)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class FiguresTable(_Table):
    """A table whose other names become macros of `board.h`."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Any]

    @property
    def figures(self) -> dict[str, int]:
        """What the table says beside the fields that every board has."""
        return dict(self.__pydantic_extra__)

    @model_validator(mode="after")
    def _check_macros(self) -> FiguresTable:
        for name, value in self.figures.items():
            if not FIGURE_NAME.fullmatch(name):
                raise ValueError(f"{name} cannot be a macro: small letters, digits and _ can")
            if type(value) is not int or not 0 <= value < WORD:
                raise ValueError(f"{name} should be a whole number below 2**32")
        return self


class BankTable(_Table):
    """One `[[flash]]` or `[[ram]]`."""

    name: Text = Field(description="The name of the memory in the data sheet.")
    address: Word = Field(description="Its first address.")
    bytes: int = Field(gt=0, le=WORD, description="Its size in bytes.")

    @model_validator(mode="after")
    def _check_end(self) -> BankTable:
        if self.address + self.bytes > WORD:
            raise ValueError("it ends behind the last address of a Cortex-M, 0xffffffff")
        return self


class TimingTable(_Table):
    """`[flash_timing]`."""

    wait_states: int = Field(
        ge=0, description="Cycles that the core waits for a line of the flash at full clock."
    )
    line_bytes: int = Field(gt=0, description="What one access to the flash reads, in bytes.")


class ChipTable(FiguresTable):
    """`[chip]`."""

    family: str = Field(
        "bare",
        pattern=r"^[a-z0-9_]+$",
        description="How the chip is started: a file of edge/firmware/chips; bare leaves it as it "
        "comes out of reset.",
    )
    interrupts: int = Field(
        0, ge=0, le=480, description="Interrupts in the vector table, without the core's own 16."
    )


class PortTable(FiguresTable):
    """`[uart]`."""

    name: Text = Field(description="The serial port's name in the reference manual.")
    tx: Text = Field(description="The pin that sends.")
    rx: Text = Field(description="The pin that receives.")
    bridge: str = Field(
        description="What takes the port to the computer; empty where a serial adapter must."
    )
    usb_ids: list[Annotated[str, Field(pattern=r"^[0-9a-f]{4}:[0-9a-f]{4}$")]] = Field(
        description='USB vendor and product ids of that bridge: ["0483:374b"].'
    )


class LedTable(FiguresTable):
    """`[led]`."""

    name: Text = Field(description="The light's name on the board, with its pin.")


class QemuTable(_Table):
    """`[qemu]`."""

    machine: Text = Field(description="QEMU's name of the board.")


class BoardTable(_Table):
    """A whole board file."""

    name: Text = Field(description="The name that is printed on the board.")
    vendor: str = Field(description="The maker of the board.")
    mcu: Text = Field(description="The part number of the microcontroller.")
    core: str = Field(description=f"The core: {', '.join(CORES)}.")
    fpu: str = Field(
        description="The floating-point unit for -mfpu: none, fpv4-sp-d16, fpv5-sp-d16, fpv5-d16, "
        "or auto for the core's only one."
    )
    dsp: bool = Field(description="Whether the core has the DSP extension.")
    mve: bool = Field(description="Whether the core has Helium, the M-profile vector extension.")
    clock_hz: int = Field(gt=0, lt=WORD, description="The highest core clock, in Hz.")
    aliases: list[str] = Field([], description="Other names that people type.")
    flash: list[BankTable] = Field(min_length=1, description="A bank of program memory.")
    ram: list[BankTable] = Field(min_length=1, description="A bank of data memory.")
    flash_timing: TimingTable | None = Field(
        None, description="How fast the flash is.", examples=["5", "16"]
    )
    chip: ChipTable = Field(
        ChipTable.model_validate({}),
        description="How the chip is started.",
        examples=['"bare"', "0"],
    )
    uart: PortTable | None = Field(
        None,
        description="The serial port of the firmware.",
        examples=['"USART2"', '"PA2"', '"PA3"', '"ST-LINK"', '["0483:374b"]'],
    )
    led: LedTable | None = Field(
        None, description="The light that the firmware blinks.", examples=['"LD2 (PA5)"']
    )
    flash_tool: Programming = Field(
        Programming.model_validate({"why_not": NO_TOOL}), description="How the board is programmed."
    )
    qemu: QemuTable | None = Field(None, description="The emulated board, if QEMU has it.")
    source: dict[str, Text] = Field({}, description="The document that each figure is from.")

    @model_validator(mode="after")
    def _check_core(self) -> BoardTable:
        if self.core not in FPUS:
            raise ValueError(f"core is {quoted(self.core)}; there are {', '.join(CORES)}")
        units = FPUS[self.core]
        if self.fpu not in units:
            raise ValueError(
                f"fpu is {quoted(self.fpu)}, but a {self.core} has {' or '.join(units)}"
            )
        if self.dsp and self.core in ("cortex-m0plus", "cortex-m3"):
            raise ValueError(f"dsp is true, but no {self.core} has the DSP extension")
        if self.mve and self.core not in HELIUM_CORES:
            raise ValueError(f"mve is true, but no {self.core} has Helium")
        return self

    @model_validator(mode="after")
    def _check_banks(self) -> BoardTable:
        banks = sorted((*self.flash, *self.ram), key=lambda bank: bank.address)
        for low, high in itertools.pairwise(banks):
            if low.address + low.bytes > high.address:
                raise ValueError(f"the banks {quoted(low.name)} and {quoted(high.name)} overlap")
        return self


def read_board_file(path: str | os.PathLike) -> BoardTable:
    """Reads a board file and checks every field.

    Args:
        path: The path of the TOML file.

    Returns:
        The `BoardTable`.

    Raises:
        EdgeError: If the file is not there, is no TOML, or says what no board can be: which field,
            and what it should be.

    Example:
        >>> read_board_file("my-board.toml")
        Traceback (most recent call last):
        edge.errors.EdgeError: There is no board file my-board.toml; `keras-mobilenet boards ...
    """
    shown = readable(os.fspath(path), 100)
    return read_toml_file(
        path,
        BoardTable,
        what="board file",
        advice=f"`keras-mobilenet boards --new {shown}` writes one",
    )
