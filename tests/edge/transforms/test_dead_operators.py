"""Operators that the output does not depend on go; all others stay, in order."""

import dataclasses

import pytest
from networks import random_graph

from edge.transforms.dead_operators import without_dead_operators


def activations(graph):
    return [op.outputs[0] for op in graph.operators]


def test_a_graph_without_dead_operators_is_the_same_object():
    graph = random_graph(3)
    assert without_dead_operators(graph) is graph


@pytest.mark.parametrize("seed", range(20))
def test_the_last_operator_left_makes_the_output(seed):
    graph = random_graph(seed)
    for index in activations(graph):
        left = without_dead_operators(dataclasses.replace(graph, outputs=(index,)))
        assert left.operators[-1].outputs == (index,)
        assert left.tensors is graph.tensors
        # Each one left is read by a later one, up to the last.
        read = {tensor for op in left.operators for tensor in op.inputs}
        assert all(op.outputs[0] in read for op in left.operators[:-1])
        assert [op.index for op in left.operators] == sorted(op.index for op in left.operators)


def test_of_an_output_that_is_the_input_no_operator_is_left():
    graph = random_graph(3)
    left = without_dead_operators(dataclasses.replace(graph, outputs=graph.inputs))
    assert left.operators == ()


def test_several_outputs_keep_what_each_of_them_needs():
    graph = random_graph(3)
    first, *_, last = activations(graph)
    left = without_dead_operators(dataclasses.replace(graph, outputs=(first, last)))
    assert left.operators == graph.operators
