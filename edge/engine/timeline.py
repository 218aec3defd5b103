"""The engine's memory over time: what is alive while each row is made, and where it lies."""

from __future__ import annotations

import dataclasses
from typing import Literal

from edge.engine.row_flow import RowFlow
from edge.engine.stream_plan import Await, Keep, Store, StreamPlan

Kind = Literal["whole", "ring", "new row", "scratch"]


@dataclasses.dataclass(frozen=True)
class Piece:
    """Memory that is in use while a row is made.

    Attributes:
        kind: `"whole"`: rows of a tensor that has a place for all of them; `"ring"`: rows in a
            ring; `"new row"`: one beside its ring; `"scratch"`: a kernel's own.
        index: The index of the tensor, or of the layer whose scratch memory it is.
        offset: Where it starts in the state's memory, in bytes.
        bytes: The size. A ring counts whole, with the slots that are free for a moment.
        rows: The first row that is alive, and the one after the last; both 0 for scratch memory.
    """

    kind: Kind
    index: int
    offset: int
    bytes: int
    rows: tuple[int, int]

    @property
    def end(self) -> int:
        """Where it ends, in bytes."""
        return self.offset + self.bytes


@dataclasses.dataclass(frozen=True)
class StreamMoment:
    """The state's memory while one row is made.

    Attributes:
        layer: The index of the layer that makes it.
        row: The number of the row.
        segment: The index of the segment that the layer runs in.
        pieces: The memory that is in use.
    """

    layer: int
    row: int
    segment: int
    pieces: tuple[Piece, ...]

    @property
    def alive_bytes(self) -> int:
        """The sum of what is in use."""
        return sum(piece.bytes for piece in self.pieces)

    @property
    def top_bytes(self) -> int:
        """Where the highest piece ends."""
        return max((piece.end for piece in self.pieces), default=0)


def stream_timeline(plan: StreamPlan, scratch_bytes: tuple[int, ...]) -> tuple[StreamMoment, ...]:
    """Follows the engine's memory through one inference.

    Args:
        plan: The schedule.
        scratch_bytes: The memory that each layer's kernel needs while it makes a row.

    Returns:
        One `StreamMoment` per row that is made, in order.

    Example:
        >>> from edge.engine.layers import network_of
        >>> from edge.engine.schedule import plan_stream
        >>> plan = plan_stream(network_of(graph), lambda layer: 0)
        >>> [moment.layer for moment in stream_timeline(plan, (0,) * 7)][-4:]
        [3, 4, 5, 6]
    """
    network = plan.network
    flow = RowFlow(network)
    segment_of = {
        layer: number
        for number, segment in enumerate(plan.segments)
        for layer in range(*segment.layers)
    }
    # A row that no output needs is made and never read: it is gone when its readers are done.
    last_segment = {
        tensor: max((segment_of[reader.index] for reader in network.readers(tensor)), default=-1)
        for tensor in plan.stores
    }
    last_segment[network.output] = len(plan.segments) - 1
    head_row: dict[int, int] = {}
    moments = []
    for step in plan.steps:
        if isinstance(step, Await):
            head_row[network.input] = flow.made[network.input]
            flow.await_row()
            continue
        if isinstance(step, Keep):
            head_row.pop(step.tensor, None)
            continue
        layer = network.layers[step.layer]
        row = flow.made[layer.output]
        needed = dict(flow.oldest)
        flow.make_row(layer)
        if plan.stores[layer.output].head_offset is not None:
            head_row[layer.output] = row
        segment = segment_of[layer.index]
        pieces: list[Piece] = []
        for tensor, store in plan.stores.items():
            if segment <= last_segment[tensor]:
                pieces += _pieces(plan, tensor, store, needed[tensor], flow.made[tensor], head_row)
        if scratch_bytes[layer.index]:
            at = plan.scratch_offset[segment]
            pieces.append(
                Piece("scratch", layer.index, at, scratch_bytes[layer.index], rows=(0, 0))
            )
        moments.append(StreamMoment(layer.index, row, segment, tuple(pieces)))
    return tuple(moments)


def _pieces(
    plan: StreamPlan, tensor: int, store: Store, first: int, end: int, head_row: dict[int, int]
) -> list[Piece]:
    """The rows of a tensor that are alive, but not a row of the input that is the caller's."""
    rows, pieces = plan.network.rows[tensor], []
    newest = head_row.get(tensor)
    if newest is not None and newest >= first and store.head_offset is not None:
        at = store.head_offset
        pieces.append(Piece("new row", tensor, at, rows.row_bytes, rows=(newest, newest + 1)))
    if newest is not None:
        end = min(end, newest)
    if first < end and store.slots >= rows.height:
        at, size = store.offset + first * rows.row_bytes, (end - first) * rows.row_bytes
        pieces.append(Piece("whole", tensor, at, size, rows=(first, end)))
    elif first < end:
        size = store.slots * rows.row_bytes
        pieces.append(Piece("ring", tensor, store.offset, size, rows=(first, end)))
    return pieces
