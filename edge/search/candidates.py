"""Which MobileNetV1 fits a board: every width and resolution planned, none trained."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from edge.catalog.boards import Board
from edge.converter.convert import convert
from edge.deploy.budget import budget_of
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph
from edge.transforms.scale import scaled_model

ALPHAS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0)
SMALLEST_SIDE = 32
SIDE_STEP = 8


@dataclasses.dataclass(frozen=True)
class Candidate:
    """One MobileNetV1 that could be trained, and what it will take.

    Attributes:
        alpha: Width multiplier.
        side: Height and width of the input, in pixels.
        macs: Multiply-accumulates of one inference.
        flash_bytes: As in `edge.deploy.budget.Budget`.
        ram_bytes: As in `edge.deploy.budget.Budget`.
        fits: Whether the board holds it.
    """

    alpha: float
    side: int
    macs: int
    flash_bytes: int
    ram_bytes: int
    fits: bool

    @property
    def name(self) -> str:
        """A short name, such as `alpha 0.25, side 48`."""
        return f"alpha {self.alpha:g}, side {self.side}"


def plan_candidates(
    board: Board,
    side: int,
    channels: int,
    class_count: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Plans MobileNetV1 at every width and resolution.

    One network, the widest, is converted; the others follow from its graph.

    Args:
        board: The board.
        side: The largest input side, in pixels; rho takes it down to 32.
        channels: 1 (gray) or 3 (RGB).
        class_count: Number of classes.
        advance: Is told how many of how many are planned.

    Returns:
        All candidates, by width and side.

    Example:
        >>> candidates = plan_candidates(find_board("nucleo-f446re"), 48, 1, 10)  # doctest: +SKIP
        >>> len([c for c in candidates if c.fits])  # doctest: +SKIP
        12
    """
    reference = widest_mobilenet(side, channels, class_count)
    sides = [side, *range((side - 1) // SIDE_STEP * SIDE_STEP, SMALLEST_SIDE - 1, -SIDE_STEP)]
    pairs = [(alpha, s) for alpha in ALPHAS for s in reversed(sides)]
    candidates = []
    for number, (alpha, candidate_side) in enumerate(pairs, start=1):
        candidates.append(_candidate(reference, board, alpha, candidate_side))
        advance(number, len(pairs))
    return candidates


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that fit and that no other beats.

    One beats another if it computes at least as much in no more flash and no more RAM.

    Args:
        candidates: All of them.

    Returns:
        The front, the most MACs first.

    Example:
        >>> small, wasteful = Candidate(0.1, 32, 9, 5, 5, True), Candidate(0.1, 40, 9, 5, 6, True)
        >>> pareto_front([small, wasteful]) == [small]
        True
    """
    fitting = [candidate for candidate in candidates if candidate.fits]
    front = [c for c in fitting if not any(_beats(other, c) for other in fitting)]
    return sorted(front, key=lambda candidate: -candidate.macs)


def _beats(one: Candidate, other: Candidate) -> bool:
    ours = (-one.macs, one.flash_bytes, one.ram_bytes)
    theirs = (-other.macs, other.flash_bytes, other.ram_bytes)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def _candidate(reference: Graph, board: Board, alpha: float, side: int) -> Candidate:
    model = scaled_model(reference, alpha, side)
    use = budget_of(model, board)
    return Candidate(
        alpha, side, model.graph.total_macs(), use.flash_bytes, use.ram_bytes, use.fits
    )


def widest_mobilenet(side: int, channels: int, class_count: int) -> Graph:
    """Converts MobileNetV1 at alpha 1 with some weights: only its shapes matter.

    Args:
        side: Height and width of the input, in pixels.
        channels: 1 (gray) or 3 (RGB).
        class_count: Number of classes.

    Returns:
        The graph, from which `scaled_model` makes every narrower and smaller one.

    Example:
        >>> widest_mobilenet(32, 1, 2).output.shape
        (1, 2)
    """
    import keras_mobilenet

    shape = (side, side, channels)
    model = keras_mobilenet.MobileNetV1(shape, classes=class_count, padding="same")
    quantized = keras_mobilenet.quantize_model(model)
    # A batch of noise sets the ranges.
    noise = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    quantized(noise, training=True)
    return read_graph(convert(quantized))
