"""The offline plan: valid, never worse than greedy, and next to a bound that is proven."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge
import keras_mobilenet
from edge.catalog.boards import find_board
from edge.memory.arena import tensor_arena
from edge.memory.greedy import greedy_offsets
from edge.memory.live_ranges import Buffer
from edge.memory.offline_plan import planned_model, with_offline_plan
from edge.memory.optimal import ALIGNMENT, plan_offline
from edge.memory.overlap import reference_overlaps
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.reader import read_graph
from edge.transforms.scale import scaled_model


@st.composite
def networks(draw):
    """Lifetimes of a random network: each operator reads one to three earlier tensors."""
    count = draw(st.integers(1, 14))
    sizes = draw(st.lists(st.integers(1, 5000), min_size=count + 1, max_size=count + 1))
    last = [0] * (count + 1)
    for op in range(count):
        for _ in range(draw(st.integers(1, 3))):
            # Mostly the tensor before, now and then one far back: a residual.
            back = draw(st.integers(0, min(op, 6)))
            last[op - back] = op + 1
        last[op + 1] = op + 1
    last[count] = count
    return [Buffer(size, n, max(n, last[n]), n) for n, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def mobilenet():
    """MobileNetV1 at alpha 1, whose graph the narrower ones follow from."""
    model = keras_mobilenet.MobileNetV1((224, 224, 3), padding="same")
    quantized = keras_mobilenet.quantize_model(model)
    # A batch of noise sets the activation ranges.
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 224, 224, 3)).astype("float32")
    quantized(noise, training=True)
    return read_graph(edge.convert(quantized))


def aligned(size):
    return -(-size // ALIGNMENT) * ALIGNMENT


def most_alive(buffers):
    times = range(max(b.last for b in buffers) + 1)
    return max(sum(aligned(b.bytes) for b in buffers if b.first <= t <= b.last) for t in times)


@settings(max_examples=600, deadline=None)
@given(networks())
def test_of_any_network(buffers):
    plan = plan_offline(buffers, steps=3_000)
    for (i, first), (j, second) in itertools.combinations(enumerate(buffers), 2):
        if first.overlaps(second):
            at, other = plan.offsets[i], plan.offsets[j]
            assert at + first.bytes <= other or other + second.bytes <= at
    assert all(offset >= 0 and offset % ALIGNMENT == 0 for offset in plan.offsets)
    sizes = [aligned(buffer.bytes) for buffer in buffers]
    assert plan.peak_bytes == max(a + s for a, s in zip(plan.offsets, sizes, strict=True))
    greedy = greedy_offsets(sizes, buffers)
    greedy_peak = max(a + s for a, s in zip(greedy, sizes, strict=True))
    assert most_alive(buffers) <= plan.lower_bound_bytes <= plan.peak_bytes <= greedy_peak


@settings(max_examples=200, deadline=None)
@given(networks())
def test_of_a_chain_reaches_the_bound(buffers):
    chain = [Buffer(b.bytes, n, min(n + 1, len(buffers) - 1), n) for n, b in enumerate(buffers)]
    assert plan_offline(chain).is_optimal


@settings(max_examples=50, deadline=None)
@given(networks())
def test_is_the_same_however_slow_the_machine(buffers):
    """Time may stand still or run: the number of steps alone ends the search."""
    before = plan_offline(buffers, steps=3_000)
    with pytest.MonkeyPatch.context() as patch:
        for clock in ("monotonic", "perf_counter", "time"):
            patch.setattr(time, clock, lambda: 1e9)
        assert plan_offline(buffers, steps=3_000) == before


def test_searches_for_no_step_at_all():
    chain = [Buffer(64, n, n + 2, n) for n in range(30)]
    plan = plan_offline(chain, steps=0)
    assert plan.peak_bytes >= plan.lower_bound_bytes


def brute_force(buffers):
    """Placing in some order, each at the lowest free offset, reaches the optimum."""
    sizes = [aligned(b.bytes) for b in buffers]
    best = sum(sizes)
    for order in itertools.permutations(range(len(buffers))):
        offsets = {}
        for i in order:
            spans = sorted(
                (offsets[j], sizes[j]) for j in offsets if buffers[i].overlaps(buffers[j])
            )
            at = 0
            for start, size in spans:
                if start - at >= sizes[i]:
                    break
                at = max(at, start + size)
            offsets[i] = at
        best = min(best, max(offsets[i] + sizes[i] for i in offsets))
    return best


@settings(max_examples=25, deadline=None)
@given(networks().filter(lambda buffers: len(buffers) <= 6))
def test_of_a_small_network_is_the_best_there_is(buffers):
    plan = plan_offline(buffers, steps=750_000)
    assert plan.peak_bytes == brute_force(buffers)
    assert plan.is_optimal


def test_200_operators_take_less_than_two_seconds():
    rng = np.random.default_rng(0)
    buffers = []
    for n in range(201):
        skip = int(rng.integers(2, 9)) if rng.random() < 0.3 else 1
        buffers.append(Buffer(int(rng.integers(1, 60_000)), n, min(n + skip, 200), n))
    start = time.perf_counter()
    plan = plan_offline(buffers)
    assert time.perf_counter() - start < 2
    assert plan.peak_bytes <= 1.1 * plan.lower_bound_bytes


def test_vww_needs_18_000_bytes_less_in_real_tflm_and_computes_the_same(vww):
    graph = read_graph(vww)
    planned = planned_model(graph)
    assert (planned.greedy_bytes, planned.planned_bytes) == (73_728, 55_296)
    assert planned.plan.is_optimal
    inputs = np.random.default_rng(0).integers(-128, 128, (20, 96, 96, 3)).astype(np.int8)
    expected, before = run_tflm(graph, inputs)
    actual, after = run_tflm(planned.graph, inputs)
    np.testing.assert_array_equal(actual, expected)
    np.testing.assert_array_equal(run_litert(planned.graph, inputs), expected)
    assert before - after == 18_432
    assert predict_arena(planned.graph, structures=PYTHON_WHEEL).used_bytes == after
    assert tensor_arena(planned.graph, find_board("nucleo-f446re")).bytes == 82_288


def test_every_constant_and_scale_survives_the_plan(vww):
    before = read_graph(vww)
    after = planned_model(before).graph
    assert after.offline_offsets is not None
    for ours, theirs in zip(after.tensors, before.tensors, strict=True):
        assert (ours.name, ours.shape, ours.dtype) == (theirs.name, theirs.shape, theirs.dtype)
        assert ours.quantization == theirs.quantization
        if ours.is_constant:
            np.testing.assert_array_equal(ours.values(), theirs.values())
    assert [op.opcode for op in after.operators] == [op.opcode for op in before.operators]
    assert [op.options for op in after.operators] == [op.options for op in before.operators]


def test_constants_stay_aligned_for_a_core_that_cannot_read_across_words(vww):
    graph = planned_model(read_graph(vww)).graph
    start = np.frombuffer(graph.content, np.uint8).ctypes.data
    for tensor in graph.tensors:
        if tensor.data is not None:
            assert (tensor.data.ctypes.data - start) % 16 == 0, tensor.name


def test_a_plan_that_is_there_is_replaced_not_doubled(vww):
    once = planned_model(read_graph(vww)).graph
    twice = planned_model(once).graph
    assert twice.content == once.content
    assert once.content.count(b"OfflineMemoryAllocation") == 1


def test_a_model_that_greedy_plans_best_stays_as_it_is(kws):
    graph = read_graph(kws)
    assert planned_model(graph).graph is graph


@pytest.mark.parametrize("side", [128, 160, 192, 224])
@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75, 1.0])
def test_every_mobilenet_of_the_paper_reaches_the_bound(mobilenet, alpha, side):
    graph = scaled_model(mobilenet, alpha, side).graph
    buffers = predict_arena(graph).buffers
    plan = plan_offline(buffers)
    assert plan.is_optimal
    if (alpha, side) == (0.25, 128):
        assert predict_arena(graph).head_bytes == 131_072
        assert plan.peak_bytes == 98_304


def test_outputs_may_reach_into_inputs_on_the_reference_kernels(vww):
    graph = read_graph(vww)
    planned = planned_model(graph, may_overlap=True)
    assert planned.planned_bytes == 36_896
    assert predict_arena(planned.graph).has_overlap
    inputs = np.random.default_rng(1).integers(-128, 128, (20, 96, 96, 3)).astype(np.int8)
    expected, before = run_tflm(graph, inputs)
    actual, after = run_tflm(planned.graph, inputs)
    np.testing.assert_array_equal(actual, expected)
    assert before - after == 73_728 - 36_896


def test_at_half_the_distance_an_overlap_corrupts_the_output(kws):
    """The distance is not only safe but needed."""
    graph = read_graph(kws)
    buffers = predict_arena(graph).buffers
    gaps = reference_overlaps(graph, buffers)
    halved = {pair: gap // 2 for pair, gap in gaps.items()}
    plan = plan_offline(buffers, halved)
    offsets = [-1] * len(graph.tensors)
    for buffer, offset in zip(plan.buffers, plan.offsets, strict=True):
        if buffer.tensor is not None:
            offsets[buffer.tensor] = offset
    broken = read_graph(with_offline_plan(graph.content, offsets))
    inputs = np.random.default_rng(0).integers(-128, 128, (20, *graph.input.shape[1:]))
    inputs = inputs.astype(np.int8)
    assert not np.array_equal(run_tflm(broken, inputs)[0], run_tflm(graph, inputs)[0])


def test_an_overlapping_model_is_budgeted_for_reference_kernels_only(vww):
    planned = planned_model(read_graph(vww), may_overlap=True).graph
    arena = tensor_arena(planned, find_board("nucleo-f446re"))
    assert arena.cmsis_nn_bytes is None
    assert arena.bytes == 63_840
