"""Compiles the emitted model array with the board's compiler and measures it."""

from __future__ import annotations

import pathlib
import re
import shutil
import tempfile

from edge.catalog.boards import Board, core_flags
from edge.emit.c_text import DEFAULT_NAME, named
from edge.errors import EdgeError, MissingToolError
from edge.system.subprocesses import run_tool

COMPILER = "arm-none-eabi-g++"
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def compiled_model_bytes(folder: pathlib.Path, board: Board, model: str = DEFAULT_NAME) -> int:
    """Compiles the model's array and returns the size of the section that holds the model.

    Args:
        folder: The folder that `edge.export` wrote.
        board: The board, whose core it is compiled for.
        model: The name of the model in the sources, `Export.name.snake`.

    Returns:
        The size of the read-only data, in bytes.

    Raises:
        MissingToolError: If the Arm compiler is not installed.
        EdgeError: If the file does not compile without a warning.

    Example:
        >>> from edge.deploy.export import export
        >>> written = export("model.tflite", "nucleo-f446re", "firmware")
        >>> compiled_model_bytes(written.folder, written.board)
        3200
    """
    if shutil.which(COMPILER) is None:
        raise MissingToolError(
            f"{COMPILER} is not installed: on Debian, apt install gcc-arm-none-eabi "
            "libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib."
        )
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        object_file = pathlib.Path(name) / "model_data.o"
        source = folder / named("model_data.cc", model)
        # One section per object: the array alone, without the constants of the header.
        flags = [*core_flags(board), "-std=c++17", "-O2", "-fdata-sections", *WARNINGS]
        _run([COMPILER, *flags, "-c", str(source), "-o", str(object_file)])
        sizes = _run(["arm-none-eabi-size", "-A", str(object_file)])
    found = re.search(r"^\.rodata\.\S*g_model_data\S*\s+(\d+)", sizes, re.MULTILINE)
    if found is None:
        raise EdgeError(f"{source} compiled to no section of its own for the model.")
    return int(found.group(1))


def _run(command: list[str]) -> str:
    done = run_tool(command, text=True, errors="replace")
    if done.returncode != 0:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr)
        raise EdgeError(f"{command[0]} failed: {first.strip()}")
    return done.stdout
