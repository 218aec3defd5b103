"""The streamed schedule: rows flow from layer to layer through ring buffers.

A 3x3 layer needs two rows of its input and the one that has just been made. So a chain of layers
runs row by row, and a tensor is whole only where the plan says that this costs less. Nothing is
computed twice, and the output is the same, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from edge.engine.layers import Layer, Network
from edge.engine.row_flow import Flow
from edge.errors import ModelError
from edge.memory.greedy import align_up
from edge.memory.live_ranges import Buffer
from edge.memory.optimal import plan_offline

Scratch = Callable[[Layer], int]
"""Bytes of memory that a layer's kernel needs while it makes a row."""


class InfeasibleError(ModelError):
    """No schedule keeps within the memory that was asked for."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One thing to do.

    Attributes:
        kind: `"make"` the next row of a layer, `"keep"` a tensor's new row in its ring, or
            `"await"` the next row of the input.
        index: Of the layer or of the tensor, -1 for the input.
    """

    kind: str
    index: int


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the rows of a tensor lie.

    Attributes:
        slots: Rows in the ring.
        offset: Where the ring starts in the state's memory, in bytes.
        head_offset: Where a new row lies before it is kept; None if it goes right into the ring,
            or is the caller's.
    """

    slots: int
    offset: int
    head_offset: int | None


@dataclasses.dataclass(frozen=True)
class Segment:
    """Layers that run together, row by row.

    Attributes:
        layers: Indices of the first layer, and of the one after the last.
        source: Tensor that is read: whole, or row by row if it is the input of the network.
        result: Tensor that is whole at the end.
        slots: Ring rows by tensor.
        heads: Tensors whose new rows lie beside their rings.
        steps: What to do.
        head_offsets: Where heads lie in the workspace, in bytes.
        workspace_bytes: Rings, heads and scratch.
        scratch_bytes: The most that a kernel needs.
        overlap_bytes: How far above the start of the result the source must start.
        copied_bytes: What is copied from heads to rings.
    """

    layers: tuple[int, int]
    source: int
    result: int
    slots: dict[int, int]
    heads: tuple[int, ...]
    steps: tuple[Step, ...]
    head_offsets: dict[int, int]
    workspace_bytes: int
    scratch_bytes: int
    overlap_bytes: int
    copied_bytes: int


@dataclasses.dataclass(frozen=True)
class StreamPlan:
    """A schedule with its memory.

    Attributes:
        network: What it runs.
        segments: One after the other.
        stores: Where each tensor lies, by tensor index.
        scratch_offset: Where each segment's scratch memory lies.
        memory_bytes: All of it: what the state's memory takes.
        steps: The whole program.
    """

    network: Network
    segments: tuple[Segment, ...]
    stores: dict[int, Store]
    scratch_offset: tuple[int, ...]
    memory_bytes: int
    steps: tuple[Step, ...]


def plan_stream(
    network: Network, scratch: Scratch, ram_bytes: int | None = None, seconds: float = 1.0
) -> StreamPlan:
    """Finds the schedule that needs the least memory, or the one that copies least within a budget.

    Args:
        network: What to run.
        scratch: What each layer's kernel needs.
        ram_bytes: If given, rows are not copied as long as the plan keeps within it.
        seconds: How long to search for the placement.

    Returns:
        The `StreamPlan`.

    Raises:
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> plan_stream(network_of(graph), lambda layer: 0).memory_bytes
        112
    """
    plans = [_best(network, scratch, with_heads, seconds) for with_heads in (False, True)]
    smallest = min(plans, key=lambda plan: plan.memory_bytes)
    if ram_bytes is None:
        return smallest
    fitting = [plan for plan in plans if plan.memory_bytes <= ram_bytes]
    if not fitting:
        raise InfeasibleError(
            f"No schedule keeps within {ram_bytes:,} bytes; the smallest takes "
            f"{smallest.memory_bytes:,}."
        )
    return min(fitting, key=lambda plan: sum(segment.copied_bytes for segment in plan.segments))


def cut_points(network: Network) -> list[int]:
    """After how many layers a single tensor carries all that later layers need.

    Args:
        network: The layers.

    Returns:
        Numbers of layers, ascending, 0 and all of them included.

    Example:
        >>> from edge.engine.layers import network_of
        >>> cut_points(network_of(graph))  # none within the residual block
        [0, 1, 4, 5, 6, 7]
    """
    cuts = [0]
    for count in range(1, len(network.layers)):
        made = {network.input, *(layer.output for layer in network.layers[:count])}
        needed = {tensor for layer in network.layers[count:] for tensor in layer.inputs} & made
        if needed == {network.layers[count - 1].output}:
            cuts.append(count)
    return [*cuts, len(network.layers)]


def _best(network: Network, scratch: Scratch, with_heads: bool, seconds: float) -> StreamPlan:
    """Dynamic programming over the cuts: the smallest peak that a chain of segments can have."""
    cuts = cut_points(network)
    best: list[tuple[int, int, list[Segment]]] = [(0, 0, [])]
    for end in range(1, len(cuts)):
        candidates: list[tuple[int, int, list[Segment]]] = []
        for start in reversed(range(end)):
            if _must_be_whole_between(network, cuts, start, end):
                break
            segment = _segment(network, scratch, (cuts[start], cuts[end]), with_heads)
            # More layers need more rings: far beyond the best it does not get better again.
            if candidates and segment.workspace_bytes > 1.5 * min(c[0] for c in candidates):
                break
            peak, copied, before = best[start]
            peak = max(peak, _segment_bytes(network, segment))
            candidates.append((peak, copied + segment.copied_bytes, [*before, segment]))
        # Of equal ones the fewest segments: a chain of outputs inside inputs is hard to place.
        best.append(min(candidates, key=lambda c: (*c[:2], len(c[2]))))
    return _placed(network, best[-1][2], seconds)


def _must_be_whole_between(network: Network, cuts: list[int], start: int, end: int) -> bool:
    """Whether a layer that needs all of a cut's tensor lies beyond that cut."""
    return any(
        layer.needs_all
        and any(
            network.rows[tensor].height > 1
            for cut in cuts[start + 1 : end]
            for tensor in layer.inputs
            if network.layers[cut - 1].output == tensor
        )
        for layer in network.layers[cuts[start] : cuts[end]]
    )


