"""The smallest memory plan, found before there is a board.

TFLite Micro's greedy planner places the largest tensor first and never looks back; on MobileNetV1
it wastes a third. Here a plan is searched for, and compared with a bound that no plan can beat.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edge.memory.greedy import ALIGNMENT, align_up, greedy_offsets
from edge.memory.live_ranges import Buffer

DFS_STEPS = 20_000
ILP_BUFFERS = 24
ILP_STEPS = 5_000
"""The integer program's first node alone may take as long: a shorter search does without."""
STEPS_PER_NODE = 150
"""A node of the integer program takes about as long as placing so many buffers."""
SEED = 0

Distances = Mapping[tuple[int, int], int]
"""`(lower, upper) -> bytes` that the upper buffer must start above the start of the lower,
where that is less than the size of the lower: the two may overlap."""


@dataclasses.dataclass(frozen=True)
class OfflinePlan:
    """Where each buffer lies.

    Attributes:
        buffers: What was placed.
        offsets: Where each starts, in bytes, a multiple of 16.
        peak_bytes: What the plan takes.
        lower_bound_bytes: What any plan takes at least, proven.
    """

    buffers: tuple[Buffer, ...]
    offsets: tuple[int, ...]
    peak_bytes: int
    lower_bound_bytes: int

    @property
    def is_optimal(self) -> bool:
        """Whether no plan is smaller."""
        return self.peak_bytes == self.lower_bound_bytes


class _Problem:
    """Sizes, conflicts and distances of a set of buffers."""

    def __init__(self, buffers: Sequence[Buffer], overlaps: Distances):
        self.buffers = buffers
        self.sizes = [align_up(buffer.bytes) for buffer in buffers]
        self.conflicts = [
            [j for j, other in enumerate(buffers) if j != i and buffer.overlaps(other)]
            for i, buffer in enumerate(buffers)
        ]
        self.overlaps = {pair: align_up(gap) for pair, gap in overlaps.items()}

    def above(self, lower: int, upper: int) -> int:
        """How far above `lower` must `upper` start."""
        return self.overlaps.get((lower, upper), self.sizes[lower])

    def is_free(self, index: int, offset: int, offsets: Sequence[int | None]) -> bool:
        for other in self.conflicts[index]:
            at = offsets[other]
            if at is None:
                continue
            if offset < at + self.above(other, index) and at < offset + self.above(index, other):
                return False
        return True

    def lowest(self, index: int, offsets: Sequence[int | None]) -> int:
        """The lowest offset at which a buffer conflicts with none that is placed."""
        candidates = {0} | {
            at + self.above(other, index)
            for other in self.conflicts[index]
            if (at := offsets[other]) is not None
        }
        return min(at for at in candidates if at >= 0 and self.is_free(index, at, offsets))

    def highest(self, index: int, offsets: Sequence[int | None], height: int) -> int | None:
        """The highest offset below `height`, None if there is none."""
        candidates = {height - self.sizes[index]} | {
            at - self.above(index, other)
            for other in self.conflicts[index]
            if (at := offsets[other]) is not None
        }
        free = (
            at
            for at in candidates
            if 0 <= at <= height - self.sizes[index] and self.is_free(index, at, offsets)
        )
        return max(free, default=None)

    def peak(self, offsets: Sequence[int]) -> int:
        ends = (at + size for at, size in zip(offsets, self.sizes, strict=True))
        return max(ends, default=0)

    def lower_bound(self) -> int:
        """At some time all that is alive must fit, less what pairs of it may share."""
        bound = max(self.sizes, default=0)
        for moment in {buffer.first for buffer in self.buffers}:
            alive = [i for i, b in enumerate(self.buffers) if b.first <= moment <= b.last]
            shared = sum(
                self.sizes[lower] - gap
                for (lower, upper), gap in self.overlaps.items()
                if lower in alive and upper in alive
            )
            bound = max(bound, sum(self.sizes[i] for i in alive) - shared)
        return bound


def plan_offline(
    buffers: Sequence[Buffer],
    overlaps: Distances | None = None,
    steps: int = 150_000,
) -> OfflinePlan:
    """Searches for the smallest memory plan: the same one on every machine.

    Args:
        buffers: The buffers to place.
        overlaps: The pairs that may share memory, see `edge.memory.overlap`; none by default.
        steps: How many buffers to place once the quick ways have not reached the bound; 150,000
            take about a second.

    Returns:
        The best `OfflinePlan` found, with the proven bound.

    Example:
        >>> chain = [Buffer(32, 0, 1), Buffer(64, 1, 2), Buffer(48, 2, 3), Buffer(64, 3, 4)]
        >>> plan = plan_offline(chain)
        >>> plan.peak_bytes, plan.is_optimal
        (112, True)
    """
    if not buffers:
        return OfflinePlan((), (), 0, 0)
    problem = _Problem(buffers, overlaps or {})
    bound = problem.lower_bound()
    starts = [_first_fit(problem, order) for order in _orders(problem)]
    # Never worse than what TFLite Micro does by itself.
    starts.append(greedy_offsets(problem.sizes, buffers))
    best = min(starts, key=problem.peak)
    if problem.peak(best) > bound:
        found = _two_ended(problem, bound, min(steps, DFS_STEPS))
        best = min(best, found or best, key=problem.peak)
    if problem.peak(best) > bound and len(buffers) <= ILP_BUFFERS and steps >= ILP_STEPS:
        found, proven = _integer_program(problem, bound, problem.peak(best), steps)
        bound = max(bound, proven)
        best = min(best, found or best, key=problem.peak)
    if problem.peak(best) > bound:
        best = _hill_climb(problem, best, bound, steps)
    return OfflinePlan(tuple(buffers), tuple(best), problem.peak(best), bound)


