"""What the scheduler decides: the steps of an inference, and where every row lies."""

from __future__ import annotations

import dataclasses

from edge.engine.network import Network


@dataclasses.dataclass(frozen=True, slots=True)
class Make:
    """Make the next row of a layer's output.

    Attributes:
        layer: The layer's index.
    """

    layer: int


@dataclasses.dataclass(frozen=True, slots=True)
class Keep:
    """Copy a tensor's new row into its ring.

    Attributes:
        tensor: The tensor's index.
    """

    tensor: int


@dataclasses.dataclass(frozen=True, slots=True)
class Await:
    """Wait for the caller's next row of the input."""


Step = Make | Keep | Await


@dataclasses.dataclass(frozen=True)
class Store:
    """Where the rows of a tensor lie.

    Attributes:
        slots: The number of rows in the ring.
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
        layers: The index of the first layer, and of the one after the last.
        source: The tensor that is read: whole, or row by row if it is the input of the network.
        result: The tensor that is whole at the end.
        slots: The number of rows in each tensor's ring.
        heads: The tensors whose new rows lie beside their rings.
        steps: The steps, in order.
        head_offsets: Where heads lie in the workspace, in bytes.
        workspace_bytes: The size of rings, heads and scratch memory.
        scratch_bytes: The most that a kernel needs.
        overlap_bytes: How far above the start of the result the source must start.
        copied_bytes: The bytes that are copied from heads to rings.
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
        network: The network that it runs.
        segments: The segments, in the order in which they run.
        stores: Where each tensor lies, by tensor index.
        scratch_offset: Where each segment's scratch memory lies, in bytes.
        memory_bytes: The size of the state's memory.
    """

    network: Network
    segments: tuple[Segment, ...]
    stores: dict[int, Store]
    scratch_offset: tuple[int, ...]
    memory_bytes: int

    @property
    def steps(self) -> tuple[Step, ...]:
        """The whole program."""
        return tuple(step for segment in self.segments for step in segment.steps)
