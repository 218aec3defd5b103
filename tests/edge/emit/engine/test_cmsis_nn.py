"""The bytes that CMSIS-NN's own unit tests expect: of the oracle, and of each core's kernels."""

import dataclasses

import pytest
from cmsis_nn import (
    EQUAL,
    FOLDER,
    NAMES,
    REFUSED,
    SPARSE,
    Arrays,
    behind_a_quantize,
    beside_dead_channels,
    case,
    check,
    engine_of,
)

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.layers import UnsupportedOperatorError
from edge.engine.packing import INSTRUCTION_SETS, instruction_set
from edge.firmware.host import run_on_host
from edge.tflite.operators import kernel_of
from edge.tflite.reference import run_reference

CORES = ["mps2-an386", "mps3-an547"]

pytestmark = pytest.mark.skipif(not NAMES, reason=f"no cases of CMSIS-NN: {FOLDER} is absent")


def check_on_core(found, board):
    target = find_board(board)
    engine = engine_of(found.graph, instruction_set(target))
    check(found, emulate_engine(engine, target, found.inputs)[0].outputs)


@pytest.mark.parametrize("name", EQUAL)
def test_the_oracle_computes_what_they_expect(name):
    found = case(name)
    check(found, run_reference(found.graph, found.inputs))


def test_weights_of_four_bits_are_packed():
    cases = [name for name in EQUAL if name.endswith("int4") or "_int4_" in name]
    assert cases
    for name in cases:
        (op,) = case(name).graph.operators
        assert kernel_of(case(name).graph, op).dtype == "int4"


@pytest.mark.slow
@pytest.mark.parametrize("name", EQUAL)
def test_the_portable_kernels_compute_what_they_expect(host_compiler, name):
    found = case(name)
    check(found, run_on_host(engine_of(found.graph, "portable"), found.inputs))


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", CORES)
@pytest.mark.parametrize("name", EQUAL)
def test_the_kernels_of_a_core_compute_what_they_expect(arm_compiler, qemu, name, board):
    check_on_core(case(name), board)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [n for n in EQUAL if "CH_MULT" in Arrays(n).config])
def test_depthwise_kernels_for_helium_compute_what_they_expect(arm_compiler, qemu, name):
    found = case(name)
    moved = dataclasses.replace(found, graph=behind_a_quantize(found.graph))
    check_on_core(moved, "mps3-an547")


@pytest.mark.parametrize("name", [name for name in SPARSE if name in EQUAL])
def test_the_sparse_kernel_computes_what_they_expect(arm_compiler, qemu, name):
    found, board = case(name), find_board("mps2-an386")
    graph = beside_dead_channels(found.graph)
    engine = engine_of(graph, "dsp")
    (kernel,) = engine.kernels
    assert kernel.name.endswith("sparse_dsp")
    outputs = emulate_engine(engine, board, found.inputs)[0].outputs
    channels = found.graph.output.shape[3]
    own = outputs.reshape(len(outputs), -1, graph.output.shape[3])[:, :, :channels]
    check(found, own.reshape(len(outputs), -1))


@pytest.mark.parametrize("name", [name for name in REFUSED if name in NAMES])
@pytest.mark.parametrize("instructions", INSTRUCTION_SETS)
def test_what_has_no_kernel_is_refused_by_name(name, instructions):
    with pytest.raises(UnsupportedOperatorError) as refused:
        engine_of(case(name).graph, instructions)
    assert REFUSED[name] in str(refused.value)
    assert len(str(refused.value)) <= 300
