"""What the commands show when a model does not fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.cli import json, tables
from edge.cli.console import print_json, say, show
from edge.errors import DoesNotFitError, EdgeError

if TYPE_CHECKING:
    from edge.catalog.boards import Board
    from edge.deploy.latency import Latency
    from edge.tflite.graph import Graph


@contextlib.contextmanager
def showing_misfit(as_json: bool, latency: Latency | None = None) -> Iterator[None]:
    """Shows what is over, and what would fit, before the error of a block goes on.

    Args:
        as_json: Whether a script reads it.
        latency: What one inference of the engine takes, where that is asked.

    Yields:
        Nothing.

    Raises:
        DoesNotFitError: The block's own, once it has been shown.
    """
    try:
        yield
    except DoesNotFitError as error:
        # What a linker measured has no budget: its error says all.
        if error.budget is not None:
            _show(error, as_json, latency)
        raise


def _show(error: DoesNotFitError, as_json: bool, latency: Latency | None) -> None:
    from edge.deploy.budget import fitting_variants

    use = error.budget
    variants = fitting_variants(error.graph, use.board)
    if as_json:
        print_json(json.budget_json(use, variants, latency))
        return
    show(tables.budget_table(use))
    if variants:
        show(tables.variants_table(variants))
    else:
        say("No narrower or smaller version of this network is known to fit.")
    say(of_the_engine(error.graph, use.board))
    if latency is not None and latency.cycles is not None:
        say(latency.sentence())


def of_the_engine(graph: Graph, board: Board) -> str:
    """Whether the engine is a way out for a model that is too large for TFLite Micro.

    Args:
        graph: The model.
        board: The board that it does not fit.

    Returns:
        A sentence.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> of_the_engine(graph, find_board("arduino-zero"))[:16]
        'The engine takes'
    """
    from edge.deploy.engine_budget import engine_bank_uses
    from edge.engine.compile import compile_engine
    from edge.engine.packing import instruction_set

    try:
        engine = compile_engine(graph, instruction_set(board))
    except EdgeError:
        return "The engine, which takes less memory, has no kernel for one of its operators."
    flash, ram = engine_bank_uses(engine, board, None)
    if flash.over_bytes or ram.over_bytes:
        return "The engine, which takes less memory, does not fit either."
    return (
        f"The engine takes {ram.bytes:,} bytes of RAM: keras-mobilenet build MODEL --board "
        f"{board.argument}"
    )
