"""The live range of each activation of a graph: from its first use to its last."""

from __future__ import annotations

import dataclasses

from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Buffer:
    """A piece of memory with its size and its live range.

    Attributes:
        bytes: The size of the memory.
        first: The time of the first use. Time 0 is before the first operator, operator `i` runs at
            time `i + 1`.
        last: The time of the last use, inclusive.
        tensor: The index of the tensor that it holds, None for a kernel's scratch memory.
    """

    bytes: int
    first: int
    last: int
    tensor: int | None = None

    def overlaps(self, other: Buffer) -> bool:
        """Whether the live ranges of two buffers meet.

        Args:
            other: The other buffer.

        Returns:
            True if they cannot share memory.

        Example:
            >>> Buffer(1, 0, 2).overlaps(Buffer(1, 2, 3))
            True
        """
        return self.first <= other.last and other.first <= self.last


def activation_buffers(graph: Graph) -> tuple[Buffer, ...]:
    """The live ranges of the tensors that are not constant.

    An operator's inputs and outputs are all alive while it runs; the model's output stays alive
    to the end.

    Args:
        graph: The model.

    Returns:
        One `Buffer` per activation, by tensor index.

    Example:
        >>> activation_buffers(Graph((), (), (), (), b""))
        ()
    """
    first = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.inputs, 0)
    for op in graph.operators:
        for index in op.outputs:
            first.setdefault(index, op.index + 1)
        for index in (*op.inputs, *op.outputs):
            last[index] = op.index + 1
    for index in graph.outputs:
        last[index] = len(graph.operators)
    return tuple(
        Buffer(tensor.bytes, first[tensor.index], last[tensor.index], tensor.index)
        for tensor in graph.tensors
        if tensor.index in first and not tensor.is_constant and tensor.bytes > 0
    )
