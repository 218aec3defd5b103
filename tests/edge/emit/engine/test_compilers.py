"""The emitted C is every compiler's: gcc and clang, at any optimization, make the same bytes of it.

A network that takes every kernel runs on an emulated core; `test_reached.py` says that every line
is executed. No compiler has a warning.
"""

import itertools
import shutil

import numpy as np
import pytest
from cmsis_nn import engine_of
from compilers import GCC, run_built

from edge.catalog.boards import find_board
from edge.engine.packing import instruction_set
from edge.firmware.render import render_firmware
from tests.edge.emit.engine.test_reached import own_cases

BOARDS = ("qemu-m0plus", "mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547")
"""Cortex-M0+, M3, M4, M7, M33 and M55."""

CLANGS = ("clang-14", "clang-19")
OPTIMIZATIONS = ("-O0", "-O1", "-O2", "-O3", "-Os", "-O2 -flto")

SHORT = [
    ("mps2-an386", "clang", "-O0"),
    ("mps2-an386", "clang", "-O2 -flto"),
    ("mps2-an386", GCC, "-O0"),
    ("mps2-an386", GCC, "-O2 -flto"),
    ("mps3-an547", "clang", "-O0"),
    ("mps3-an547", "clang", "-O3"),
    ("mps3-an547", GCC, "-O0"),
    ("qemu-m0plus", "clang", "-Os"),
]
"""What differs most: no register is free without optimization, all code is one with it."""


def check(board_id, compiler, options, folder, most=None):
    board = find_board(board_id)
    instructions = instruction_set(board)
    for name, case in itertools.islice(own_cases(instructions), most):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        files = render_firmware(engine_of(case.graph, instructions), board)
        done = run_built(files, board, case, place, compiler, tuple(options.split()))
        np.testing.assert_array_equal(done.outputs, case.expected)


@pytest.mark.parametrize(("board_id", "compiler", "options"), SHORT)
def test_a_compiler_makes_the_bytes_of_the_reference(
    arm_compiler, qemu, tool, tmp_path, board_id, compiler, options
):
    tool(compiler)
    check(board_id, compiler, options, tmp_path, most=1)


@pytest.mark.exhaustive
@pytest.mark.parametrize("options", OPTIMIZATIONS)
@pytest.mark.parametrize("compiler", [GCC, *CLANGS])
@pytest.mark.parametrize("board_id", BOARDS)
def test_every_compiler_makes_the_bytes_of_the_reference(
    arm_compiler, qemu, tmp_path, board_id, compiler, options
):
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    check(board_id, compiler, options, tmp_path)
