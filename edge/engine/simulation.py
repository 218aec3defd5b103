"""One run of all rows through a network from a layer on, and what it says of every segment.

The deepest layer that can run does run, and no layer waits for room. So what happens between two
layers is the same whatever runs behind them: one simulation from a layer on serves all segments
that start there, each up to the step at which its result is whole.
"""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Mapping

from edge.engine.network import Network, Rows
from edge.engine.row_flow import RowFlow
from edge.engine.stream_plan import Await, Keep, Make, Step


@dataclasses.dataclass
class TensorHistory:
    """What happened to the rows of a tensor; all lists have one entry per step that touched it.

    Attributes:
        times: The numbers of the steps.
        made: The number of rows that were there after the step.
        oldest: The first row that was still needed after the step.
        most_kept: The most rows so far that had to be kept beside a new one.
        most_alive: The most rows so far that were needed at once, the new one included.
    """

    times: list[int] = dataclasses.field(default_factory=list)
    made: list[int] = dataclasses.field(default_factory=list)
    oldest: list[int] = dataclasses.field(default_factory=list)
    most_kept: list[int] = dataclasses.field(default_factory=list)
    most_alive: list[int] = dataclasses.field(default_factory=list)

    def add(self, time: int, made: int, oldest: int, kept: int, alive: int) -> None:
        """Adds a step.

        Args:
            time: The number of the step.
            made: The number of rows that are there.
            oldest: The first row that is still needed.
            kept: The rows that have to be kept beside a new one now.
            alive: The rows that are needed now.
        """
        self.times.append(time)
        self.made.append(made)
        self.oldest.append(oldest)
        self.most_kept.append(max(kept, self.most_kept[-1] if self.most_kept else 0))
        self.most_alive.append(max(alive, self.most_alive[-1] if self.most_alive else 0))

    def until(self, time: int) -> tuple[int, int]:
        """The most rows up to a step.

        Args:
            time: The number of the step.

        Returns:
            What has to be kept beside a new row, and what is alive with it.
        """
        at = bisect.bisect_right(self.times, time) - 1
        return (self.most_kept[at], self.most_alive[at]) if at >= 0 else (0, 0)


@dataclasses.dataclass(frozen=True)
class HeadUse:
    """A tensor whose new row lies beside its ring, through a simulation.

    Attributes:
        keep_times: The numbers of the steps after which a row is copied into the ring, ascending.
        occupied: A bit for each step: whether the place of the new row is taken.
    """

    keep_times: tuple[int, ...]
    occupied: int

    def copies_until(self, time: int) -> int:
        """How many rows have been copied.

        Args:
            time: The number of the last step that counts.

        Returns:
            The number of rows.
        """
        return bisect.bisect_right(self.keep_times, time)


