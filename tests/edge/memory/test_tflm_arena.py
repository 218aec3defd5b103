"""The predicted arena is TFLite Micro's, to the byte."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.catalog.boards import find_board
from edge.memory.arena import tensor_arena
from edge.memory.greedy import greedy_offsets
from edge.memory.live_ranges import Buffer
from edge.memory.tflm_arena import NoArenaRuleError, predict_arena
from edge.memory.tflm_structures import CORTEX_M, PYTHON_WHEEL
from edge.runtimes.interpreters import run_tflm
from edge.tflite.reader import read_graph


@pytest.mark.parametrize(
    ("model", "kernels", "used_bytes"),
    # Measured: arena_used_bytes of TFLite Micro on a Cortex-M4 under QEMU. Remade by
    # TFLM_DIR=... pytest tests/edge/emit/tflm/test_firmware.py
    [
        ("vww_96_int8", "reference", 100_660),
        ("vww_96_int8", "cmsis_nn", 100_708),
        ("kws_ref_model", "reference", 22_772),
        ("kws_ref_model", "cmsis_nn", 22_820),
    ],
)
def test_is_the_arena_of_a_cortex_m4(shared_data, model, kernels, used_bytes):
    graph = read_graph(shared_data / "models" / f"{model}.tflite")
    assert predict_arena(graph, kernels).used_bytes == used_bytes


@pytest.mark.parametrize("model", ["vww_96_int8", "kws_ref_model"])
def test_is_the_arena_that_tflm_reports_here(shared_data, model):
    graph = read_graph(shared_data / "models" / f"{model}.tflite")
    assert predict_arena(graph, structures=PYTHON_WHEEL).used_bytes == reported(graph)


def test_is_the_arena_of_a_trained_network(trained_tflite):
    graph = read_graph(trained_tflite)
    assert predict_arena(graph, structures=PYTHON_WHEEL).used_bytes == reported(graph)


def reported(graph):
    return run_tflm(graph, np.zeros((1, *graph.input.shape[1:]), np.int8))[1]


def converted(build, shape):
    import keras

    import edge

    keras.utils.set_random_seed(0)
    inputs = keras.Input(shape)
    model = keras.Model(inputs, build(keras.layers, inputs))
    samples = np.random.default_rng(0).uniform(-1, 1, (8, *shape)).astype("float32")
    return read_graph(edge.convert(model, samples))


NETWORKS = {
    "residual": lambda layers, x: layers.Add()([x, layers.Conv2D(3, 3, padding="same")(x)]),
    "padding": lambda layers, x: layers.Conv2D(5, 3, strides=2)(layers.ZeroPadding2D()(x)),
    "dense": lambda layers, x: layers.Dense(7)(layers.Flatten()(layers.MaxPooling2D()(x))),
    "pool": lambda layers, x: layers.Softmax()(
        layers.Flatten()(layers.AveragePooling2D(4)(layers.Conv2D(6, 1)(x)))
    ),
    "mean": lambda layers, x: layers.GlobalAveragePooling2D()(layers.DepthwiseConv2D(3)(x)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_is_the_arena_of_other_operators(name):
    graph = converted(NETWORKS[name], (16, 16, 3))
    assert predict_arena(graph, structures=PYTHON_WHEEL).used_bytes == reported(graph)


def test_measures_where_it_has_no_rule():
    graph = converted(lambda layers, x: layers.Concatenate()([x, x]), (16, 16, 3))
    with pytest.raises(NoArenaRuleError, match="CONCATENATION"):
        predict_arena(graph)
    arena = tensor_arena(graph, find_board("nucleo-f446re"))
    assert not arena.is_exact
    assert arena.bytes >= reported(graph)


def test_one_arena_suffices_for_either_set_of_kernels(vww):
    arena = tensor_arena(read_graph(vww), find_board("nucleo-f446re"))
    assert (arena.bytes, arena.is_exact) == (100_720, True)
    assert arena.bytes % 16 == 0


def test_cortex_m_records_are_smaller_than_the_hosts(vww):
    graph = read_graph(vww)
    cortex_m, host = (predict_arena(graph, structures=s) for s in (CORTEX_M, PYTHON_WHEEL))
    assert cortex_m.head_bytes == host.head_bytes
    assert cortex_m.tail_bytes < host.tail_bytes


buffers = st.lists(
    st.builds(
        lambda size, first, length: Buffer(16 * size, first, first + length),
        st.integers(1, 40),
        st.integers(0, 12),
        st.integers(0, 4),
    ),
    min_size=1,
    max_size=24,
)


@given(buffers)
def test_no_two_live_buffers_share_a_byte(wanted):
    offsets = greedy_offsets([buffer.bytes for buffer in wanted], wanted)
    for i, (first, at) in enumerate(zip(wanted, offsets, strict=True)):
        assert at >= 0
        for second, other in list(zip(wanted, offsets, strict=True))[:i]:
            if first.overlaps(second):
                assert at + first.bytes <= other or other + second.bytes <= at


@given(buffers)
def test_no_plan_is_smaller_than_what_lives_at_once(wanted):
    offsets = greedy_offsets([buffer.bytes for buffer in wanted], wanted)
    used = max(at + buffer.bytes for at, buffer in zip(offsets, wanted, strict=True))
    at_once = max(
        sum(b.bytes for b in wanted if b.first <= time <= b.last)
        for time in range(max(b.last for b in wanted) + 1)
    )
    assert at_once <= used <= sum(buffer.bytes for buffer in wanted)


def test_a_plan_says_where_every_activation_lies(vww):
    graph = read_graph(vww)
    plan = predict_arena(graph)
    assert {b.tensor for b in plan.buffers} >= {*graph.inputs, *graph.outputs}
    assert len(plan.offsets) == len(plan.buffers)
    assert dataclasses.is_dataclass(plan)
