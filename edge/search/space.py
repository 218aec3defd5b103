"""The networks that a search may choose among, as choices of which each has a name.

A choice of numbers has no width: it gets the largest one with which the network keeps within all
limits, or a share of that. So that whatever is tried fits, and most use what there is.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from edge.search.costs import Costs, TflmCosts
from edge.search.design import Design, Stage, mobilenet_v1
from edge.search.engine_costs import EngineCosts

ALPHAS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0)
SMALLEST_SIDE = 16
SMALLEST_PLAIN_SIDE = 32
SIDE_STEP = 8
MOST_STAGES = 4
MULTIPLE = 4
"""The kernels are fastest on whole fours of channels."""

MOST_WIDTH = 512
SMALLEST_MAP = 2
"""A map of one pixel has nothing to convolve."""

Choice = dict[str, Any]
"""What is chosen, by the names of `Space.choices`."""

START: Choice = {
    "stem_strides": 1,
    "stem_share": 0.5,
    "stages": 3,
    "first_strides": 2,
    "first": "separable",
    "growth": 2.0,
    "is_residual": True,
    "weight_bits": 8,
    "sparsity": 0.0,
    "share": 1.0,
    **{f"depth_{number}": 2 for number in range(1, MOST_STAGES + 1)},
    **{f"kernel_{number}": 3 for number in range(1, MOST_STAGES + 1)},
}
"""What is tried first: residual blocks, few strides, and all that the board has."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a network may take beside the board's memory.

    Attributes:
        ms: The estimated milliseconds of one inference; None for any number.
        macs: The multiply-accumulates of one inference, which bound the time of its training.
    """

    ms: float | None
    macs: int

    def hold(self, macs: int, ms: float | None) -> bool:
        """Says whether a network keeps within them.

        Args:
            macs: The network's multiply-accumulates.
            ms: Its estimated milliseconds; None where they are not known.

        Returns:
            False as well where milliseconds are limited and not known.

        Example:
            >>> Limits(ms=10.0, macs=1000).hold(500, 20.0)
            False
        """
        return macs <= self.macs and (self.ms is None or (ms is not None and ms <= self.ms))


@dataclasses.dataclass(frozen=True)
class Space:
    """The networks of one search.

    Attributes:
        side: The largest height and width of the input, in pixels.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        classes: The number of classes.
        has_compression: Whether weights may be of four bits, or zero in blocks: on the engine.
    """

    side: int
    channels: int
    classes: int
    has_compression: bool

    @property
    def sides(self) -> tuple[int, ...]:
        """The heights and widths of the input, the largest first."""
        smaller = range((self.side - 1) // SIDE_STEP * SIDE_STEP, SMALLEST_SIDE - 1, -SIDE_STEP)
        # Far below the largest an image says too little.
        return (self.side, *(side for side in smaller if 3 * side >= self.side))

    @property
    def choices(self) -> dict[str, tuple]:
        """What there is to choose from, by name."""
        stages = range(1, MOST_STAGES + 1)
        return {
            "side": self.sides,
            "stem_strides": (1, 2),
            "stem_share": (0.5, 1.0),
            "stages": (2, 3, 4),
            "first_strides": (1, 2),
            "first": ("separable", "conv"),
            "growth": (1.5, 2.0),
            "is_residual": (True, False),
            "weight_bits": (8, 4) if self.has_compression else (8,),
            "sparsity": (0.0, 0.5) if self.has_compression else (0.0,),
            "share": (1.0, 0.75, 0.5),
            **{f"depth_{number}": (1, 2, 3, 4) for number in stages},
            **{f"kernel_{number}": (3, 5) for number in stages},
        }

    def starts(self) -> list[Choice]:
        """Lists what is tried first.

        Returns:
            Choices: of an image in its full size, and of one with a stride in the stem.

        Example:
            >>> len(Space(32, 1, 10, has_compression=True).starts())
            2
        """
        whole = START | {"side": self.side}
        return [whole, whole | {"stem_strides": 2, "first_strides": 1}]

    def design(self, choice: Mapping[str, Any], width: int) -> Design | None:
        """Makes the design of a choice.

        Args:
            choice: The choice.
            width: The number of channels of the first stage.

        Returns:
            The design; None if its strides leave too small a map.

        Example:
            >>> space = Space(32, 1, 10, has_compression=True)
            >>> space.design(space.starts()[1], 16).sentence()
            '32x32x1, stem 8/2, 16 x2, 32/2 x2, 64/2 x2, residual'
        """
        stages: list[Stage] = []
        left = -(-choice["side"] // choice["stem_strides"])
        for number in range(1, choice["stages"] + 1):
            strides = choice["first_strides"] if number == 1 else 2
            left = -(-left // strides)
            filters = _rounded(width * choice["growth"] ** (number - 1))
            kind = choice["first"] if number == 1 else "separable"
            kernel = 3 if kind == "conv" else choice[f"kernel_{number}"]
            stages.append((filters, kernel, strides, choice[f"depth_{number}"], kind))
        if left < SMALLEST_MAP:
            return None
        return Design(
            side=choice["side"],
            channels=self.channels,
            classes=self.classes,
            stem=(_rounded(width * choice["stem_share"]), 3, choice["stem_strides"]),
            stages=tuple(stages),
            is_residual=choice["is_residual"],
            weight_bits=choice["weight_bits"],
            sparsity=choice["sparsity"],
        )


def _rounded(filters: float) -> int:
    return max(MULTIPLE, round(filters / MULTIPLE) * MULTIPLE)


@dataclasses.dataclass
class Planner:
    """Finds the widths that fit, and counts the networks that it looked at.

    Attributes:
        space: The networks.
        costs: What they take of the board.
        limits: What they may take beside its memory.
        looked_at: The number of networks that were looked at so far.
    """

    space: Space
    costs: EngineCosts | TflmCosts
    limits: Limits
    looked_at: int = 0
    _widest: dict[tuple, Design | None] = dataclasses.field(default_factory=dict)

    def widest(self, choice: Mapping[str, Any]) -> Design | None:
        """Finds the design of a choice: the widest that fits, or its share of that width.

        Args:
            choice: The choice.

        Returns:
            The design; None if none fits.
        """
        key = tuple(choice[name] for name in self.space.choices)
        if key not in self._widest:
            self._widest[key] = self._found(choice)
        return self._widest[key]

    def _found(self, choice: Mapping[str, Any]) -> Design | None:
        low, high = 0, MULTIPLE
        while high <= MOST_WIDTH and self._fits(self.space.design(choice, high)):
            low, high = high, 2 * high
        if low == 0:
            return None
        while high - low > MULTIPLE:
            middle = (low + high) // 2 // MULTIPLE * MULTIPLE
            if self._fits(self.space.design(choice, middle)):
                low = middle
            else:
                high = middle
        return self.space.design(choice, _rounded(low * choice["share"]))

    def _fits(self, design: Design | None) -> bool:
        if design is None:
            return False
        self.looked_at += 1
        return self.costs.fits(design, self.limits.hold)

    @functools.cached_property
    def plain(self) -> tuple[Design, ...]:
        """MobileNetV1 at every resolution, as wide as fits, whichever none beats.

        None of the others computes as much in no more flash and RAM. Those that compute most come
        first.
        """
        space = self.space
        found: list[tuple[Design, Costs]] = []
        for side in (side for side in space.sides if side >= SMALLEST_PLAIN_SIDE):
            widths = (mobilenet_v1(a, side, space.channels, space.classes) for a in ALPHAS[::-1])
            fitting = (design for design in widths if self._fits(design))
            linked = ((design, self.costs.linked(design)) for design in fitting)
            widest = next(((design, costs) for design, costs in linked if costs.fits), None)
            found += [] if widest is None else [widest]
        front = [one for one in found if not any(_beats(other[1], one[1]) for other in found)]
        front.sort(key=lambda one: -one[1].macs)
        return tuple(design for design, _ in front)


def _beats(one: Costs, other: Costs) -> bool:
    ours = (-one.macs, one.flash_bytes, one.ram_bytes)
    theirs = (-other.macs, other.flash_bytes, other.ram_bytes)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))
