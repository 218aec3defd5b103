"""Cycles of an inference: every instruction is in one layer, and the two models span a range."""

import dataclasses

import numpy as np
import pytest

from edge.catalog.boards import find_board
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.cycles import PIPELINES, Cost, Cycles, estimate_cycles, weigh
from edge.firmware.emulate import EmulationError
from edge.firmware.instructions import decode
from edge.firmware.profile import profile
from edge.firmware.step_counts import INPUT, Passage, passages, passages_of_call
from edge.firmware.trace import Trace, _LogReader
from edge.tflite.reader import read_graph

EMULATED = [
    *("qemu-m0plus", "mps2-an386", "mps3-an547"),
    *(
        pytest.param(board, marks=pytest.mark.exhaustive)
        for board in ("mps2-an385", "mps2-an500", "mps2-an505")
    ),
]


def engine_for(graph, board):
    return compile_engine(graph, instruction_set(find_board(board)))


@pytest.mark.parametrize("board", EMULATED)
def test_blocks_add_up_to_the_instructions_that_the_clock_counts(
    arm_compiler, qemu, network, board
):
    engine = engine_for(network("odd"), board)
    found = estimate_cycles(engine, find_board(board))
    counted = profile(engine, find_board(board))
    # The clock ticks once in some instructions, and each row of the input rounds it.
    assert found.total.instructions == pytest.approx(counted.instructions, rel=0.02)
    for cost, instructions in zip(found.layers, counted.layer_instructions, strict=True):
        # The probe leaves up to some fifty instructions in a row, however few the row takes.
        assert cost.instructions == pytest.approx(instructions, rel=0.05, abs=420)
    assert 0 < found.total.low <= found.total.high
    assert all(0 < cost.low <= cost.high for cost in (*found.layers, found.input))


def test_the_person_detector(arm_compiler, qemu, vww):
    graph = read_graph(vww)
    board = find_board("nucleo-f446re")
    engine = engine_for(graph, board)
    found = estimate_cycles(engine, board)
    counted = profile(engine, board)
    assert found.total.instructions == pytest.approx(counted.instructions, rel=0.0005)
    # A Cortex-M4 takes between one and two cycles an instruction.
    assert found.total.instructions < found.total.low < found.total.high
    assert found.total.high < 1.6 * found.total.instructions
    assert found == estimate_cycles(engine, board), "every run says the same"


def test_milliseconds_are_those_of_the_boards_clock():
    board = dataclasses.replace(
        find_board("nucleo-f446re"),
        clock_hz=100_000_000,
        flash_wait_states=5,
        flash_line_bytes=16,
    )
    found = Cycles(board, (Cost(10, 1_000_000, 2_000_000, 400),), Cost(0, 100_000, 100_000, 0))
    assert (found.low_ms, found.high_ms) == (11, 21)
    # 400 words are 100 lines.
    assert found.flash_wait_cycles == 500
    unknown = dataclasses.replace(board, flash_wait_states=None)
    assert dataclasses.replace(found, board=unknown).flash_wait_cycles is None


def loop_of(count):
    block = (decode(0x40, 2, "subs", "r0, #1"), decode(0x42, 2, "bne.n", "40"))
    turns = [Passage(0, 0x40, 0x40, count - 1), Passage(0, 0x40, 0x44, 1)]
    return turns, {0x40: block}


@pytest.mark.parametrize("core", PIPELINES)
def test_a_layers_cost_is_that_of_its_blocks(core):
    counted, blocks = loop_of(10)
    other = [dataclasses.replace(each, layer=1) for each in counted]
    one = weigh(counted, blocks, PIPELINES[core])
    both = weigh([*counted, *other], blocks, PIPELINES[core])
    assert one[0].instructions == 20
    assert both[0].low == both[1].low == one[0].low


def test_a_loops_end_is_mispredicted_at_worst():
    counted, blocks = loop_of(10)
    found = weigh(counted, blocks, PIPELINES["cortex-m7"])[0]
    # At best one cycle a turn; at worst one more to go back, and 8 for the end.
    assert (found.low, found.high) == (10, 9 * 2 + 1 + 8)


def test_a_block_that_was_stopped_before_it_ran_does_not_count(tmp_path):
    log = _LogReader()
    (tmp_path / "log").write_bytes(
        b"----------------\nIN: main\n0x00000040:  b508  push {r3, lr}\n0x00000042:  bd08  pop\n\n"
        b"Trace 0: 0x7f91ac000100 [00800408/00000040/00000110/ff000200] main\n"
        b"Stopped execution of TB chain before 0x7f91ac000100 [00000040] main\n"
        b"Trace 0: 0x7f91ac000100 [00800408/0000000000000040/00000110/ff000200] main\n"
        b"Trace 0: 0x7f91ac000200 [00800408/00000044/00000110/ff000200] main\n"
    )
    log.read(tmp_path / "log")
    assert np.concatenate(log.parts).tolist() == [0x40, 0x44]
    assert log.ends == {0x40: 0x42}


def test_blocks_that_do_not_follow_the_schedule_are_an_error(network):
    engine = engine_for(network("odd"), "mps2-an386")
    symbols = {0x40: "main", 0x80: "model_push_row", 0x100: "engine_conv_dsp_01234567"}
    ran = Trace(np.array([0x40, 0x80, 0x100, 0x84, 0x44], np.uint32), {})
    with pytest.raises(EmulationError, match="1 steps of"):
        passages(ran, symbols, engine)


def test_what_runs_before_the_first_step_is_the_inputs(arm_compiler, qemu, network):
    found = estimate_cycles(engine_for(network("odd"), "mps2-an386"), find_board("mps2-an386"))
    assert INPUT not in range(len(found.layers))
    assert found.total.instructions == found.input.instructions + sum(
        layer.instructions for layer in found.layers
    )


def test_of_a_call_everything_counts_and_nothing_else():
    symbols = {0x40: "main", 0x80: "model_run", 0x100: "memcpy"}
    inside = [0x80, 0x100, 0x108, 0x108, 0x84]
    ran = Trace(np.array([0x40, 0x100, 0x44, *inside, 0x48, *inside, 0x48], np.uint32), {})
    counts = {(p.block, p.following): p.count for p in passages_of_call(ran, symbols, "model_run")}
    assert counts == {
        (0x80, 0x100): 1,
        (0x100, 0x108): 1,
        (0x108, 0x108): 1,
        (0x108, 0x84): 1,
        (0x84, 0x48): 1,
    }
    with pytest.raises(EmulationError, match="never called nothing"):
        passages_of_call(ran, symbols, "nothing")
    with pytest.raises(EmulationError, match="never returned"):
        passages_of_call(Trace(ran.starts[:5], {}), symbols, "model_run")
