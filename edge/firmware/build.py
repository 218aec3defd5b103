"""Compiles a firmware with CMake and arm-none-eabi-gcc, and measures its flash and RAM."""

from __future__ import annotations

import dataclasses
import pathlib
import re
import shutil

from edge.errors import EdgeError, MissingToolError
from edge.firmware.sizes import SectionSize, section_sizes
from edge.system.subprocesses import run_tool

TOOLS = {
    "cmake": "cmake",
    "make": "make",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
}


class BuildError(EdgeError):
    """The compiler or the linker refused the sources."""


@dataclasses.dataclass(frozen=True)
class Firmware:
    """A firmware that was built.

    Attributes:
        elf: The path of the linked image.
        flash_bytes: The flash that the image takes.
        weights_bytes: The part of it that the model's weights take.
        static_ram_bytes: The RAM that data takes beside the stack.
        sections: What each section holds, symbol by symbol.
    """

    elf: pathlib.Path
    flash_bytes: int
    weights_bytes: int
    static_ram_bytes: int
    sections: tuple[SectionSize, ...] = ()

    @property
    def code_bytes(self) -> int:
        """The flash without the weights: kernels, tables, start-up and main."""
        return self.flash_bytes - self.weights_bytes


def build_firmware(folder: pathlib.Path) -> Firmware:
    """Builds the firmware whose sources lie in a folder.

    Args:
        folder: The folder with the files of `render_firmware`; the build goes to its subfolder
            `build`.

    Returns:
        The `Firmware`.

    Raises:
        MissingToolError: If a tool is not installed.
        BuildError: If the compiler or the linker fails.

    Example:
        >>> from edge.deploy.build import build
        >>> folder = build("model.tflite", "nucleo-f446re", "firmware").folder
        >>> build_firmware(folder).weights_bytes
        1428
    """
    for tool in ("cmake", "make", "arm-none-eabi-gcc"):
        require_tool(tool)
    build = folder / "build"
    _run(["cmake", "-G", "Unix Makefiles", "-S", str(folder), "-B", str(build)])
    _run(["cmake", "--build", str(build), "--parallel", "2"])
    elf = build / "firmware.elf"
    for kind, suffix in (("binary", "bin"), ("ihex", "hex")):
        _run(["arm-none-eabi-objcopy", "-O", kind, str(elf), str(elf.with_suffix(f".{suffix}"))])
    listing = _run(["arm-none-eabi-size", "-A", str(elf)])
    sections = dict(re.findall(r"^(\.\S+)\s+(\d+)\s", listing, re.M))
    symbols = _run(["arm-none-eabi-nm", "-S", str(elf)])
    weights = re.search(r"^\S+ (\S+) \w \w+_weights_[0-9a-f]{8}$", symbols, re.M)
    if weights is None:
        raise BuildError(f"{elf} holds no model.")
    size = {name: int(count) for name, count in sections.items()}
    in_flash = (".text", ".init_array", ".ARM.exidx", ".data")
    return Firmware(
        elf=elf,
        flash_bytes=sum(size.get(name, 0) for name in in_flash),
        weights_bytes=int(weights.group(1), 16),
        static_ram_bytes=size.get(".data", 0) + size.get(".bss", 0),
        sections=section_sizes(size, _run(["arm-none-eabi-nm", "-f", "sysv", str(elf)])),
    )


def require_tool(name: str) -> str:
    """Finds a program, or says how to install it.

    Args:
        name: The name of the command.

    Returns:
        The path of the program.

    Raises:
        MissingToolError: If the program is not installed.

    Example:
        >>> require_tool("no-such-tool")
        Traceback (most recent call last):
        edge.errors.MissingToolError: no-such-tool is not installed...
    """
    path = shutil.which(name)
    if path is None:
        package = TOOLS.get(name, name)
        raise MissingToolError(f"{name} is not installed (Debian: apt install {package}).")
    return path


def _run(command: list[str]) -> str:
    done = run_tool(command, text=True, errors="replace")
    if done.returncode != 0:
        lines = (done.stdout + done.stderr).splitlines()
        # The size of an overflow tells more than the linker's error after it.
        lines.sort(key=lambda line: "overflowed" not in line)
        errors = [line for line in lines if "overflowed" in line or "error" in line.lower()]
        raise BuildError(f"{command[0]} failed: {(errors or lines or ['no output'])[0].strip()}")
    return done.stdout
