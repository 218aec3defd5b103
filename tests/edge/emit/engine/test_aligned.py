"""Built with -mno-unaligned-access, the engine reads and writes words on words only.

The emulated core proves it: a bit of its own makes every other access a fault.
"""

import numpy as np
import pytest
from cmsis_nn import engine_of
from compilers import GCC, run_built
from graph_builder import GraphBuilder
from networks import RandomValues

from edge.catalog.boards import find_board
from edge.engine.packing import instruction_set
from edge.firmware.emulate import EmulationError
from edge.firmware.render import render_firmware
from tests.edge.emit.engine.test_reached import own, own_cases

BOARDS = ("mps2-an385", "mps2-an386", "mps2-an500", "mps2-an505", "mps3-an547")
"""Cortex-M3, M4, M7, M33 and M55; smaller cores have no such access."""

SWITCH = "-mno-unaligned-access"
FIRST_STATEMENT = "  *(volatile uint32_t *)0xE000ED08U = (uint32_t)(uintptr_t)vectors; /* VTOR */\n"
TRAP = "  *(volatile uint32_t *)0xE000ED14U |= 8U; /* CCR.UNALIGN_TRP */\n"
ROW = "static ON_WORDS int8_t image[MODEL_ROW_BYTES];\n"
SHIFTED_ROW = """static struct {
  ON_WORDS int8_t before;
  int8_t row[MODEL_ROW_BYTES];
} shifted;
#define image shifted.row
"""


def firmware(case, board, *, is_shifted=False):
    """Faults where a word is read that lies on none; the rows of the input may not either."""
    files = render_firmware(engine_of(case.graph, instruction_set(board)), board)
    assert FIRST_STATEMENT in files["start.c"]
    files["start.c"] = files["start.c"].replace(FIRST_STATEMENT, TRAP + FIRST_STATEMENT)
    assert ROW in files["image_part.h"]
    if is_shifted:
        files["image_part.h"] = files["image_part.h"].replace(ROW, SHIFTED_ROW)
    return files


def builder(shape):
    values = RandomValues(np.random.default_rng(0))
    return GraphBuilder(shape, draw_quantization=values.quantization, draw_weights=values.weights)


def odd_rows():
    """Pixels of six bytes and of seven: few of them begin on words."""
    made = builder((1, 9, 5, 3))
    made.conv(6, (3, 3))
    made.conv(7, (1, 1), dead_share=0.9)
    before = made.last
    made.conv(7, (1, 2), padding="SAME")
    made.add(before)
    return made.graph()


def odd_channels():
    made = builder((1, 9, 5, 5))
    made.depthwise(1, (3, 3))
    made.depthwise(1, (2, 3))
    made.pool("AVERAGE_POOL_2D", (2, 3), (1, 2), "SAME")
    made.dense(7)
    return made.graph()


def depthwise_first(size, stride=1):
    """A kernel that takes four channels at a time, from the caller's rows."""
    made = builder((1, 7, 9, 8))
    made.depthwise(1, size, (1, stride))
    return made.graph()


def dense_first():
    made = builder((1, 1, 1, 39))
    made.dense(9)
    return made.graph()


def pointwise_first():
    made = builder((1, 3, 5, 8))
    made.conv(6, (1, 1))
    return made.graph()


def added_first():
    made = builder((1, 3, 5, 8))
    before = made.last
    made.requantize()
    made.add(before)
    return made.graph()


MADE = {
    "odd rows": odd_rows,
    "odd channels": odd_channels,
    "depthwise": lambda: depthwise_first((3, 3)),
    "depthwise, stride 2": lambda: depthwise_first((3, 3), 2),
    "depthwise, any window": lambda: depthwise_first((2, 3)),
    "dense": dense_first,
    "pointwise": pointwise_first,
    "add": added_first,
}


@pytest.mark.parametrize("board_id", BOARDS)
def test_no_kernel_reads_a_word_that_lies_on_none(arm_compiler, qemu, tmp_path, board_id):
    board = find_board(board_id)
    for name, case in own_cases(instruction_set(board)):
        folder = tmp_path / name.replace(" ", "-")
        folder.mkdir()
        done = run_built(firmware(case, board), board, case, folder, GCC, ("-O2", SWITCH))
        np.testing.assert_array_equal(done.outputs, case.expected)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("board_id", ["mps2-an385", "mps2-an386", "mps3-an547"])
def test_rows_of_the_input_may_lie_anywhere(arm_compiler, qemu, tmp_path, board_id, name):
    board, case = find_board(board_id), own(MADE[name]())
    files = firmware(case, board, is_shifted=True)
    done = run_built(files, board, case, tmp_path, GCC, ("-O2", SWITCH))
    np.testing.assert_array_equal(done.outputs, case.expected)


@pytest.mark.parametrize("options", ["-O0", "-O3", "-Os", "-O2 -flto"])
@pytest.mark.parametrize("compiler", [GCC, "clang"])
@pytest.mark.exhaustive
def test_no_compiler_makes_such_a_word(arm_compiler, qemu, tool, tmp_path, compiler, options):
    tool(compiler)
    board, case = find_board("mps2-an386"), own(odd_rows())
    files = firmware(case, board, is_shifted=True)
    done = run_built(files, board, case, tmp_path, compiler, (*options.split(), SWITCH))
    np.testing.assert_array_equal(done.outputs, case.expected)


def test_without_the_switch_the_core_faults(arm_compiler, qemu, tmp_path):
    board, case = find_board("mps2-an386"), own(odd_rows())
    with pytest.raises(EmulationError, match="'fault': 1"):
        run_built(firmware(case, board), board, case, tmp_path, GCC, ("-O2",))
