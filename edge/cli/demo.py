"""The command demo."""

from __future__ import annotations

import pathlib

import typer

from edge.cli import json_demo, result_tables
from edge.cli.arguments import bad_argument, keras_verbosity, load_backend, make_repeatable
from edge.cli.console import print_json, print_note, show, stderr, stdout
from edge.cli.misfit import showing_misfit
from edge.cli.options import BoardOption, DemoDataOption, JsonOption, OutOption
from edge.cli.training_options import (
    AlphaOption,
    DemoFloatEpochsOption,
    DemoQatEpochsOption,
    MirrorOption,
)


def demo(
    data: DemoDataOption = "auto",
    board: BoardOption = "nucleo-f446re",
    out: OutOption = pathlib.Path("demo"),
    alpha: AlphaOption = 1.0,
    float_epochs: DemoFloatEpochsOption = None,
    qat_epochs: DemoQatEpochsOption = None,
    mirror: MirrorOption = False,
    as_json: JsonOption = False,
) -> None:
    """The whole way in some five minutes: train, quantize, prove, and run on an emulated board."""
    from edge.catalog.boards import find_board
    from edge.system.files import require_writable

    target = find_board(board)
    # Not after minutes of training.
    require_writable(out, ("model.keras", "model.tflite", "model_data.cc"))
    load_backend()
    from edge.deploy.demo import run_demo
    from keras_mobilenet.models.topology import mobilenet_v1_filters

    with bad_argument(), showing_misfit(as_json):
        mobilenet_v1_filters(alpha)
        make_repeatable()
        result = run_demo(
            data,
            target,
            out,
            alpha=alpha,
            float_epochs=float_epochs,
            qat_epochs=qat_epochs,
            mirror=mirror,
            warn=print_note,
            verbose=0 if as_json else keras_verbosity(),
            announce=stderr.print if as_json else stdout.print,
        )
    if as_json:
        print_json(json_demo.demo_json(result))
    else:
        show(result_tables.accuracies_table(result))
        show(result_tables.demo_table(result))
    if not result.is_equal:
        raise typer.Exit(1)
