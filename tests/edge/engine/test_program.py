"""The schedule in numbers: its loops run as the steps of the plan do, and are short."""

import itertools

import numpy as np
import pytest
from graph_builder import GraphBuilder
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import RandomValues, audio_graph, random_graph

from edge.engine import program
from edge.engine.compile import compile_engine
from edge.engine.program import LEVELS, LONGEST_BODY, MOST_AGAIN, pack, program_of
from edge.engine.stream_plan import Await, Make
from edge.errors import ModelError

REPEAT = 100


def unpacked(numbers, repeat):
    """As the emitted C follows loops: a counter for each level, nothing else."""
    steps, rounds, position = [], [0] * LEVELS, 0
    while position < len(numbers):
        level = numbers[position] - repeat
        if 0 <= level < LEVELS:
            back, again = numbers[position + 1 : position + 3]
            assert 1 <= back <= min(position, LONGEST_BODY)
            assert 1 <= again <= MOST_AGAIN
            is_done = rounds[level] == again
            rounds[level] = 0 if is_done else rounds[level] + 1
            position += 3 if is_done else -back
        else:
            steps.append(numbers[position])
            position += 1
    assert not any(rounds)
    return steps


blocks = st.lists(st.integers(0, 3), min_size=1, max_size=6)
loops = st.lists(st.tuples(blocks, st.integers(1, 12)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(loops, st.integers(1, 5)), max_size=3))
def test_loops_run_as_the_steps_that_they_were(nested):
    steps = [
        step
        for inner, outer_times in nested
        for _ in range(outer_times)
        for block, times in inner
        for step in block * times
    ]
    packed = pack(steps, REPEAT)
    assert unpacked(packed, REPEAT) == steps
    # A loop within a loop, each written once, is one of the ways; the search is not exhaustive.
    written = sum(3 + sum(3 + len(block) for block, _ in inner) for inner, _ in nested)
    assert len(packed) <= min(len(steps), 2 * written)


@pytest.mark.parametrize("count", [MOST_AGAIN, MOST_AGAIN + 1, MOST_AGAIN + 2, 5_000])
def test_a_loop_of_any_number_of_rounds(count):
    packed = pack([1, 2, 3] * count, REPEAT)
    assert unpacked(packed, REPEAT) == [1, 2, 3] * count
    assert len(packed) <= 6 * (count // (MOST_AGAIN + 1) + 1)


def test_a_body_of_many_steps_goes_no_further_back_than_a_number_says():
    body = list(range(60)) * 5 + list(itertools.chain(*zip(range(60), [61] * 60, strict=True)))
    assert unpacked(pack(body * 3, REPEAT), REPEAT) == body * 3
    bodies = np.random.default_rng(0).integers(0, REPEAT, (2, LONGEST_BODY + 1)).tolist()
    for steps in bodies:
        assert len(pack(steps * 2, REPEAT)) == 2 * len(steps)
        assert len(pack(steps[1:] * 2, REPEAT)) == len(steps[1:]) + 3


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_is_the_plan_of_any_network(seed):
    assert_is_the_plan(compile_engine(random_graph(seed)).plan)


def assert_is_the_plan(plan):
    found = program_of(plan)
    tensors = {number + found.keep: tensor for number, tensor in enumerate(plan.stores)}
    numbers = list(found.numbers)
    assert numbers.pop() == found.end
    for number, step in zip(unpacked(numbers, found.repeat), plan.steps[1:], strict=True):
        if isinstance(step, Make):
            assert number == step.layer
        elif isinstance(step, Await):
            assert number == found.wait
        else:
            assert tensors[number] == step.tensor
    return found


def test_a_network_of_one_dimension_takes_a_fraction():
    plan = compile_engine(audio_graph(1000)).plan
    found = assert_is_the_plan(plan)
    assert found.has_loops
    assert len(plan.steps) > 4000
    assert len(found.numbers) < 150


@pytest.mark.parametrize(
    ("layers", "is_in_bytes"), [(123, True), (124, True), (125, False)], ids=str
)
def test_many_layers_take_halfwords(layers, is_in_bytes):
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 4, 1, 1), draw_quantization=values.quantization, draw_weights=values.weights
    )
    for _ in range(layers - 1):
        made.requantize()
    found = assert_is_the_plan(compile_engine(made.graph()).plan)
    assert found.is_in_bytes == is_in_bytes
    assert max(found.numbers) < (2**8 if is_in_bytes else 2**16)


def test_more_steps_than_the_state_counts_are_refused(monkeypatch):
    plan = compile_engine(audio_graph(500)).plan
    monkeypatch.setattr(program, "LONGEST_PROGRAM", len(program_of(plan).numbers))
    program_of(plan)
    monkeypatch.setattr(program, "LONGEST_PROGRAM", len(program_of(plan).numbers) - 1)
    with pytest.raises(ModelError, match=r"^The schedule takes \d+ steps, and .*TFLite Micro"):
        program_of(plan)
