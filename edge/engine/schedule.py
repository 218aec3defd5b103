"""The streamed schedule: rows flow from layer to layer through ring buffers.

A 3x3 layer needs two rows of its input and the one that has just been made. So a chain of layers
runs row by row, and a tensor is whole only where the plan says that this costs less. Nothing is
computed twice, and the output is the same, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from edge.engine.layout import Layout, segment_layout
from edge.engine.network import Layer, Network
from edge.engine.simulation import Simulation
from edge.engine.stream_plan import Segment, Store, StreamPlan
from edge.errors import ModelError
from edge.memory.greedy import align_up
from edge.memory.live_ranges import Buffer
from edge.memory.optimal import plan_offline

Scratch = Callable[[Layer], int]
"""Bytes of memory that a layer's kernel needs while it makes a row."""

FAR_BEYOND_BEST = 1.5
"""More layers need more rings: so far beyond the best, a segment does not get better again."""


class InfeasibleError(ModelError):
    """No schedule keeps within the memory that was asked for."""


@dataclasses.dataclass(frozen=True)
class _Chain:
    """Segments one after the other, and what they take."""

    peak_bytes: int
    copied_bytes: int
    layouts: tuple[Layout, ...]


def plan_stream(
    network: Network, scratch: Scratch, ram_bytes: int | None = None, steps: int = 150_000
) -> StreamPlan:
    """Finds the schedule that needs the least memory, or the one that copies least within a budget.

    Args:
        network: The network to run.
        scratch: Gives the bytes that each layer's kernel needs.
        ram_bytes: If given, rows are not copied as long as the plan keeps within it.
        steps: How many buffers to place, at most, in the search for the placement.

    Returns:
        The `StreamPlan`.

    Raises:
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> plan_stream(network_of(graph), lambda layer: 0).memory_bytes
        112
    """
    scratch_bytes = [scratch(layer) for layer in network.layers]
    return Scheduler(network).plan(scratch_bytes, ram_bytes, steps)


class Scheduler:
    """Plans a network for several sets of kernels, which differ in their scratch memory only.

    Args:
        network: The network to run.
        simulations: The simulations so far of networks whose rows come and go as this one's do,
            because they differ in channels only; more are added. None for none.
    """

    def __init__(self, network: Network, simulations: dict[int, Simulation] | None = None):
        self.network = network
        self._cuts = cut_points(network)
        self._simulations = {} if simulations is None else simulations
        self._layouts: dict[tuple[int, int, bool], Layout] = {}

    def plan(
        self, scratch_bytes: Sequence[int], ram_bytes: int | None = None, steps: int = 150_000
    ) -> StreamPlan:
        """Finds the schedule for a set of kernels, see `plan_stream`.

        Args:
            scratch_bytes: The memory that each layer's kernel needs while it makes a row.
            ram_bytes: If given, rows are not copied as long as the plan keeps within it.
            steps: How many buffers to place, at most, in the search for the placement.

        Returns:
            The `StreamPlan`.

        Raises:
            InfeasibleError: If no schedule keeps within `ram_bytes`.
        """
        plans = []
        for has_heads in (False, True):
            layouts = self._best_layouts(scratch_bytes, has_heads)
            segments = [self._segment(layout, scratch_bytes) for layout in layouts]
            plans.append(_placed(self.network, segments, steps))
        smallest = min(plans, key=lambda plan: plan.memory_bytes)
        if ram_bytes is None:
            return smallest
        fitting = [plan for plan in plans if plan.memory_bytes <= ram_bytes]
        if not fitting:
            raise InfeasibleError(
                f"No schedule was found that keeps within {ram_bytes:,} bytes; the smallest takes "
                f"{smallest.memory_bytes:,}."
            )
        return min(fitting, key=lambda plan: sum(s.copied_bytes for s in plan.segments))

    def _best_layouts(self, scratch_bytes: Sequence[int], has_heads: bool) -> tuple[Layout, ...]:
        """Dynamic programming over the cuts: the smallest peak that a chain can have."""
        best = [_Chain(0, 0, ())]
        for end in range(1, len(self._cuts)):
            candidates: list[_Chain] = []
            for start in reversed(range(end)):
                between = self.network.layers[self._cuts[start + 1] - 1].output
                if start + 1 < end and between in self.network.in_one_piece:
                    break
                layout = self._layout(self._cuts[start], self._cuts[end], has_heads)
                workspace_bytes = _workspace_bytes(layout, scratch_bytes)
                least = min((chain.peak_bytes for chain in candidates), default=workspace_bytes)
                if workspace_bytes > FAR_BEYOND_BEST * least:
                    break
                candidates.append(
                    _Chain(
                        max(best[start].peak_bytes, self._peak_bytes(layout, workspace_bytes)),
                        best[start].copied_bytes + layout.copied_bytes,
                        (*best[start].layouts, layout),
                    )
                )
            # Of equal ones the fewest segments: a chain of outputs inside inputs is hard to place.
            best.append(
                min(candidates, key=lambda c: (c.peak_bytes, c.copied_bytes, len(c.layouts)))
            )
        return best[-1].layouts

    def _layout(self, first: int, end: int, has_heads: bool) -> Layout:
        key = (first, end, has_heads)
        if key not in self._layouts:
            self._layouts[key] = segment_layout(
                self.network, self._simulation(first), (first, end), has_heads
            )
        return self._layouts[key]

    def _simulation(self, first: int) -> Simulation:
        if first not in self._simulations:
            self._simulations[first] = Simulation(self.network, first)
        return self._simulations[first]

    def _peak_bytes(self, layout: Layout, workspace_bytes: int) -> int:
        """What a segment takes with its source and its result."""
        rows = self.network.rows
        result = align_up(rows[layout.result].bytes)
        if layout.source == self.network.input:
            return workspace_bytes + result
        source = align_up(rows[layout.source].bytes)
        return workspace_bytes + max(result, align_up(layout.overlap_bytes) + source)

    def _segment(self, layout: Layout, scratch_bytes: Sequence[int]) -> Segment:
        first, end = layout.layers
        steps = self._simulation(first).steps(end - 1, layout.slots, layout.heads)
        return Segment(
            layers=layout.layers,
            source=layout.source,
            result=layout.result,
            slots=layout.slots,
            heads=layout.heads,
            steps=tuple(steps),
            head_offsets=layout.head_offsets,
            workspace_bytes=_workspace_bytes(layout, scratch_bytes),
            scratch_bytes=max(scratch_bytes[first:end]),
            overlap_bytes=layout.overlap_bytes,
            copied_bytes=layout.copied_bytes,
        )


