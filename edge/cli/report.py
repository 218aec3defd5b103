"""The command report."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from edge.catalog.boards import find_board
from edge.cli.json import report_json
from edge.cli.shared import (
    BoardOption,
    JsonOption,
    images_of,
    load_tensorflow,
    print_json,
    status,
    stdout,
)
from edge.converter.model_source import read_model
from edge.reporting.figures import Absent
from edge.reporting.report import model_name
from edge.reporting.report import report as write_report
from edge.system.files import require_writable


def report(
    model: Annotated[str, typer.Argument(help="A .keras file, or an int8 .tflite of any origin.")],
    board: BoardOption = "nucleo-f446re",
    out: Annotated[
        pathlib.Path, typer.Option("--out", "-o", help="The HTML file to write.")
    ] = pathlib.Path("report.html"),
    png: Annotated[
        pathlib.Path | None, typer.Option("--png", help="Picture to write, fit for a README.")
    ] = None,
    float_model: Annotated[
        str | None, typer.Option("--float", help="The float .keras file that was quantized.")
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="Labelled images: see train.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file: memory over time, cost of each layer, budget, error, accuracy."""
    target = find_board(board)
    for path in (out, *([png] if png is not None else [])):
        require_writable(path.parent, [path.name])
    if model.endswith(".keras") or float_model is not None:
        load_tensorflow()
    with status(f"Measuring {model} for {target.name}"):
        graph = read_model(model)
        images = None if data is None else images_of(graph.input.shape, data)
        done = write_report(
            graph,
            target,
            out,
            float_model=float_model,
            data=images,
            picture=png,
            name=model_name(model),
        )
    if as_json:
        print_json(report_json(done) | {"file": str(out)})
        return
    for runtime in done.runtimes:
        if isinstance(runtime.memory, Absent):
            stdout.print(f"{runtime.name}: {runtime.memory.reason}", soft_wrap=True, markup=False)
        else:
            stdout.print(f"{runtime.name}: activations of {runtime.memory.peak_bytes:,} bytes.")
    if isinstance(done.profile, Absent):
        stdout.print(f"Instructions: {done.profile.reason}", soft_wrap=True, markup=False)
    else:
        stdout.print(
            f"{done.profile.instructions:,} instructions on a {done.profile.board.core}; its "
            f"layers add up to within {abs(done.profile.residual):,}.",
            soft_wrap=True,
        )
    written = f"{out} and {png}" if png is not None else str(out)
    stdout.print(f"Wrote {written}.", soft_wrap=True, markup=False)
