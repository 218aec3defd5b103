"""The command fit."""

from __future__ import annotations

from edge.cli import json, tables
from edge.cli.arguments import open_model
from edge.cli.console import print_json, say, show, status
from edge.cli.misfit import showing_misfit
from edge.cli.options import (
    BoardOption,
    CalibrationOption,
    FlashMarginOption,
    JsonOption,
    ModelArgument,
    PlotOption,
    RamMarginOption,
)
from edge.errors import DoesNotFitError


def fit(
    model: ModelArgument,
    board: BoardOption = "nucleo-f446re",
    data: CalibrationOption = None,
    flash_margin: FlashMarginOption = 0,
    ram_margin: RamMarginOption = 0,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set a model's flash and RAM beside a board's (exit code 2 if over).

    Milliseconds of one inference of the engine are estimated, if that fits, where the Arm compiler
    and QEMU are installed.
    """
    from edge.catalog.boards import find_board
    from edge.deploy.budget import budget
    from edge.deploy.latency import latencies

    target = find_board(board)
    graph = open_model(model, data)
    use = budget(graph, target, flash_margin, ram_margin)
    if plot is not None:
        from edge.cli.plots import budget_picture

        budget_picture(use, plot)
    with status(f"Tracing {model} on a {target.core}"):
        (latency,) = latencies(graph, [target])
    if not use.fits:
        with showing_misfit(as_json, latency):
            raise DoesNotFitError(f"{model} does not fit. {use.sentence()}", use, graph)
    if as_json:
        print_json(json.budget_json(use, latency=latency))
    else:
        show(tables.budget_table(use), tables.banks_table(use))
        say(use.sentence())
        say(latency.sentence())
