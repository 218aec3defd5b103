"""Which code of a firmware an emulated core executes: QEMU translates a block that is reached."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess
import tempfile

import numpy as np

from edge.catalog.boards import Board
from edge.emit.engine.render import KERNEL_FOLDER
from edge.engine.compile import Engine
from edge.firmware.build import build_firmware
from edge.firmware.emulate import qemu_command
from edge.firmware.render import render_firmware

LOG = ("-d", "in_asm", "-D", "blocks.log")
FILES = {path.name for path in KERNEL_FOLDER.glob("*.[ch]")}

Place = tuple[str, str, int]
"""The C file that was compiled, the file that a line of it is in, and the line's number."""


@dataclasses.dataclass(frozen=True)
class Execution:
    """One firmware's run.

    Attributes:
        outputs: The bytes of the model's outputs, an int8 array of shape (count, output bytes).
        kernels: The names of the kernels that were entered, without `engine_` and the version.
        lines: The lines of the kernels' sources that have code in the firmware.
        executed: Those of `lines` of which an instruction was executed.
    """

    outputs: np.ndarray
    kernels: frozenset[str]
    lines: frozenset[Place]
    executed: frozenset[Place]


def execute(engine: Engine, board: Board, inputs: np.ndarray) -> Execution:
    """Builds a firmware with lines of the sources in it, and runs it on images."""
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        for file, text in render_firmware(engine, board).items():
            # The linker leaves the lines of a function that it drops at address 0, among others'.
            text = text.replace("-Wl,--gc-sections", "").replace("-O2", "-O2 -g")
            (folder / file).write_text(text, "utf-8")
        elf = build_firmware(folder).elf
        (folder / "firmware.elf").write_bytes(elf.read_bytes())
        (folder / "inputs.bin").write_bytes(np.ascontiguousarray(inputs).tobytes())
        command = [*qemu_command(board.qemu_machine), *LOG]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
        written = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8)
        blocks = (folder / "blocks.log").read_text()
        symbols = _tool("arm-none-eabi-nm", elf)
        table = _tool("arm-none-eabi-objdump", "--dwarf=decodedline", "-WL", elf)
    reached = {int(address, 16) for address in re.findall(r"^0x([0-9a-f]{8}):", blocks, re.M)}
    entries = re.findall(r"^(\w+) \w engine_(\w+)_[0-9a-f]{8}$", symbols, re.M)
    places = _places(table)
    return Execution(
        outputs=written.reshape(len(inputs), -1),
        kernels=frozenset(kernel for at, kernel in entries if int(at, 16) in reached),
        lines=frozenset(place for place, _ in places),
        executed=frozenset(place for place, at in places if at in reached),
    )


def _places(table: str) -> list[tuple[Place, int]]:
    """The lines of kernels, each with the addresses of its instructions."""
    places, unit = [], ""
    for line in table.splitlines():
        if header := re.fullmatch(r"([\w.]+\.c):", line):
            unit = header[1]
        row = re.match(r"(\S+)\s+(\d+)\s+0x([0-9a-f]+)", line)
        if row and {unit, row[1]} <= FILES:
            places.append(((unit, row[1], int(row[2])), int(row[3], 16)))
    return places


def _tool(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