class Simulation:
    """All rows, from a layer on, until every one is made.

    Args:
        network: The network.
        first_layer: The index of a layer at which one tensor carries all that is needed.

    Attributes:
        events: What was done, in order, without the copies.
        ends: The number of the step that made a layer's last row, by layer index.
        history: The history of each tensor's rows, by tensor index.
    """

    def __init__(self, network: Network, first_layer: int):
        self.network = network
        self.flow = RowFlow(network, first_layer)
        self.events: list[Make | Await] = []
        self.ends: dict[int, int] = {}
        self.history = {tensor: TensorHistory() for tensor in self.flow.height}
        self._heads: dict[tuple[int, int], HeadUse] = {}
        while self._make_row() or self._await_row():
            pass

    def _make_row(self) -> bool:
        """Makes the row that the schedule makes next, if any can be made."""
        layer = self.flow.latest_ready()
        if layer is None:
            return False
        self.flow.make_row(layer)
        self._note_new_row(layer.output)
        for tensor in dict.fromkeys(layer.inputs):
            made, oldest = self.flow.made[tensor], self.flow.oldest[tensor]
            self.history[tensor].add(len(self.events), made, oldest, 0, 0)
        if self.flow.made[layer.output] == self.flow.height[layer.output]:
            self.ends[layer.index] = len(self.events)
        self.events.append(Make(layer.index))
        return True

    def _await_row(self) -> bool:
        """Takes the caller's next row, if there is one."""
        flow = self.flow
        if flow.made[flow.source] == flow.height[flow.source]:
            return False
        flow.await_row()
        self._note_new_row(flow.source)
        self.events.append(Await())
        return True

    def _note_new_row(self, tensor: int) -> None:
        made, oldest = self.flow.made[tensor], self.flow.oldest[tensor]
        alive = max(0, made - oldest)
        # A new row that nobody can use yet has to be kept until the next one has come.
        is_used = any(self.flow.can_make(reader) for reader in self.flow.readers[tensor])
        kept = max(0, made - 1 - oldest) if is_used else alive
        self.history[tensor].add(len(self.events), made, oldest, kept, alive)

    def head_use(self, tensor: int, slots: int) -> HeadUse:
        """Follows the new rows of a tensor: each lies beside the ring until there is room.

        Args:
            tensor: The index of a tensor.
            slots: The number of rows in the ring.

        Returns:
            When rows are copied, and when the place beside the ring is taken.
        """
        if (tensor, slots) not in self._heads:
            self._heads[tensor, slots] = self._head_use(tensor, slots)
        return self._heads[tensor, slots]

    def _head_use(self, tensor: int, slots: int) -> HeadUse:
        history = self.history[tensor]
        is_dropped = slots == 0 or tensor == self.network.input
        keep_times: list[int] = []
        made = kept = since = occupied = 0
        is_taken = False
        for time, now_made, oldest in zip(history.times, history.made, history.oldest, strict=True):
            if now_made > made:
                if is_dropped:
                    kept = made
                if is_taken:
                    occupied |= (1 << time) - (1 << since)
                made, since, is_taken = now_made, time, True
            while kept < made and kept - min(oldest, kept) < slots:
                if oldest <= kept:
                    keep_times.append(time)
                kept += 1
            if is_taken:
                occupied |= 1 << time
                is_taken = kept < made and oldest < made
                if not is_taken:
                    occupied |= (1 << time) - (1 << since)
        if is_taken:
            occupied |= (1 << len(self.events)) - (1 << since)
        return HeadUse(tuple(keep_times), occupied)

    def overlap_bytes(self, last_layer: int, rows: Mapping[int, Rows]) -> int:
        """How far above the start of its result a segment's source must start.

        Args:
            last_layer: The index of the segment's last layer; its source is whole.
            rows: The sizes of all tensors' rows.

        Returns:
            Bytes: the result may be written where rows of the source have been read. At most 0 if
            it may start where the source starts.
        """
        result, source = self.network.layers[last_layer].output, self.flow.source
        result_bytes, source_bytes = rows[result].row_bytes, rows[source].row_bytes
        reads = self.history[source]
        overlap = 0
        made = 0
        for time, now_made in zip(
            self.history[result].times, self.history[result].made, strict=True
        ):
            if now_made == made:
                continue
            # What was read before this row was begun is free.
            at = bisect.bisect_left(reads.times, time) - 1
            oldest = reads.oldest[at] if at >= 0 else 0
            overlap = max(overlap, now_made * result_bytes - oldest * source_bytes)
            made = now_made
        return overlap

    def steps(self, last_layer: int, slots: dict[int, int], heads: tuple[int, ...]) -> list[Step]:
        """The program of a segment.

        Args:
            last_layer: The index of the segment's last layer.
            slots: The number of rows in each tensor's ring.
            heads: The tensors whose new rows lie beside their rings.

        Returns:
            The steps, in order.
        """
        keeps: dict[int, list[Step]] = {}
        for tensor in heads:
            for time in self.head_use(tensor, slots[tensor]).keep_times:
                keeps.setdefault(time, []).append(Keep(tensor))
        steps: list[Step] = []
        for time, event in enumerate(self.events[: self.ends[last_layer] + 1]):
            if isinstance(event, Await) or event.layer <= last_layer:
                steps += [event, *keeps.get(time, ())]
        if self.flow.is_streamed:
            # Rows at the end that no window reaches come all the same.
            steps += [Await()] * (self.flow.height[self.flow.source] - steps.count(Await()))
        return steps
