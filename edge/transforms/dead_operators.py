"""Takes out the operators that the output does not depend on."""

from __future__ import annotations

import dataclasses

from edge.tflite.graph import Graph


def without_dead_operators(graph: Graph) -> Graph:
    """Makes a graph of the operators that the outputs depend on, in the same order.

    A file may have a tail behind its output, or branches that nothing reads: its interpreter runs
    them for nothing. Without them the result of the last operator is an output.

    Args:
        graph: The model, each tensor made before it is read.

    Returns:
        The `Graph`, the same object if every operator is needed. Operators keep the index that
        they have in the file, tensors stay where they are.

    Example:
        >>> import dataclasses
        >>> tapped = dataclasses.replace(graph, outputs=graph.operators[0].outputs)
        >>> [op.index for op in without_dead_operators(tapped).operators]
        [0]
    """
    live = graph.live_operators()
    if len(live) == len(graph.operators):
        return graph
    return dataclasses.replace(graph, operators=live)
