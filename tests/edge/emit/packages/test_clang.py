"""A package that clang builds, whose options are not all gcc's."""

from __future__ import annotations

import re
import subprocess

import networks
import pytest
from compilers import clang_options

import edge
from edge.catalog.boards import find_board


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_cmake_toolchain_of_clang_chooses_the_kernels(arm_compiler, tool, tmp_path):
    model, folder = networks.small_tflite(), tmp_path / "small"
    package = edge.export(model, None, folder, runtime="engine", shape="cmake")
    board = find_board("mps3-an547")
    options = " ".join([*clang_options(board), "-Wall", "-Wextra", "-Werror"])
    (tmp_path / "clang.cmake").write_text(
        "set(CMAKE_SYSTEM_NAME Generic)\n"
        f"set(CMAKE_C_COMPILER {tool('clang')})\n"
        f"set(CMAKE_C_FLAGS_INIT [[{options}]])\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\n"
    )
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={tmp_path / 'clang.cmake'}"
    build = tmp_path / "build"
    run("cmake", toolchain, "-S", package.folder, "-B", build)
    assert "-O2" in run("cmake", "--build", build, "--verbose")
    (library,) = build.glob("*.a")
    symbols = run("arm-none-eabi-nm", library)
    start = rf"T {package.name.snake}_start_(\w+)_[0-9a-f]{{8}}$"
    assert re.findall(start, symbols, re.M) == ["mve"]


C_LIBRARY = """#include <stddef.h>
void *memcpy(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *one, const void *other, size_t count);
"""


@pytest.mark.parametrize("target", ["rv32imac", "rv32imc"])
def test_portable_kernels_compile_for_riscv(tool, tmp_path, target):
    """The cores of an RP2350 and of an ESP32-C3; of a C library they need three functions."""
    model, folder = networks.small_tflite(), tmp_path / "small"
    package = edge.export(model, None, folder, runtime="engine", shape="cmake")
    (tmp_path / "string.h").write_text(C_LIBRARY)
    options = ["--target=riscv32-unknown-elf", f"-march={target}", "-mabi=ilp32", "-ffreestanding"]
    options += ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{folder / 'include'}"]
    sources = [folder / path for path in package.files if path.startswith("src/")]
    made = []
    for source in (path for path in sources if path.suffix == ".c"):
        made.append(tmp_path / f"{source.stem}.o")
        run(tool("clang"), *options, f"-isystem{tmp_path}", "-c", source, "-o", made[-1])
    symbols = b"".join(path.read_bytes() for path in made)
    assert re.search(rb"%b_start_portable_[0-9a-f]{8}" % package.name.snake.encode(), symbols)
    assert b"_start_dsp_" not in symbols
