"""TFLite Micro's own planner: greedy, by size."""

from __future__ import annotations

from collections.abc import Sequence

from edge.memory.live_ranges import Buffer

ALIGNMENT = 16


def greedy_offsets(
    sizes: Sequence[int],
    buffers: Sequence[Buffer],
    fixed: Sequence[int | None] | None = None,
) -> list[int]:
    """Places buffers as TFLite Micro's `GreedyMemoryPlanner` does.

    The largest comes first (of equals, the last one added), and each goes to the lowest gap among
    those already placed that are alive at the same time.

    Args:
        sizes: The bytes to reserve for each buffer.
        buffers: The buffers, whose live ranges count.
        fixed: The offsets that a file prescribes, in bytes; those buffers come first, unchecked.

    Returns:
        The offset of each buffer, in bytes.

    Example:
        >>> chain = [Buffer(32, 0, 1), Buffer(64, 1, 2), Buffer(16, 2, 3)]
        >>> greedy_offsets([32, 64, 16], chain)
        [64, 0, 64]

    Source: greedy_memory_planner.cc, `CalculateOffsetsIfNeeded`.
    """
    fixed = fixed or [None] * len(buffers)
    order = [i for i, offset in enumerate(fixed) if offset is not None]
    order += sorted(set(range(len(buffers))) - set(order), key=lambda i: (-sizes[i], -i))
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for index in order:
        offset = 0
        for other in placed:
            if not buffers[index].overlaps(buffers[other]):
                continue
            if offsets[other] - offset >= sizes[index]:
                break
            offset = max(offset, offsets[other] + sizes[other])
        prescribed = fixed[index]
        offset = offset if prescribed is None else prescribed
        offsets[index] = offset
        after = next((n for n, i in enumerate(placed) if offsets[i] > offset), len(placed))
        placed.insert(after, index)
    return offsets


def align_up(value: int, alignment: int = ALIGNMENT) -> int:
    """Rounds a size up to a multiple of an alignment.

    Args:
        value: The size, in bytes.
        alignment: The alignment, in bytes.

    Returns:
        `value` or a little more.

    Example:
        >>> align_up(17)
        32
    """
    return -(-value // alignment) * alignment
