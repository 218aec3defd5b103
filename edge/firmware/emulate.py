"""Runs a firmware on QEMU: outputs, instructions, stack."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile

import numpy as np

from edge.catalog.boards import Board, boards
from edge.errors import EdgeError
from edge.firmware.build import require_tool
from edge.system.subprocesses import run_tool

CALIBRATION_INSTRUCTIONS = 200_000
"""Of the loop in main.c: two in each of its turns."""


class EmulationError(EdgeError):
    """A firmware that did not run to its end."""


@dataclasses.dataclass(frozen=True)
class Emulation:
    """What a firmware did on QEMU.

    Attributes:
        outputs: int8 array, (count, output bytes).
        instructions: Of the first inference, counted by the emulator's clock.
        stack_bytes: The most that the stack ever held.
        state_bytes: Of the model's state.
        image_bytes: Of the buffer that holds a row, or the frame; with a camera its row, its state
            and a row of the model.
    """

    outputs: np.ndarray
    instructions: int
    stack_bytes: int
    state_bytes: int
    image_bytes: int

    @property
    def ram_bytes(self) -> int:
        """State, image buffer, a copy of the output, and the peak of the stack."""
        return self.state_bytes + self.image_bytes + self.outputs.shape[1] + self.stack_bytes


def emulated_board(board: Board) -> Board:
    """A board with the same core that QEMU knows.

    Args:
        board: Any board.

    Returns:
        The board itself, or one with its core.

    Raises:
        EdgeError: If QEMU has none.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> emulated_board(find_board("nucleo-f446re")).id
        'mps2-an386'
    """
    if board.qemu_machine:
        return board
    for other in boards():
        if other.core == board.core and other.qemu_machine:
            return other
    raise EdgeError(
        f"QEMU emulates no board with a {board.core}; emulate on one of "
        f"{', '.join(b.id for b in boards() if b.qemu_machine)}."
    )


def emulate(elf: pathlib.Path, machine: str, inputs: np.ndarray, output_bytes: int) -> Emulation:
    """Runs a firmware on images.

    Args:
        elf: The image, built for a board that QEMU knows.
        machine: QEMU's name of the board.
        inputs: int8 array, (count, height, width, channels); of a firmware with a camera its
            frames, uint8 array, (count, bytes of a frame).
        output_bytes: Of one inference.

    Returns:
        The `Emulation`.

    Raises:
        MissingToolError: If QEMU is not installed.
        EmulationError: If the firmware stops before the last image.

    Example:
        >>> from edge.deploy.build import build
        >>> elf = build("model.tflite", "mps2-an386", "firmware").firmware.elf
        >>> emulate(elf, "mps2-an386", np.zeros((1, 8, 8, 3), "int8"), 2).outputs
        array([[ 113, -113]], dtype=int8)
    """
    require_tool("qemu-system-arm")
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        (folder / "inputs.bin").write_bytes(np.ascontiguousarray(inputs).tobytes())
        shutil.copy(elf, folder / "firmware.elf")
        said = run_qemu(folder, machine)
        written = (folder / "outputs.bin").read_bytes() if said.get("count") else b""
    if said.get("intact") != 1 or len(written) != len(inputs) * output_bytes:
        raise EmulationError(
            f"The firmware made {len(written)} bytes of {len(inputs)} images on {machine}: {said}."
        )
    per_tick = CALIBRATION_INSTRUCTIONS / said["calibration_ticks"]
    return Emulation(
        np.frombuffer(written, np.int8).reshape(len(inputs), output_bytes),
        round(said["ticks"] * per_tick),
        said["stack_bytes"],
        said["state_bytes"],
        said["image_bytes"],
    )


def run_qemu(folder: pathlib.Path, machine: str) -> dict[str, int]:
    """Runs `firmware.elf` in a folder, where it finds and leaves its files.

    Args:
        folder: Holds the image, and `inputs.bin` for it to read.
        machine: QEMU's name of the board.

    Returns:
        What it printed: numbers by name.

    Raises:
        EmulationError: If QEMU fails or the firmware says something else.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "mps2-an386", "firmware").folder
        >>> (folder / "inputs.bin").write_bytes(bytes(8 * 8 * 3))
        192
        >>> run_qemu(folder, "mps2-an386")["intact"]
        1
    """
    command = ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none"]
    command += ["-semihosting-config", "enable=on,target=native", "-icount", "shift=0"]
    done = run_tool([*command, "-kernel", "firmware.elf"], cwd=folder, text=True, errors="replace")
    # QEMU writes semihosting's output to its standard error.
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    if not lines or any(len(words) != 2 or not words[1].isdigit() for words in lines):
        raise EmulationError(f"QEMU said: {' '.join(word for words in lines for word in words)}")
    return {name: int(value) for name, value in lines}
