"""Which blocks of a firmware an emulated core executes, in order, from QEMU's own log."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import threading
from collections.abc import Sequence

import numpy as np

from edge.firmware.build import require_tool
from edge.firmware.emulate import EmulationError, qemu_command
from edge.system.subprocesses import run_tool

CHUNK_BYTES = 1 << 22
EXECUTED = re.compile(rb"^Trace [^/\n]*/(?:0{8})?([0-9a-f]{8})/", re.M)
TRANSLATED = re.compile(rb"^0x([0-9a-f]{8}):", re.M)
NOT_EXECUTED = b"Stopped execution"
"""QEMU writes a block before it runs it, and this if it did not run it after all."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """What a core executed.

    Attributes:
        starts: The address of every block that was executed, in order: a uint32 array.
        ends: The address of each block's last instruction, by the block's first.
    """

    starts: np.ndarray
    ends: dict[int, int]


class _LogReader:
    """Takes QEMU's log apart while it is written: of a large model it is a gigabyte of text."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.ends: dict[int, int] = {}

    def read(self, path: pathlib.Path) -> None:
        """Reads a pipe to its end."""
        rest = b""
        with path.open("rb", buffering=0) as log:
            while chunk := log.read(CHUNK_BYTES):
                # A block's text ends with an empty line, so that no block is cut in two.
                text = rest + chunk
                cut = text.rfind(b"\nTrace ") + 1
                self._take(text[:cut])
                rest = text[cut:]
        self._take(rest)

    def _take(self, text: bytes) -> None:
        if b"\nIN:" in text:
            for block in text.split(b"\nIN:")[1:]:
                addresses = TRANSLATED.findall(block)
                if addresses:
                    self.ends[int(addresses[0], 16)] = int(addresses[-1], 16)
        pieces = text.split(NOT_EXECUTED)
        for number, piece in enumerate(pieces):
            found = b"".join(EXECUTED.findall(piece))
            part = np.frombuffer(bytes.fromhex(found.decode("ascii")), ">u4").astype(np.uint32)
            if len(part):
                self.parts.append(part)
            if number + 1 < len(pieces):
                self.parts[-1] = self.parts[-1][:-1]


def trace(folder: pathlib.Path, machine: str, ranges: Sequence[range] = ()) -> Trace:
    """Runs `firmware.elf` of a folder on QEMU and follows it block by block.

    Args:
        folder: The folder with `firmware.elf`, and with `inputs.bin` for it to read.
        machine: QEMU's name of the board.
        ranges: The addresses whose blocks are followed; all if there are none.

    Returns:
        The `Trace`, which is the same in every run.

    Raises:
        MissingToolError: If QEMU is not installed.
        EmulationError: If the firmware does not run to its end.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "mps2-an386", "firmware").firmware.elf.parent
        >>> (folder / "inputs.bin").write_bytes(bytes(8 * 8 * 3))
        192
        >>> len(trace(folder, "mps2-an386").starts) > 1000
        True
    """
    require_tool("qemu-system-arm")
    pipe = folder / "blocks.log"
    os.mkfifo(pipe)
    # Who holds both ends neither waits for QEMU, nor takes a late start of it for the log's end.
    keeper = os.open(pipe, os.O_RDWR)
    log = _LogReader()
    reader = threading.Thread(target=log.read, args=(pipe,), daemon=True)
    command = qemu_command(machine, counts_instructions=False)
    command += ["-d", "exec,nochain,in_asm", "-D", pipe.name]
    if ranges:
        command += ["-dfilter", ",".join(f"0x{r.start:x}..0x{r.stop - 1:x}" for r in ranges)]
    try:
        reader.start()
        done = run_tool(command, cwd=folder, text=True, errors="replace")
    finally:
        # The pipe may be deleted before QEMU opened it: the reader is up by then.
        os.close(keeper)
        reader.join()
        pipe.unlink()
    said = (done.stdout + done.stderr).split()
    if "count" not in said or not log.parts:
        raise EmulationError(f"The firmware on {machine} did not run to its end: {' '.join(said)}.")
    return Trace(starts=np.concatenate(log.parts), ends=log.ends)
