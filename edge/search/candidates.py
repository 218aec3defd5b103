"""Plans MobileNetV1 at every width and resolution for a board, without training any of them."""

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
    """A MobileNetV1 that could be trained, and the memory that it will need.

    Attributes:
        alpha: The width multiplier.
        side: The height and width of the input, in pixels.
        macs: The multiply-accumulates of one inference.
        flash_bytes: The flash that the model and TFLite Micro take.
        ram_bytes: The RAM that the model and TFLite Micro take.
        fits: Whether both fit the board.
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
    *,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> list[Candidate]:
    """Plans MobileNetV1 at every width and resolution.

    Only the widest network is converted; the graphs of all others are scaled from it.

    Args:
        board: The board that the networks must fit.
        side: The largest height and width of the input, in pixels; smaller ones go down to 32.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        class_count: The number of classes.
        advance: A function that is called with the number of candidates planned so far and with
            their total.

    Returns:
        All candidates, sorted by width and side.

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
    """Keeps the candidates that fit and that no other candidate beats.

    A candidate beats another if it computes at least as much in no more flash and no more RAM.

    Args:
        candidates: All candidates.

    Returns:
        The Pareto front, the most multiply-accumulates first.

    Example:
        >>> small = Candidate(
        ...     alpha=0.1, side=32, macs=9, flash_bytes=5, ram_bytes=5, fits=True
        ... )
        >>> wasteful = dataclasses.replace(small, side=40, ram_bytes=6)
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
        alpha=alpha,
        side=side,
        macs=model.graph.total_macs(),
        flash_bytes=use.flash_bytes,
        ram_bytes=use.ram_bytes,
        fits=use.fits,
    )


def widest_mobilenet(side: int, channels: int, class_count: int) -> Graph:
    """Converts MobileNetV1 at alpha 1 with random weights, because only its shapes matter.

    Args:
        side: The height and width of the input, in pixels.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        class_count: The number of classes.

    Returns:
        The graph, from which `scaled_model` makes all narrower and smaller ones.

    Example:
        >>> widest_mobilenet(32, 1, 2).output.shape
        (1, 2)
    """
    import keras_mobilenet

    shape = (side, side, channels)
    model = keras_mobilenet.MobileNetV1(shape, classes=class_count, padding="same")
    quantized = keras_mobilenet.quantize_model(model)
    # A batch of noise sets the activation ranges.
    noise = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype("float32")
    quantized(noise, training=True)
    return read_graph(convert(quantized))