def _segment_bytes(network: Network, segment: Segment) -> int:
    result = align_up(network.rows[segment.result].bytes)
    if segment.source == network.input:
        return segment.workspace_bytes + result
    source = align_up(network.rows[segment.source].bytes)
    return segment.workspace_bytes + max(result, align_up(segment.overlap_bytes) + source)


def _segment(
    network: Network, scratch: Scratch, span: tuple[int, int], with_heads: bool
) -> Segment:
    slots, heads = _ring_sizes(network, span, with_heads)
    flow = Flow(network, span)
    rows = network.rows
    kept = dict(flow.made)
    steps: list[Step] = []
    conflicts: set[frozenset[int]] = set()
    overlap = copied = 0

    def keep_what_fits() -> None:
        nonlocal copied
        for tensor in heads:
            while (
                kept[tensor] < flow.made[tensor]
                and slots[tensor] > 0
                and kept[tensor] - min(flow.oldest_needed(tensor), kept[tensor]) < slots[tensor]
            ):
                if flow.oldest_needed(tensor) <= kept[tensor]:
                    copied += rows[tensor].row_bytes
                    steps.append(Step("keep", tensor))
                kept[tensor] += 1

    def occupied() -> set[int]:
        return {t for t in heads if kept[t] < flow.made[t] and flow.oldest_needed(t) < flow.made[t]}

    while not flow.is_done:
        layer = flow.latest_ready()
        if layer is None:
            if not flow.is_streamed or flow.made[flow.source] == flow.height[flow.source]:
                raise AssertionError("a schedule that stands still")
            steps.append(Step("await", -1))
            kept[flow.source] = flow.made[flow.source]
            flow.made[flow.source] += 1
        else:
            output = layer.output
            if output in heads and slots[output] == 0:
                kept[output] = flow.made[output]
            if output == flow.result and not flow.is_streamed:
                reach = (flow.made[output] + 1) * rows[output].row_bytes
                free = flow.oldest_needed(flow.source) * rows[flow.source].row_bytes
                overlap = max(overlap, reach - free)
            busy = occupied()
            assert output not in busy, "a new row before the last one was kept"
            flow_heads = busy | ({output} if output in heads else set())
            flow.make(layer)
            steps.append(Step("make", layer.index))
            conflicts |= {frozenset((a, b)) for a in flow_heads for b in flow_heads if a != b}
        keep_what_fits()
    if flow.is_streamed:
        # Rows at the end that no window reaches come all the same.
        steps += [Step("await", -1)] * (flow.height[flow.source] - flow.made[flow.source])
    own = tuple(t for t in heads if t != network.input)
    head_offsets, heads_bytes = _place_heads({t: rows[t].row_bytes for t in own}, conflicts)
    rings = sum(
        align_up(count * rows[t].row_bytes)
        for t, count in slots.items()
        if t != flow.result and (t != flow.source or flow.is_streamed)
    )
    scratch_bytes = max(scratch(layer) for layer in flow.layers)
    return Segment(
        span,
        flow.source,
        flow.result,
        slots,
        heads,
        tuple(steps),
        head_offsets,
        rings + heads_bytes + align_up(scratch_bytes),
        scratch_bytes,
        overlap,
        copied,
    )


