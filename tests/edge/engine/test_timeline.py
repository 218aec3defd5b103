"""The engine's memory over time agrees with its plan, and no two live things share a byte."""

import itertools

import pytest

from edge.catalog.boards import find_board
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.engine.stream_plan import Make
from edge.engine.timeline import stream_timeline
from edge.tflite.reader import read_graph


def moments_of(graph):
    engine = compile_engine(graph, instruction_set(find_board("nucleo-f446re")))
    scratch = tuple(kernel.scratch_bytes for kernel in engine.kernels)
    return engine, stream_timeline(engine.plan, scratch)


def check(graph):
    engine, moments = moments_of(graph)
    rows = engine.network.rows
    assert len(moments) == sum(isinstance(step, Make) for step in engine.plan.steps)
    for moment in moments:
        for one, other in itertools.combinations(moment.pieces, 2):
            assert one.end <= other.offset or other.end <= one.offset, moment
        assert moment.top_bytes <= engine.plan.memory_bytes
    for piece in (piece for moment in moments for piece in moment.pieces):
        first, end = piece.rows
        if piece.kind == "ring":
            assert (end - first) * rows[piece.index].row_bytes <= piece.bytes
        elif piece.kind != "scratch":
            assert (end - first) * rows[piece.index].row_bytes == piece.bytes
    return engine, moments


def test_the_person_detector_reaches_its_plan(vww):
    engine, moments = check(read_graph(vww))
    # 16: every buffer's end is rounded up.
    assert engine.plan.memory_bytes - max(moment.top_bytes for moment in moments) < 16


def test_a_layer_has_its_inputs_and_its_output(kws):
    engine, moments = check(read_graph(kws))
    for moment in moments:
        layer = engine.network.layers[moment.layer]
        alive = {piece.index for piece in moment.pieces if piece.kind != "scratch"}
        assert layer.output in alive
        assert {t for t in layer.inputs if t != engine.network.input} <= alive


@pytest.mark.parametrize("name", ["odd", "resnet8", "mobilenet_v2"])
def test_no_two_live_things_share_memory(network, name):
    check(network(name))


@pytest.mark.parametrize("seed", range(12))
def test_nor_in_networks_of_random_geometry(random_graph, seed):
    check(random_graph(seed))
