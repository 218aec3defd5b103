"""Runs a firmware on QEMU, and reads its outputs, its instructions and its use of the stack."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile

import numpy as np

from edge.catalog.boards import Board, boards, built_core
from edge.errors import EdgeError
from edge.firmware.build import require_tool
from edge.system.subprocesses import run_tool

CALIBRATION_INSTRUCTIONS = 200_000
"""The instructions of the calibration loop in measure.c, two for each iteration."""

MACHINE_OPTIONS = {
    "microbit": ("nrf51-soc.flash-size=4194304", "nrf51-soc.sram-size=4194304"),
}
"""Memory beyond a machine's own, as in the catalogue: the micro:bit has 16 KiB of RAM."""


class EmulationError(EdgeError):
    """The firmware did not run to its end."""


@dataclasses.dataclass(frozen=True)
class Emulation:
    """The result of a firmware's run on QEMU.

    Attributes:
        outputs: The outputs of the model, an int8 array of shape (count, output bytes).
        instructions: The instructions of the first inference, counted by the emulator's clock.
        stack_bytes: The largest depth of the stack.
        state_bytes: The size of the model's state.
        image_bytes: The size of the buffer that holds a row, or the frame; with a camera the
            camera's row, its state and a row of the model.
    """

    outputs: np.ndarray
    instructions: int
    stack_bytes: int
    state_bytes: int
    image_bytes: int

    @property
    def ram_bytes(self) -> int:
        """The RAM in use: state, image buffer, a copy of the output, and the peak of the stack."""
        return self.state_bytes + self.image_bytes + self.outputs.shape[1] + self.stack_bytes


def emulated_board(board: Board) -> Board:
    """Finds a board with the same core that QEMU emulates.

    Args:
        board: Any board.

    Returns:
        The board itself if QEMU emulates it, otherwise another one with the same core, or with the
        same instructions where QEMU has no such core.

    Raises:
        EdgeError: If QEMU emulates no board with that core.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> emulated_board(find_board("nucleo-f446re")).id
        'mps2-an386'
    """
    if board.qemu_machine:
        return board
    for other in boards():
        if other.core == built_core(board) and other.qemu_machine:
            return other
    raise EdgeError(
        f"QEMU emulates no board with a {board.core}; emulate on one of "
        f"{', '.join(b.id for b in boards() if b.qemu_machine)}."
    )


def emulate(elf: pathlib.Path, machine: str, inputs: np.ndarray, output_bytes: int) -> Emulation:
    """Runs a firmware on images.

    Args:
        elf: The path of the firmware, built for a board that QEMU emulates.
        machine: QEMU's name of the board.
        inputs: The images, an int8 array of shape (count, height, width, channels); for a firmware
            with a camera the camera's frames, a uint8 array of shape (count, bytes of a frame).
        output_bytes: The size of the output of one inference.

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
        outputs=np.frombuffer(written, np.int8).reshape(len(inputs), output_bytes),
        instructions=round(said["ticks"] * per_tick),
        stack_bytes=said["stack_bytes"],
        state_bytes=said["state_bytes"],
        image_bytes=said["image_bytes"],
    )


def qemu_command(machine: str, *, counts_instructions: bool = True) -> list[str]:
    """The command that runs `firmware.elf` of the current folder.

    Args:
        machine: QEMU's name of the board.
        counts_instructions: Whether the clock goes on by one nanosecond an instruction, which cuts
            blocks short.

    Returns:
        The program and its arguments.

    Example:
        >>> " ".join(qemu_command("mps2-an386")[:3])
        'qemu-system-arm -M mps2-an386'
    """
    command = ["qemu-system-arm", "-M", machine, "-nographic", "-monitor", "none"]
    for option in MACHINE_OPTIONS.get(machine, ()):
        command += ["-global", option]
    command += ["-semihosting-config", "enable=on,target=native"]
    command += ["-icount", "shift=0"] if counts_instructions else []
    return [*command, "-kernel", "firmware.elf"]


def run_qemu(folder: pathlib.Path, machine: str) -> dict[str, int]:
    """Runs `firmware.elf` on QEMU in a folder, which also holds the files that it reads and writes.

    Args:
        folder: The folder with `firmware.elf`, and with `inputs.bin` for it to read.
        machine: QEMU's name of the board.

    Returns:
        The numbers that the firmware printed, by name.

    Raises:
        EmulationError: If QEMU fails, or the firmware prints anything else.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "mps2-an386", "firmware").folder
        >>> (folder / "inputs.bin").write_bytes(bytes(8 * 8 * 3))
        192
        >>> run_qemu(folder, "mps2-an386")["intact"]
        1
    """
    done = run_tool(qemu_command(machine), cwd=folder, text=True, errors="replace")
    # QEMU writes semihosting's output to its standard error.
    lines = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    if not lines or any(len(words) != 2 or not words[1].isdigit() for words in lines):
        raise EmulationError(f"QEMU said: {' '.join(word for words in lines for word in words)}")
    return {name: int(value) for name, value in lines}
