"""Programs a board: runs the tool that does it, or copies the image to the board's drive."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil

from edge.catalog.boards import Board, find_board
from edge.errors import EdgeError, MissingToolError
from edge.firmware.flash.firmware_files import read_firmware
from edge.firmware.flash.uf2 import uf2
from edge.system.files import output_path, read_file, write_to_drive
from edge.system.subprocesses import run_tool

UF2_DRIVE_FILE = "INFO_UF2.TXT"
HOW_TO_INSTALL = {
    "pyocd": "pip install pyocd",
    "openocd": "Debian: apt install openocd",
    "st-flash": "Debian: apt install stlink-tools",
    "bossac": "Debian: apt install bossa-cli",
    "dfu-util": "Debian: apt install dfu-util",
}


@dataclasses.dataclass(frozen=True)
class FlashPlan:
    """The one step that programs a board: a command, or the copy of a file.

    Attributes:
        command: The command to run; empty where a file is copied.
        copy: The image to copy, and the drive to copy it to (None while it is not mounted); None
            where a command programs the board.
    """

    command: tuple[str, ...]
    copy: tuple[pathlib.Path, pathlib.Path | None] | None = None

    def sentence(self) -> str:
        """Describes the step in one line.

        Returns:
            The command as one would type it, or a sentence that says what is copied where.

        Example:
            >>> FlashPlan(("pyocd", "flash", "firmware.elf")).sentence()
            'pyocd flash firmware.elf'
        """
        if self.copy is None:
            return " ".join(self.command)
        image, drive = self.copy
        return f"copy {image.with_suffix('.uf2')} to {drive or 'the drive of the board'}"


def flash(
    folder: str | os.PathLike,
    board: str | Board = "nucleo-f446re",
    *,
    drives: str | os.PathLike = "/media",
) -> FlashPlan:
    """Programs a board with the firmware that `edge.build` wrote into a folder.

    Args:
        folder: The folder with `firmware.elf`, `firmware.bin` and `firmware.hex`.
        board: The name of the board, or a `Board`.
        drives: The folder below which drives are mounted, for boards that show up as one.

    Returns:
        The `FlashPlan` that was carried out.

    Raises:
        MissingToolError: If the tool that programs the board is not installed.
        EdgeError: If the folder holds no firmware, the board cannot be programmed with it, the tool
            fails, or the board's drive is not mounted.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "raspberry-pi-pico-2", "firmware").folder
        >>> drive = pathlib.Path("media/RP2350")
        >>> drive.mkdir(parents=True)
        >>> (drive / "INFO_UF2.TXT").touch()
        >>> flash(folder, "raspberry-pi-pico-2", drives="media").sentence()
        'copy firmware/firmware.uf2 to media/RP2350'
        >>> (drive / "firmware.uf2").read_bytes() == (folder / "firmware.uf2").read_bytes()
        True
    """
    plan = flash_plan(folder, board, drives=drives)
    program(plan, board)
    return plan


def flash_plan(
    folder: str | os.PathLike,
    board: str | Board = "nucleo-f446re",
    *,
    drives: str | os.PathLike = "/media",
) -> FlashPlan:
    """Decides how a board is programmed, and does nothing yet.

    Args:
        folder: The folder with `firmware.elf`, `firmware.bin` and `firmware.hex`.
        board: The name of the board, or a `Board`.
        drives: The folder below which drives are mounted, for boards that show up as one.

    Returns:
        The `FlashPlan`.

    Raises:
        EdgeError: If the folder holds no firmware, or the board cannot be programmed with it.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "nucleo-f446re", "firmware").folder
        >>> flash_plan(folder, "nucleo-f446re").sentence()
        'pyocd flash --target stm32f446retx firmware/firmware.elf'
    """
    folder, board = pathlib.Path(folder), find_board(board)
    files = read_firmware(folder, board)
    elf, binary = files.path("elf"), files.path("bin")
    address, target = f"0x{files.address:08x}", board.flash_target
    commands = {
        "pyocd": ("pyocd", "flash", "--target", target, str(elf)),
        "openocd": ("openocd", "-f", target, "-c", f"program {elf} verify reset exit"),
        "st-flash": ("st-flash", "--reset", "write", str(binary), address),
        "bossac": (
            *("bossac", "--erase", "--write", "--reset"),
            *(f"--offset={address}", str(binary)),
        ),
        "dfu": ("dfu-util", "-d", target, "-a", "0", "-s", f"{address}:leave", "-D", str(binary)),
    }
    if board.flash_method in commands:
        return FlashPlan(commands[board.flash_method])
    if board.flash_method == "uf2" and board.uf2_family is not None:
        return FlashPlan((), (binary, _drive(output_path(drives))))
    if board.flash_method == "none":
        raise EdgeError(
            f"{board.name} is emulated, it has no flash: keras-mobilenet run MODEL --board "
            f"{board.argument}"
        )
    raise EdgeError(
        f"{board.name} starts from a boot header of its maker's, which this image does not have. "
        f"Add the sources in {folder} to a project of its SDK."
    )


def program(plan: FlashPlan, board: str | Board) -> None:
    """Carries out a plan.

    Args:
        plan: The plan from `flash_plan`.
        board: The name of the board that the plan was made for, or a `Board`.

    Raises:
        MissingToolError: If the tool is not installed.
        EdgeError: If the tool fails, or the board's drive is not mounted.

    Example:
        >>> image, drive = pathlib.Path("firmware.bin"), pathlib.Path("RP2350")
        >>> image.write_bytes(bytes(300)), drive.mkdir()
        (300, None)
        >>> program(FlashPlan((), (image, drive)), "raspberry-pi-pico-2")
        >>> (drive / "firmware.uf2").stat().st_size
        1024
    """
    board = find_board(board)
    if plan.copy is not None:
        image, drive = plan.copy
        if drive is None:
            raise EdgeError(
                f"No drive with {UF2_DRIVE_FILE} is mounted: hold the BOOTSEL button of "
                f"{board.name} while you plug it in."
            )
        assert board.uf2_family is not None, "flash_plan copies only to boards that take UF2 files"
        content = uf2(read_file(image), board.flash[0].address, board.uf2_family)
        write_to_drive(drive, image.with_suffix(".uf2").name, content)
        return
    tool = plan.command[0]
    if shutil.which(tool) is None:
        raise MissingToolError(f"{tool} is not installed ({HOW_TO_INSTALL[tool]}).")
    done = run_tool(plan.command, text=True, errors="replace")
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).splitlines() or ["no output"]
        raise EdgeError(f"{tool} failed: {lines[-1].strip()}")


def _drive(drives: pathlib.Path) -> pathlib.Path | None:
    """Finds the first mounted drive of a boot loader."""
    found = sorted(drives.glob(f"*/{UF2_DRIVE_FILE}")) + sorted(
        drives.glob(f"*/*/{UF2_DRIVE_FILE}")
    )
    return found[0].parent if found else None
