"""What a design takes of a board, without training or compiling it: thousands of them a minute."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edge.catalog.boards import Board
from edge.deploy.budget import budget_of
from edge.search.design import Design
from edge.search.design_graph import graph_of
from edge.tflite.graph_writer import graph_bytes
from edge.transforms.scale import ScaledModel

CONVERTER_BYTES = 240
"""What the converter writes into a file beside the graph."""


@dataclasses.dataclass(frozen=True)
class Costs:
    """What a design takes.

    Attributes:
        macs: The multiply-accumulates of one inference.
        flash_bytes: The flash of the whole image with the engine; the model and an upper bound of
            the code with TFLite Micro.
        ram_bytes: The RAM with the whole stack that is set aside.
        ms: The estimated milliseconds of one inference on the engine, the middle of the bounds,
            memory without waiting; None with TFLite Micro, which is not estimated.
        fits: Whether the board's memory holds both.
    """

    macs: int
    flash_bytes: int
    ram_bytes: int
    ms: float | None
    fits: bool


class TflmCosts:
    """What designs take with TFLite Micro on a board.

    Args:
        board: The board.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.search.design import mobilenet_v1
        >>> TflmCosts(find_board("nucleo-f446re"))(mobilenet_v1(0.25, 32, 1, 10)).ms is None
        True
    """

    def __init__(self, board: Board):
        self._board = board

    def fits(self, design: Design, holds: Callable[[int, float | None], bool]) -> bool:
        """Says whether a design fits; most need no plan for that.

        Args:
            design: The design.
            holds: Says whether multiply-accumulates and milliseconds keep within the limits; the
                latter are not estimated.

        Returns:
            False as well if it exceeds a limit.
        """
        graph = graph_of(design)
        weights = sum(tensor.bytes for tensor in graph.tensors if tensor.is_constant)
        if weights > self._board.flash_bytes or not holds(graph.total_macs(), None):
            return False
        return self(design).fits

    def __call__(self, design: Design) -> Costs:
        """Counts a design.

        Args:
            design: The design.

        Returns:
            The `Costs`, under the smallest memory plan.
        """
        graph = graph_of(design)
        model_bytes = len(graph_bytes(graph)) + CONVERTER_BYTES
        use = budget_of(ScaledModel(graph, model_bytes), self._board)
        return Costs(
            macs=graph.total_macs(),
            flash_bytes=use.flash_bytes,
            ram_bytes=use.ram_bytes,
            ms=None,
            fits=use.fits,
        )

    def linked(self, design: Design) -> Costs:
        """Counts a design: there is no image to link.

        Args:
            design: The design.

        Returns:
            The `Costs`.
        """
        return self(design)
