"""Memory over time: what is alive at each operator, and what makes the peak."""

from __future__ import annotations

import dataclasses

from edge.memory.greedy import align_up
from edge.memory.live_ranges import Buffer
from edge.memory.tflm_arena import ArenaPlan, predict_arena
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Moment:
    """The arena's head while one operator runs.

    Attributes:
        operator: The operator's index.
        alive_bytes: Sum of what is alive, each rounded up to 16.
        top_bytes: Where the highest live buffer ends: what the plan needs at this time.
    """

    operator: int
    alive_bytes: int
    top_bytes: int


@dataclasses.dataclass(frozen=True)
class Timeline:
    """The memory of one inference, operator by operator.

    Attributes:
        moments: One per operator.
        buffers: Tensors and scratch memory.
        offsets: Where each buffer starts.
    """

    moments: tuple[Moment, ...]
    buffers: tuple[Buffer, ...]
    offsets: tuple[int, ...]

    @property
    def peak(self) -> Moment:
        """The operator at which the plan reaches highest; of several, where most is alive."""
        return max(self.moments, key=lambda moment: (moment.top_bytes, moment.alive_bytes))

    def peak_buffers(self) -> list[tuple[Buffer, int]]:
        """Lists the buffers that are alive at the peak.

        Returns:
            The buffers with their offsets in bytes, the largest first.
        """
        time = self.peak.operator + 1
        alive = [
            (buffer, offset)
            for buffer, offset in zip(self.buffers, self.offsets, strict=True)
            if buffer.first <= time <= buffer.last
        ]
        return sorted(alive, key=lambda pair: -pair[0].bytes)


def memory_timeline(graph: Graph, arena: ArenaPlan | None = None) -> Timeline:
    """Follows a model's memory through one inference, under the plan that TFLite Micro will use.

    Args:
        graph: The model, with or without a plan of its own.
        arena: The prediction of its arena to follow; computed if None.

    Returns:
        The `Timeline`, for the reference kernels if no prediction was given.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> memory_timeline(graph).peak.operator
        0
    """
    arena = predict_arena(graph) if arena is None else arena
    moments = []
    for op in graph.operators:
        alive = [
            (align_up(buffer.bytes), offset)
            for buffer, offset in zip(arena.buffers, arena.offsets, strict=True)
            if buffer.first <= op.index + 1 <= buffer.last
        ]
        moments.append(
            Moment(
                operator=op.index,
                alive_bytes=sum(size for size, _ in alive),
                top_bytes=max((offset + size for size, offset in alive), default=0),
            )
        )
    return Timeline(tuple(moments), arena.buffers, arena.offsets)