def _orders(problem: _Problem) -> list[list[int]]:
    """Orders in which placing at the lowest free offset often does well."""
    buffers, sizes = problem.buffers, problem.sizes
    keys: list[Callable[[int], tuple[int, ...]]] = [
        lambda i: (-sizes[i], buffers[i].first),
        lambda i: (-sizes[i] * (buffers[i].last - buffers[i].first + 1),),
        lambda i: (buffers[i].first, -sizes[i]),
        lambda i: (-buffers[i].last, -sizes[i]),
    ]
    return [sorted(range(len(sizes)), key=key) for key in keys]


def _first_fit(problem: _Problem, order: Sequence[int]) -> list[int]:
    offsets: list[int | None] = [None] * len(order)
    for index in order:
        offsets[index] = problem.lowest(index, offsets)
    return [at for at in offsets if at is not None]


def _two_ended(problem: _Problem, height: int, steps: int) -> list[int] | None:
    """Goes through time, each buffer to the bottom or to the top, and back where that fails.

    A chain of layers alternates between the two ends, which reaches the bound.
    """
    order = sorted(
        range(len(problem.sizes)), key=lambda i: (problem.buffers[i].first, -problem.sizes[i])
    )
    offsets: list[int | None] = [None] * len(order)
    choices: list[list[int]] = []
    for _ in range(steps):
        depth = len(choices)
        if depth == len(order):
            return [at for at in offsets if at is not None]
        index = order[depth]
        low, high = problem.lowest(index, offsets), problem.highest(index, offsets, height)
        ends = [] if high is None else list(dict.fromkeys((high, low)))
        choices.append([at for at in ends if at + problem.sizes[index] <= height])
        # Back up to the last buffer with a choice left.
        while choices and not choices[-1]:
            choices.pop()
            offsets[order[len(choices)]] = None
        if not choices:
            return None
        offsets[order[len(choices) - 1]] = choices[-1].pop()
    return None


def _integer_program(
    problem: _Problem, bound: int, best: int, steps: int
) -> tuple[list[int] | None, int]:
    """The exact answer for few buffers: offsets, and which of two lies below, as an ILP."""
    from scipy import optimize

    count = len(problem.sizes)
    pairs = [(i, j) for i in range(count) for j in problem.conflicts[i] if i < j]
    # Variables in units of the alignment: offsets, then one 0/1 per pair, then the peak.
    width = count + len(pairs) + 1
    limit = best // ALIGNMENT
    rows, lows, highs = [], [], []

    def require(terms: dict[int, float], low: float, high: float) -> None:
        row = np.zeros(width)
        for variable, factor in terms.items():
            row[variable] = factor
        rows.append(row)
        lows.append(low)
        highs.append(high)

    for i in range(count):
        require({width - 1: 1, i: -1}, problem.sizes[i] / ALIGNMENT, np.inf)
    for number, (i, j) in enumerate(pairs):
        is_below = count + number
        # 1: i lies below j; 0: above. The constraint that does not hold is lifted by the limit.
        require({j: 1, i: -1, is_below: -limit}, problem.above(i, j) / ALIGNMENT - limit, np.inf)
        require({i: 1, j: -1, is_below: limit}, problem.above(j, i) / ALIGNMENT, np.inf)
    upper = np.concatenate([np.full(count, limit), np.ones(len(pairs)), [limit]])
    lower = np.concatenate([np.zeros(width - 1), [bound / ALIGNMENT]])
    goal = np.zeros(width)
    goal[-1] = 1
    result = optimize.milp(
        goal,
        constraints=optimize.LinearConstraint(np.array(rows), lows, highs),
        integrality=np.ones(width),
        bounds=optimize.Bounds(lower, upper),
        # Nodes, not seconds: a slower machine finds the same plan.
        options={"node_limit": max(1, steps // STEPS_PER_NODE)},
    )
    proven = bound
    if result.mip_dual_bound is not None and np.isfinite(result.mip_dual_bound):
        proven = int(np.ceil(result.mip_dual_bound - 1e-6)) * ALIGNMENT
    if result.x is None:
        return None, proven
    return [round(at) * ALIGNMENT for at in result.x[:count]], proven


def _hill_climb(problem: _Problem, start: list[int], bound: int, steps: int) -> list[int]:
    """Swaps the order of placement, keeping what is no worse."""
    generator = random.Random(SEED)
    order = sorted(range(len(start)), key=lambda i: start[i])
    best, best_peak = start, problem.peak(start)
    for _ in range(steps // len(start)):
        if best_peak <= bound:
            break
        changed = list(order)
        i, j = generator.randrange(len(order)), generator.randrange(len(order))
        changed[i], changed[j] = changed[j], changed[i]
        offsets = _first_fit(problem, changed)
        if problem.peak(offsets) <= best_peak:
            order, best, best_peak = changed, offsets, problem.peak(offsets)
    return best
