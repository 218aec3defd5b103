"""The schedule as the numbers that the emitted loop reads, with its repetitions written once.

Where rows stream, the same few steps come again and again. Behind the steps of a loop stands
what repeats them, how many numbers to go back, and how many times; a loop may hold loops.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edge.engine.stream_plan import Await, Make, StreamPlan
from edge.errors import ModelError

BYTE_KEEP, HALFWORD_KEEP = 0x80, 0x8000
LEVELS = 2
"""A loop may hold loops, which hold none: each level has a counter in the state."""

LOOP_NUMBERS = 3
MOST_AGAIN = 255
LONGEST_BODY = 255
LONGEST_RUN = 512
"""Steps of a loop that are looked for; those that are written are fewer."""

LOOP_CODE_BYTES = 56
"""What the code that follows loops takes: a shorter gain is none."""

LONGEST_PROGRAM = 2**16 - 1


@dataclasses.dataclass(frozen=True)
class Program:
    """A schedule in numbers.

    Attributes:
        keep: What is added to the number of a tensor that is kept; layers are below it.
        numbers: The numbers; the last one ends the inference.
        has_loops: Whether steps are written once that run several times.
    """

    keep: int
    numbers: tuple[int, ...]
    has_loops: bool

    @property
    def is_in_bytes(self) -> bool:
        """Whether a number is a byte, and not a halfword."""
        return self.keep == BYTE_KEEP

    @property
    def repeat(self) -> int:
        """What repeats the steps of a loop within a loop; the next number repeats all others."""
        return 2 * self.keep - 2 - LEVELS

    @property
    def wait(self) -> int:
        """What waits for the caller's next row."""
        return 2 * self.keep - 2

    @property
    def end(self) -> int:
        """What ends the inference."""
        return 2 * self.keep - 1


def program_of(plan: StreamPlan) -> Program:
    """Writes the steps of a plan as numbers.

    Args:
        plan: The plan. Its first step, which waits for the caller's first row, is left out.

    Returns:
        The `Program`.

    Raises:
        ModelError: If there are more numbers than the state can count.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> program_of(compile_engine(graph).plan).numbers[-4:]
        (4, 5, 6, 255)
    """
    tensors = {tensor: number for number, tensor in enumerate(plan.stores)}
    most = max(len(plan.network.layers), len(tensors))
    keep = BYTE_KEEP if most <= BYTE_KEEP - 2 - LEVELS else HALFWORD_KEEP
    plain = Program(keep, (), False)
    steps = [
        step.layer
        if isinstance(step, Make)
        else (plain.wait if isinstance(step, Await) else keep + tensors[step.tensor])
        for step in plan.steps[1:]
    ]
    packed = pack(steps, plain.repeat)
    gain = (len(steps) - len(packed)) * (1 if plain.is_in_bytes else 2)
    has_loops = gain > LOOP_CODE_BYTES
    numbers = (*(packed if has_loops else steps), plain.end)
    if len(numbers) > LONGEST_PROGRAM:
        raise ModelError(
            f"The schedule takes {len(numbers):,} steps, and the engine counts "
            f"{LONGEST_PROGRAM:,}. Export the model for TFLite Micro instead."
        )
    return dataclasses.replace(plain, numbers=numbers, has_loops=has_loops)


def pack(steps: Sequence[int], repeat: int) -> list[int]:
    """Writes repeated steps once, in loops of up to `LEVELS` levels.

    Not every loop is tried: two rounds of a shorter one are none of their own.

    Args:
        steps: Numbers, all below `repeat` or above the numbers of the levels.
        repeat: What repeats the steps of a loop within a loop; the next number repeats all others.

    Returns:
        The numbers: behind the steps of a loop what repeats them, how many numbers it goes back,
        and how often.

    Example:
        >>> pack([1, 2, 1, 2, 1, 2, 1, 2, 7], 100)
        [1, 2, 101, 2, 3, 7]
    """
    return list(_packed(tuple(steps), repeat, LEVELS, {}))


_Packed = tuple[int, ...]


def _packed(
    steps: _Packed, repeat: int, levels: int, known: dict[tuple[_Packed, int], _Packed]
) -> _Packed:
    """Dynamic programming over the steps: the fewest numbers that the first so many take."""
    if levels == 0:
        return steps
    key = (steps, levels)
    if key not in known:
        loops = _loops(np.array(steps, np.int64))
        sizes = [0, *[len(steps) + 1] * len(steps)]
        origin: list[tuple[int, _Packed]] = [(0, ())] * (len(steps) + 1)
        for at in range(len(steps)):
            moves = [(at + 1, steps[at : at + 1])]
            for length, times in loops.get(at, ()):
                body = _packed(steps[at : at + length], repeat, levels - 1, known)
                if len(body) <= LONGEST_BODY:
                    loop = (*body, repeat + levels - 1, len(body), times - 1)
                    moves.append((at + length * times, loop))
            for end, written in moves:
                if sizes[at] + len(written) < sizes[end]:
                    sizes[end], origin[end] = sizes[at] + len(written), (at, written)
        parts, end = [], len(steps)
        while end:
            end, written = origin[end]
            parts.append(written)
        known[key] = tuple(number for part in reversed(parts) for number in part)
    return known[key]


def _loops(steps: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """By where a loop may start: the number of its steps, and how often they come."""
    found: dict[int, list[tuple[int, int]]] = {}
    # Of the shortest loop at each place: its steps, and how many steps there are in all rounds.
    shortest, reach = np.ones(len(steps), np.int64), np.zeros(len(steps), np.int64)
    for length in range(1, min(len(steps) // 2, LONGEST_RUN) + 1):
        places = np.arange(len(steps) - length)
        ends = np.where(steps[length:] == steps[:-length], len(places), places)
        equal = np.minimum.accumulate(ends[::-1])[::-1] - places
        # Two rounds of a shorter loop are no loop of their own.
        is_known = (length % shortest[: len(places)] == 0) & (reach[: len(places)] >= 2 * length)
        starts = np.flatnonzero((equal >= length) & ~is_known)
        for at, times in zip(starts.tolist(), (equal[starts] // length).tolist(), strict=True):
            found.setdefault(at, []).append((length, min(times, MOST_AGAIN) + 1))
        first = starts[reach[starts] == 0]
        shortest[first], reach[first] = length, equal[first] + length
    return found
