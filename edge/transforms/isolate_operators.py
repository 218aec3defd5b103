"""A model cut apart: every operator stands alone, with inputs of its own."""

from __future__ import annotations

import copy
from collections.abc import Collection

from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph
from edge.tflite.writer import AlignedBuffer, pack, unpack


def operators_apart(graph: Graph, operators: Collection[int]) -> Graph:
    """Cuts a model between its operators, so that one run computes each on inputs of its own.

    Args:
        graph: The model.
        operators: The indices of the operators to keep.

    Returns:
        A graph of the kept operators in their order. Its inputs are the activations that they
        read, operator by operator; its outputs are what they write.

    Example:
        >>> apart = operators_apart(graph, [3, 4])
        >>> len(apart.inputs), len(apart.outputs)
        (3, 2)
    """
    model = unpack(graph.content)
    (subgraph,) = model.subgraphs
    kept = [subgraph.operators[index] for index in sorted(operators)]
    inputs: list[int] = []
    for operator in kept:
        sources = list(operator.inputs)
        for place, index in enumerate(sources):
            # An optional input that is left out has the index -1.
            if index < 0 or graph.tensors[index].is_constant:
                continue
            tensor = copy.copy(subgraph.tensors[index])
            tensor.buffer = len(model.buffers)
            model.buffers.append(AlignedBuffer())
            sources[place] = len(subgraph.tensors)
            inputs.append(len(subgraph.tensors))
            subgraph.tensors.append(tensor)
        operator.inputs = sources
    subgraph.operators = kept
    subgraph.inputs = inputs
    subgraph.outputs = [index for operator in kept for index in operator.outputs]
    # They speak of the tensors before the cut.
    model.signatureDefs, model.metadata = None, None
    return read_graph(pack(model))
