"""A package that clang builds, whose options are not all gcc's."""

from __future__ import annotations

import re
import subprocess

import networks
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