def _ring_sizes(
    network: Network, span: tuple[int, int], with_heads: bool
) -> tuple[dict[int, int], tuple[int, ...]]:
    """Rows that must be kept of each tensor, and the tensors with a place for the new row."""
    flow = Flow(network, span)
    before = dict.fromkeys(flow.made, 0)
    with_new = dict.fromkeys(flow.made, 0)
    while not flow.is_done:
        layer = flow.latest_ready()
        tensor = flow.source if layer is None else layer.output
        before[tensor] = max(before[tensor], flow.live(tensor))
        if layer is None:
            flow.made[tensor] += 1
        else:
            flow.make(layer)
        with_new[tensor] = max(with_new[tensor], flow.live(tensor))
        if not any(flow.can_make(reader) for reader in flow.readers[tensor]):
            before[tensor] = max(before[tensor], flow.live(tensor))
    slots, heads = {}, []
    for tensor, height in flow.height.items():
        is_whole = tensor == flow.result or (tensor == flow.source and not flow.is_streamed)
        in_one_piece = any(layer.needs_all for layer in flow.readers[tensor]) and height > 1
        kept = height if in_one_piece else before[tensor]
        if is_whole:
            slots[tensor] = height
        elif tensor == network.input:
            # A new row is the caller's memory.
            slots[tensor] = kept
            heads.append(tensor)
        elif with_heads and not in_one_piece and before[tensor] < with_new[tensor]:
            slots[tensor] = kept
            heads.append(tensor)
        else:
            slots[tensor] = height if in_one_piece else with_new[tensor]
    return slots, tuple(heads)


def _place_heads(
    sizes: dict[int, int], conflicts: set[frozenset[int]]
) -> tuple[dict[int, int], int]:
    """First fit, the largest first: two heads that are never full together share memory."""
    offsets: dict[int, int] = {}
    for tensor in sorted(sizes, key=lambda t: -sizes[t]):
        taken = sorted(
            (offsets[other], offsets[other] + align_up(sizes[other]))
            for other in offsets
            if frozenset((tensor, other)) in conflicts
        )
        at = 0
        for start, end in taken:
            if at + sizes[tensor] <= start:
                break
            at = max(at, end)
        offsets[tensor] = at
    return offsets, max((at + align_up(sizes[t]) for t, at in offsets.items()), default=0)


def _placed(network: Network, segments: Sequence[Segment], seconds: float) -> StreamPlan:
    """Gives every whole tensor and every segment's workspace its place."""
    buffers, overlaps = [], {}
    for number, segment in enumerate(segments):
        buffers.append(Buffer(segment.workspace_bytes, number, number))
    for number, segment in enumerate(segments):
        is_last = number == len(segments) - 1
        last = number if is_last else number + 1
        buffers.append(Buffer(network.rows[segment.result].bytes, number, last, segment.result))
        if number > 0:
            lower, upper = len(buffers) - 1, len(buffers) - 2
            if segment.overlap_bytes < buffers[lower].bytes:
                overlaps[lower, upper] = max(0, segment.overlap_bytes)
    placed = plan_offline(buffers, overlaps, seconds)
    stores: dict[int, Store] = {}
    scratch_offsets = []
    for number, segment in enumerate(segments):
        at = placed.offsets[number]
        scratch_offsets.append(at)
        at += align_up(segment.scratch_bytes)
        rings_at = at + max(
            (
                offset + align_up(network.rows[t].row_bytes)
                for t, offset in segment.head_offsets.items()
            ),
            default=0,
        )
        for tensor, count in segment.slots.items():
            if tensor == segment.result:
                stores[tensor] = Store(count, placed.offsets[len(segments) + number], None)
            elif tensor != segment.source or number == 0:
                head = segment.head_offsets.get(tensor)
                stores[tensor] = Store(count, rings_at, None if head is None else at + head)
                rings_at += align_up(count * network.rows[tensor].row_bytes)
    steps = tuple(step for segment in segments for step in segment.steps)
    return StreamPlan(
        network, tuple(segments), stores, tuple(scratch_offsets), placed.peak_bytes, steps
    )
