"""The command run."""

from __future__ import annotations

import typer

from edge.cli import json, result_tables
from edge.cli.arguments import open_model_and_inputs
from edge.cli.console import print_json, show, status
from edge.cli.options import (
    BoardOption,
    FrameOption,
    InputCountOption,
    InputDataOption,
    JsonOption,
    ModelArgument,
    SeedOption,
)


def run(
    model: ModelArgument,
    board: BoardOption = "mps2-an386",
    inputs: InputCountOption = 20,
    data: InputDataOption = None,
    seed: SeedOption = 0,
    frame: FrameOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a model's firmware on an emulated core, against LiteRT (exit 1 if a byte differs)."""
    from edge.catalog.boards import find_board
    from edge.deploy.run import run
    from edge.firmware.emulate import emulated_board

    asked = find_board(board)
    target = emulated_board(asked)
    graph, samples = open_model_and_inputs(model, data)
    with status(f"Running {model} on {target.name}"):
        done = run(graph, asked, samples, count=inputs, seed=seed, is_frame=frame)
    if as_json:
        print_json(json.run_json(done))
    else:
        show(result_tables.run_table(done))
    if not done.is_equal:
        raise typer.Exit(1)
