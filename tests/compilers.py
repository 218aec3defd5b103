"""Builds a firmware with any compiler for Arm, at any optimization: gcc, and clang with lld."""

from __future__ import annotations

import functools
import pathlib
import re
import subprocess

from cmsis_nn import Case

from edge.catalog.boards import Board, core_flags
from edge.firmware.emulate import Emulation, emulate

GCC = "arm-none-eabi-gcc"
WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-Wshadow", "-Wstrict-prototypes")
COMMON = ("-std=c11", *WARNINGS, "-ffunction-sections", "-fdata-sections")
LIBRARIES = ("libc_nano.a", "libgcc.a")


def run_built(
    files: dict[str, str],
    board: Board,
    case: Case,
    folder: pathlib.Path,
    compiler: str,
    options: tuple[str, ...],
) -> Emulation:
    """Compiles and links a firmware in an empty folder, and runs it on a case's images."""
    for file, text in files.items():
        (folder / file).write_text(text, "utf-8")
    sources = sorted(file for file in files if file.endswith(".c"))
    flags = core_flags(board)
    command = [*driver(compiler, board), *COMMON, *options, "-DFIRMWARE_HAS_SEMIHOSTING=1"]
    _run(*command, "-c", *sources, cwd=folder)
    objects = [source.replace(".c", ".o") for source in sources]
    layout = ("--gc-sections", "-T", "link.ld")
    if compiler != GCC and "-flto" in options:
        # Only LLVM's linker reads what clang writes then.
        linker = [compiler.replace("clang", "ld.lld"), *layout]
        libraries = [_library(tuple(flags), name) for name in LIBRARIES]
        _run(*linker, *objects, *libraries, "-o", "firmware.elf", cwd=folder)
    else:
        own = options if compiler == GCC else ()
        linker = [GCC, *flags, *own, "--specs=nano.specs", "-nostartfiles"]
        passed = "-Wl," + ",".join(layout)
        _run(*linker, passed, *objects, "-o", "firmware.elf", cwd=folder)
    output_bytes = case.expected[0].size
    return emulate(folder / "firmware.elf", str(board.qemu_machine), case.inputs, output_bytes)


def driver(compiler: str, board: Board) -> list[str]:
    """The command that compiles for a core."""
    return [GCC, *core_flags(board)] if compiler == GCC else [compiler, *clang_options(board)]


def clang_options(board: Board) -> list[str]:
    """What makes clang compile for a core, with newlib's headers."""
    return ["--target=arm-none-eabi", *core_flags(board), "-isystem", _headers()]


@functools.cache
def _headers() -> str:
    command = [GCC, "-M", "-x", "c", "-"]
    said = subprocess.run(
        command, input="#include <string.h>", capture_output=True, text=True, check=True
    )
    return re.search(r"(\S+)/string\.h", said.stdout)[1]


@functools.cache
def _library(flags: tuple[str, ...], name: str) -> str:
    return _run(GCC, *flags, f"-print-file-name={name}").strip()


def _run(*command: str, cwd: pathlib.Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
