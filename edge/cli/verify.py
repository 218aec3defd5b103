"""The command verify."""

from __future__ import annotations

import typer

from edge.cli import json, result_tables
from edge.cli.arguments import open_model_and_inputs
from edge.cli.console import print_json, say, show, status
from edge.cli.options import (
    EngineOption,
    InputCountOption,
    InputDataOption,
    JsonOption,
    ModelArgument,
    SeedOption,
)


def verify(
    model: ModelArgument,
    inputs: InputCountOption = 100,
    data: InputDataOption = None,
    seed: SeedOption = 0,
    engine: EngineOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare LiteRT's reference kernels with TFLite Micro, byte for byte (exit 1 if unequal)."""
    from edge.deploy.verify import verify
    from edge.deploy.verify_engine import verify_engine

    graph, samples = open_model_and_inputs(model, data)
    with status(f"Running {model} on every runtime"):
        if engine:
            everywhere = verify_engine(graph, samples, count=inputs, seed=seed)
        else:
            proof = verify(graph, samples, count=inputs, seed=seed)
    if engine and as_json:
        print_json(json.verify_engine_json(everywhere))
    elif engine:
        show(result_tables.runners_table(everywhere))
    elif as_json:
        print_json(json.verify_json(proof))
    else:
        say(proof.sentence())
    if not (everywhere.is_equal if engine else proof.is_equal):
        raise typer.Exit(1)
