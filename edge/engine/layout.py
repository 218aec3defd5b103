"""The memory of a segment: how many rows each ring holds, and where new rows lie beside them."""

from __future__ import annotations

import dataclasses

from edge.engine.network import Network
from edge.engine.simulation import Simulation
from edge.memory.greedy import align_up


@dataclasses.dataclass(frozen=True)
class Layout:
    """The memory of a segment, but for the kernels' own.

    Attributes:
        layers: The index of the first layer, and of the one after the last.
        source: The tensor that is read: whole, or row by row if it is the input of the network.
        result: The tensor that is whole at the end.
        slots: The number of rows in each tensor's ring.
        heads: The tensors whose new rows lie beside their rings.
        head_offsets: Where heads lie, in bytes from the first one.
        bytes: The size of rings and heads.
        overlap_bytes: How far above the start of the result the source must start.
        copied_bytes: The bytes that are copied from heads to rings.
    """

    layers: tuple[int, int]
    source: int
    result: int
    slots: dict[int, int]
    heads: tuple[int, ...]
    head_offsets: dict[int, int]
    bytes: int
    overlap_bytes: int
    copied_bytes: int


def segment_layout(
    network: Network, simulation: Simulation, layers: tuple[int, int], has_heads: bool
) -> Layout:
    """Gives the tensors of a segment their rings.

    Args:
        network: The network.
        simulation: The simulation of the rows from the segment's first layer on.
        layers: The index of the first layer, and of the one after the last.
        has_heads: Whether new rows may lie beside their rings, which saves memory, and copies rows.

    Returns:
        The `Layout`.

    Example:
        >>> from edge.engine.layers import network_of
        >>> network = network_of(graph)
        >>> segment_layout(network, Simulation(network, 0), (0, 1), has_heads=True).slots
        {0: 2, 3: 4}
    """
    end = layers[1]
    source, result = simulation.flow.source, network.layers[end - 1].output
    is_streamed = simulation.flow.is_streamed
    last_step = simulation.ends[end - 1]
    rows = network.rows
    slots, heads = _rings(network, simulation, layers, has_heads)
    uses = {tensor: simulation.head_use(tensor, slots[tensor]) for tensor in heads}
    occupied = {t: use.occupied for t, use in uses.items() if t != network.input}
    head_offsets, heads_bytes = _place_heads(network, occupied, (2 << last_step) - 1)
    return Layout(
        layers=layers,
        source=source,
        result=result,
        slots=slots,
        heads=tuple(heads),
        head_offsets=head_offsets,
        bytes=heads_bytes
        + sum(
            align_up(count * rows[tensor].row_bytes)
            for tensor, count in slots.items()
            if tensor != result and (tensor != source or is_streamed)
        ),
        overlap_bytes=0 if is_streamed else simulation.overlap_bytes(end - 1, rows),
        copied_bytes=sum(
            use.copies_until(last_step) * rows[tensor].row_bytes for tensor, use in uses.items()
        ),
    )


def _rings(
    network: Network, simulation: Simulation, layers: tuple[int, int], has_heads: bool
) -> tuple[dict[int, int], list[int]]:
    """The rows of each ring, and the tensors whose new rows lie beside theirs."""
    first, end = layers
    source, result = simulation.flow.source, network.layers[end - 1].output
    tensors = dict.fromkeys(t for layer in network.layers[first:end] for t in layer.inputs)
    slots: dict[int, int] = {}
    heads: list[int] = []
    for tensor in (*tensors, result):
        height = network.rows[tensor].height
        kept, alive = simulation.history[tensor].until(simulation.ends[end - 1])
        if tensor in network.in_one_piece:
            kept = alive = height
        if tensor == result or (tensor == source and not simulation.flow.is_streamed):
            slots[tensor] = height
        elif tensor == network.input or (has_heads and kept < alive):
            # A new row of the input is the caller's memory.
            slots[tensor] = kept
            heads.append(tensor)
        else:
            slots[tensor] = alive
    return slots, heads


def _place_heads(
    network: Network, occupied: dict[int, int], steps: int
) -> tuple[dict[int, int], int]:
    """First fit, the largest first: two heads that are never full together share memory."""
    sizes = {tensor: align_up(network.rows[tensor].row_bytes) for tensor in occupied}
    offsets: dict[int, int] = {}
    for tensor in sorted(occupied, key=lambda t: -network.rows[t].row_bytes):
        taken = sorted(
            (at, at + sizes[other])
            for other, at in offsets.items()
            if occupied[tensor] & occupied[other] & steps
        )
        offset = 0
        for start, end in taken:
            if offset + network.rows[tensor].row_bytes <= start:
                break
            offset = max(offset, end)
        offsets[tensor] = offset
    return offsets, max((at + sizes[tensor] for tensor, at in offsets.items()), default=0)
