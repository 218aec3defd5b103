"""Prepares memory over time for drawing, in one form for TFLite Micro and for the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge.engine.compile import Engine
from edge.engine.timeline import Piece, StreamMoment, stream_timeline
from edge.memory.live_ranges import Buffer
from edge.memory.timeline import Timeline
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Span:
    """A part of a box's life in which its place in memory does not change.

    Attributes:
        first: The index of the first moment.
        last: The index of the last moment.
        bottom: The offset of its first byte.
        top: The offset behind its last byte.
        rows: The first live row and the one behind the last; None where the tensor is kept whole.
    """

    first: int
    last: int
    bottom: int
    top: int
    rows: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Box:
    """Something that takes memory for a while.

    Attributes:
        name: The tensor's name, or what else it is.
        kind: `"tensor"`, or as in `edge.engine.timeline.Piece`.
        shape: The shape of the tensor, empty for scratch memory.
        height: The number of rows of the whole tensor; 0 where it has no rows of its own.
        spans: The parts of its life, in order; there may be gaps.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    height: int
    spans: tuple[Span, ...]

    def at(self, moment: int) -> Span | None:
        """Finds the span of a moment.

        Args:
            moment: The index of the moment.

        Returns:
            The span, or None if the box is not alive then.
        """
        return next((span for span in self.spans if span.first <= moment <= span.last), None)


@dataclasses.dataclass(frozen=True)
class MemoryMoment:
    """A moment of an inference.

    Attributes:
        operator: The index of the operator that runs.
        row: The row that it makes, None where it makes all at once.
        alive_bytes: The sum of what is alive.
        top_bytes: Where the highest live thing ends.
    """

    operator: int
    row: int | None
    alive_bytes: int
    top_bytes: int


@dataclasses.dataclass(frozen=True)
class MemoryView:
    """Memory over one inference.

    Attributes:
        boxes: All that takes memory.
        moments: The moments of the inference, in order.
        edges: Where each moment begins on an axis from 0 to 1; one more for the end.
        marks: The labels of the axis: the index of a moment, and text.
    """

    boxes: tuple[Box, ...]
    moments: tuple[MemoryMoment, ...]
    edges: tuple[float, ...]
    marks: tuple[tuple[int, str], ...]

    @property
    def peak(self) -> int:
        """The moment at which memory reaches highest; of several, where most is alive."""
        return max(
            range(len(self.moments)),
            key=lambda n: (self.moments[n].top_bytes, self.moments[n].alive_bytes),
        )

    @property
    def peak_bytes(self) -> int:
        """The offset behind the highest byte that is ever used."""
        return self.moments[self.peak].top_bytes

    def spread_marks(self, gap: float) -> list[tuple[int, str]]:
        """Leaves out the marks that are too near to the one before.

        Args:
            gap: The smallest distance of two marks, as a share of the axis.

        Returns:
            The remaining marks: the index of a moment and its text.
        """
        kept: list[tuple[int, str]] = []
        for moment, text in self.marks:
            if not kept or self.edges[moment] - self.edges[kept[-1][0]] >= gap:
                kept.append((moment, text))
        return kept

    def tensor_numbers(self) -> dict[str, int]:
        """Numbers the tensors in the order in which they are made, to choose their colors.

        Returns:
            The number of each tensor, by its name; scratch memory has none.
        """
        names = dict.fromkeys(box.name for box in self.boxes if box.kind != "scratch")
        return {name: number for number, name in enumerate(names)}

    def alive(self, moment: int) -> list[tuple[Box, Span]]:
        """Lists the boxes that are alive at a moment.

        Args:
            moment: The index of the moment.

        Returns:
            The boxes with their spans at that moment, the largest first.
        """
        pairs = ((box, box.at(moment)) for box in self.boxes)
        found = [(box, span) for box, span in pairs if span is not None]
        return sorted(found, key=lambda pair: pair[1].bottom - pair[1].top)


