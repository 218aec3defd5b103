"""The firmware on emulated cores: the bytes of LiteRT, and figures that were measured."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.catalog.board_file import CORES
from edge.catalog.boards import boards, find_board
from edge.deploy.build import build
from edge.deploy.verify_engine import run_emulated, verify_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.emulate import EmulationError, emulate, emulated_board, run_qemu
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference

EMULATED = [board.id for board in boards() if board.qemu_machine]
NAMES = ["kws_ref_model.tflite", "odd", "resnet8", "mobilenet_v2", "alpha0.25-64"]


@pytest.mark.parametrize("board", EMULATED)
@pytest.mark.parametrize("name", NAMES)
def test_firmware_computes_the_bytes_of_the_reference(
    arm_compiler, qemu, network, random_inputs, name, board
):
    graph = network(name)
    inputs = random_inputs(graph, 2)
    emulation, _ = run_emulated(graph, find_board(board), inputs)
    np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))


@pytest.mark.slow
@pytest.mark.parametrize("board", ["qemu-m0plus", "mps2-an386", "mps3-an547"])
def test_firmware_computes_the_bytes_of_random_networks(
    arm_compiler, qemu, random_graph, random_inputs, board
):
    @settings(max_examples=6, deadline=None, database=None)
    @given(st.integers(0, 10**9), st.sampled_from([0.0, 0.5]))
    def check(seed, dead):
        graph = random_graph(seed, dead)
        inputs = random_inputs(graph, 2)
        emulation, _ = run_emulated(graph, find_board(board), inputs)
        np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))

    check()


def test_vww_on_cortex_m4_has_the_measured_figures(arm_compiler, qemu, vww, random_inputs):
    graph = read_graph(vww)
    inputs = random_inputs(graph, 5)
    by_rows, code_bytes = run_emulated(graph, find_board("mps2-an386"), inputs)
    np.testing.assert_array_equal(by_rows.outputs, run_litert(graph, inputs))
    assert by_rows.ram_bytes <= 20 * 1024
    assert by_rows.instructions <= 18_000_000
    assert code_bytes <= 12 * 1024
    whole, _ = run_emulated(graph, find_board("mps2-an386"), inputs, is_frame=True)
    np.testing.assert_array_equal(whole.outputs, by_rows.outputs)
    assert whole.image_bytes == 27_648
    assert whole.ram_bytes <= 44 * 1024


def test_vww_with_helium_takes_less_than_half_of_the_instructions(
    arm_compiler, qemu, vww, random_inputs
):
    graph = read_graph(vww)
    counts = [
        run_emulated(graph, find_board(board), random_inputs(graph, 1))[0].instructions
        for board in ("mps2-an386", "mps3-an547")
    ]
    assert counts[1] <= 0.4 * counts[0]


def test_blocks_of_zeros_are_skipped_where_it_pays(
    arm_compiler, qemu, network, block_pruned, random_inputs
):
    board, counts, weights = find_board("mps2-an386"), [], []
    for share in (0.0, 0.5, 0.9):
        graph = block_pruned(network("alpha0.25-64"), share)
        inputs = random_inputs(graph)
        emulation, _ = run_emulated(graph, board, inputs)
        np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))
        counts.append(emulation.instructions)
        weights.append(compile_engine(graph, instruction_set(board)).weights_bytes)
    assert counts[1] < 0.9 * counts[0]
    assert counts[2] < 0.7 * counts[0]
    assert weights[1] < 0.8 * weights[0]


def test_instructions_are_repeatable(arm_compiler, qemu, kws, random_inputs):
    graph = read_graph(kws)
    board = find_board("mps2-an386")
    first, second = (run_emulated(graph, board, random_inputs(graph, 1))[0] for _ in range(2))
    assert first.instructions == second.instructions


def test_firmware_without_inputs_runs_its_self_test(arm_compiler, qemu, kws, tmp_path):
    """As on a board: one image that the firmware makes, its result known when it was built."""
    build(kws, "mps2-an386", tmp_path)
    said = run_qemu(tmp_path, "mps2-an386")
    assert said["intact"] == 1
    assert said["self_test"] == 1


def test_self_test_notices_damaged_weights(arm_compiler, qemu, kws, tmp_path, random_inputs):
    from edge.firmware.build import build_firmware

    build(kws, "mps2-an386", tmp_path)
    weights = tmp_path / "kws_ref_model_weights.c"
    text = weights.read_text()
    at = text.index("0x") + 9
    weights.write_text(text[:at] + ("0" if text[at] != "0" else "1") + text[at + 1 :])
    firmware = build_firmware(tmp_path)
    graph = read_graph(kws)
    with pytest.raises(EmulationError, match="'intact': 0"):
        emulate(firmware.elf, "mps2-an386", random_inputs(graph, 1), 12)


def test_verify_engine_proves_all_runners_at_once(
    arm_compiler, qemu, host_compiler, trained_tflite, digits
):
    from edge.deploy.verify import quantize_inputs

    graph = read_graph(trained_tflite)
    inputs = quantize_inputs(graph, digits.test_inputs()[:10])
    proof = verify_engine(graph, inputs, boards=[find_board("mps2-an386")])
    assert proof.is_equal
    assert [runner.equal_count for runner in proof.runners] == [10, 10, 10]


def test_emulated_board_has_the_core_of_the_board():
    assert emulated_board(find_board("nucleo-f446re")).id == "mps2-an386"
    assert emulated_board(find_board("mps2-an500")).id == "mps2-an500"
    assert emulated_board(find_board("arduino-zero")).id == "qemu-m0plus"
    unknown = dataclasses.replace(find_board("arduino-zero"), core="cortex-m23")
    with pytest.raises(EdgeError, match="no board with a cortex-m23"):
        emulated_board(unknown)


def test_qemu_emulates_every_core_of_the_catalogue():
    # A Cortex-M85 as the Cortex-M55, whose instructions it has.
    assert {emulated_board(board).core for board in boards()} == set(CORES) - {"cortex-m85"}
    assert emulated_board(find_board("ek-ra8d1")).id == "mps3-an547"
