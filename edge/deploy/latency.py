"""How long one inference takes on boards: estimated, each core traced once."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from edge.catalog.boards import Board
from edge.deploy.engine_budget import engine_bank_uses
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.cycles import Cycles, estimate_cycles
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Latency:
    """What one inference of the engine takes on a board, as far as that can be estimated.

    Attributes:
        board: The board.
        cycles: The estimate, at the board's clock; None where there is none.
        reason: A sentence that says why there is none; empty if there is one.
    """

    board: Board
    cycles: Cycles | None
    reason: str = ""

    def sentence(self) -> str:
        """Says what one inference takes.

        Returns:
            The estimate, or why there is none.
        """
        if self.cycles is None:
            return f"Milliseconds are not estimated: {self.reason}"
        return f"One inference of the engine. {self.cycles.sentence()}"


def latencies(graph: Graph, boards: Sequence[Board]) -> list[Latency]:
    """Estimates what one inference takes on boards.

    A model is traced once for each core: boards with the same one differ by clock and flash.

    Args:
        graph: An int8 model.
        boards: The boards.

    Returns:
        A `Latency` for each board, in their order.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> names = ("nucleo-f411re", "nucleo-f446re")
        >>> slow, fast = latencies(graph, [find_board(name) for name in names])
        >>> slow.cycles.total == fast.cycles.total, slow.cycles.low_ms > fast.cycles.low_ms
        (True, True)
    """
    engines: dict[str, Engine | str] = {}
    traced: dict[str, Cycles | str] = {}
    found = []
    for board in boards:
        kind = instruction_set(board)
        if kind not in engines:
            engines[kind] = _engine(graph, kind)
        engine = engines[kind]
        reason = engine if isinstance(engine, str) else _misfit(engine, board)
        if isinstance(engine, str) or reason:
            found.append(Latency(board, None, reason))
            continue
        if board.core not in traced:
            traced[board.core] = _traced(engine, board)
        cycles = traced[board.core]
        if isinstance(cycles, str):
            found.append(Latency(board, None, cycles))
        else:
            found.append(Latency(board, dataclasses.replace(cycles, board=board)))
    return found


def _engine(graph: Graph, kind: str) -> Engine | str:
    try:
        return compile_engine(graph, kind)
    except EdgeError as error:
        return str(error)


def _misfit(engine: Engine, board: Board) -> str:
    over = [
        f"{use.memory} by {use.over_bytes:,} bytes"
        for use in engine_bank_uses(engine, board, None)
        if use.over_bytes
    ]
    return f"the engine exceeds {board.name}'s {' and '.join(over)}." if over else ""


def _traced(engine: Engine, board: Board) -> Cycles | str:
    try:
        return estimate_cycles(engine, board)
    except EdgeError as error:
        return str(error)