def tflm_memory(graph: Graph, timeline: Timeline) -> MemoryView:
    """Draws up the memory of the tensor arena under TFLite Micro, operator by operator.

    Args:
        graph: The int8 model.
        timeline: The memory of the model over time.

    Returns:
        The `MemoryView`.

    Example:
        >>> from edge.memory.timeline import memory_timeline
        >>> tflm_memory(graph, memory_timeline(graph)).peak_bytes
        256
    """
    count = len(timeline.moments)
    boxes = tuple(
        _buffer_box(graph, buffer, offset)
        for buffer, offset in zip(timeline.buffers, timeline.offsets, strict=True)
    )
    moments = tuple(
        MemoryMoment(moment.operator, None, moment.alive_bytes, moment.top_bytes)
        for moment in timeline.moments
    )
    step = max(1, -(-count // 12))
    marks = tuple((n, str(n)) for n in range(0, count, step))
    return MemoryView(boxes, moments, tuple(n / count for n in range(count + 1)), marks)


def engine_memory(engine: Engine) -> MemoryView:
    """Draws up the memory of the engine's state, row by row.

    The width of a segment follows the number of its layers: late layers make few rows, and by rows
    alone they would be too narrow to see.

    Args:
        engine: The engine, whose plan says what is alive.

    Returns:
        The `MemoryView`.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> engine_memory(compile_engine(graph)).peak_bytes
        224
    """
    scratch = tuple(kernel.scratch_bytes for kernel in engine.kernels)
    moments = stream_timeline(engine.plan, scratch)
    layers = engine.network.layers
    edges, marks = [0.0], []
    for number, segment in enumerate(engine.plan.segments):
        count = sum(moment.segment == number for moment in moments)
        first, last = (layers[n].op.index for n in (segment.layers[0], segment.layers[1] - 1))
        marks.append((len(edges) - 1, f"{first}\u2013{last}" if first != last else str(first)))
        start, width = edges[-1], (segment.layers[1] - segment.layers[0]) / len(layers)
        edges += [start + width * (n + 1) / count for n in range(count)]
    return MemoryView(
        _piece_boxes(engine, moments),
        tuple(
            MemoryMoment(
                layers[moment.layer].op.index, moment.row, moment.alive_bytes, moment.top_bytes
            )
            for moment in moments
        ),
        tuple(edges),
        tuple(marks),
    )


def _buffer_box(graph: Graph, buffer: Buffer, offset: int) -> Box:
    # Time 0 is before the first operator, which runs at time 1.
    span = Span(max(buffer.first, 1) - 1, buffer.last - 1, offset, offset + buffer.bytes)
    if buffer.tensor is None:
        return Box(name="scratch memory", kind="scratch", shape=(), height=0, spans=(span,))
    tensor = graph.tensors[buffer.tensor]
    return Box(name=tensor.name, kind="tensor", shape=tensor.shape, height=0, spans=(span,))


def _piece_boxes(engine: Engine, moments: Sequence[StreamMoment]) -> tuple[Box, ...]:
    spans: dict[tuple[str, int], list[Span]] = {}
    for number, moment in enumerate(moments):
        for piece in moment.pieces:
            life = spans.setdefault((piece.kind, piece.index), [])
            new = Span(
                first=number, last=number, bottom=piece.offset, top=piece.end, rows=_rows(piece)
            )
            if life and _goes_on(life[-1], new):
                life[-1] = dataclasses.replace(life[-1], last=number)
            else:
                life.append(new)
    boxes = []
    for (kind, index), life in spans.items():
        if kind == "scratch":
            op = engine.network.layers[index].op
            name = f"scratch memory of operator {op.index}, {op.opcode}"
            boxes.append(Box(name=name, kind=kind, shape=(), height=0, spans=tuple(life)))
        else:
            tensor = engine.network.graph.tensors[index]
            boxes.append(
                Box(
                    name=tensor.name,
                    kind=kind,
                    shape=tensor.shape,
                    height=engine.network.rows[index].height,
                    spans=tuple(life),
                )
            )
    return tuple(boxes)


def _rows(piece: Piece) -> tuple[int, int] | None:
    return None if piece.kind == "scratch" else piece.rows


def _goes_on(before: Span, now: Span) -> bool:
    then = dataclasses.replace(before, first=now.first, last=now.last)
    return then == now and before.last + 1 == now.first
