"""The command report."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from edge.cli import json
from edge.cli.arguments import calibration_images, images_of, is_keras_file, load_backend
from edge.cli.console import print_json, say, status
from edge.cli.options import (
    BoardOption,
    FloatModelOption,
    HtmlOutOption,
    JsonOption,
    LabelledDataOption,
    ModelArgument,
    PngOption,
    TrainingOption,
)

if TYPE_CHECKING:
    from edge.reporting.figures import Report


def report(
    model: ModelArgument,
    board: BoardOption = "nucleo-f446re",
    out: HtmlOutOption = pathlib.Path("report.html"),
    png: PngOption = None,
    float_model: FloatModelOption = None,
    data: LabelledDataOption = None,
    training: TrainingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write one HTML file: memory, cost of each layer, budget, error, training, accuracy."""
    from edge.catalog.boards import find_board
    from edge.converter.model_source import model_name, read_model
    from edge.reporting.report import report

    target = find_board(board)
    if float_model is not None:
        load_backend()
    graph = read_model(model, calibration_images(model, data if is_keras_file(model) else None))
    with status(f"Measuring {model} for {target.name}"):
        images = None if data is None else images_of(graph.input.shape, data)
        done = report(
            graph,
            target,
            out,
            float_model=float_model,
            data=images,
            training=training,
            picture=png,
            name=model_name(model),
        )
    if as_json:
        print_json(json.report_json(done, out))
        return
    for sentence in _sentences(done):
        say(sentence)
    say(f"Wrote {out} and {png}." if png is not None else f"Wrote {out}.")


def _sentences(done: Report) -> list[str]:
    from edge.reporting.figures import Absent

    lines = [
        f"{runtime.name}: {runtime.memory.reason}"
        if isinstance(runtime.memory, Absent)
        else f"{runtime.name}: activations of {runtime.memory.peak_bytes:,} bytes."
        for runtime in done.runtimes
    ]
    if isinstance(done.profile, Absent):
        return [*lines, f"Instructions: {done.profile.reason}"]
    return [
        *lines,
        f"{done.profile.instructions:,} instructions on a {done.profile.board.core}; its layers "
        f"add up to within {abs(done.profile.residual):,}.",
        done.cycles.reason if isinstance(done.cycles, Absent) else done.cycles.sentence(),
    ]