def _workspace_bytes(layout: Layout, scratch_bytes: Sequence[int]) -> int:
    first, end = layout.layers
    return layout.bytes + align_up(max(scratch_bytes[first:end]))


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


def _placed(network: Network, segments: Sequence[Segment], steps: int) -> StreamPlan:
    """Gives every whole tensor and every segment's workspace its place."""
    buffers, overlaps = _buffers(network, segments)
    placed = plan_offline(buffers, overlaps, steps)
    workspaces, results = placed.offsets[: len(segments)], placed.offsets[len(segments) :]
    stores: dict[int, Store] = {}
    for segment, workspace, result in zip(segments, workspaces, results, strict=True):
        stores |= _segment_stores(network, segment, workspace)
        stores[segment.result] = Store(segment.slots[segment.result], result, None)
    return StreamPlan(
        network=network,
        segments=tuple(segments),
        stores=stores,
        scratch_offset=tuple(workspaces),
        memory_bytes=placed.peak_bytes,
    )


def _buffers(
    network: Network, segments: Sequence[Segment]
) -> tuple[list[Buffer], dict[tuple[int, int], int]]:
    """The workspaces, then the results; a result may begin inside of the one that it is made of."""
    count = len(segments)
    buffers = [Buffer(segment.workspace_bytes, n, n) for n, segment in enumerate(segments)]
    overlaps: dict[tuple[int, int], int] = {}
    for number, segment in enumerate(segments):
        result_bytes = network.rows[segment.result].bytes
        last = min(number + 1, count - 1)
        buffers.append(Buffer(result_bytes, number, last, segment.result))
        if number > 0 and segment.overlap_bytes < result_bytes:
            overlaps[count + number, count + number - 1] = segment.overlap_bytes
    return buffers, overlaps


def _segment_stores(network: Network, segment: Segment, workspace: int) -> dict[int, Store]:
    """Where a segment's rings lie: behind the kernels' scratch memory and the new rows."""
    heads_at = workspace + align_up(segment.scratch_bytes)
    heads = segment.head_offsets.items()
    rings_at = heads_at + max(
        (offset + align_up(network.rows[tensor].row_bytes) for tensor, offset in heads), default=0
    )
    stores: dict[int, Store] = {}
    for tensor, count in segment.slots.items():
        is_whole_source = tensor == segment.source and tensor != network.input
        if tensor == segment.result or is_whole_source:
            continue
        head = segment.head_offsets.get(tensor)
        stores[tensor] = Store(count, rings_at, None if head is None else heads_at + head)
        rings_at += align_up(count * network.rows[tensor].row_bytes)
    return stores
