"""The command compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.cli import json, result_tables
from edge.cli.arguments import float_inputs, is_keras_file, load_backend, open_model
from edge.cli.console import print_json, say, show, status
from edge.cli.options import (
    ComparedDataOption,
    FloatModelArgument,
    Int8ModelArgument,
    JsonOption,
    MostInputsOption,
    PlotOption,
    SeedOption,
)

if TYPE_CHECKING:
    from edge.debugger.result import Comparison


def compare(
    float_model: FloatModelArgument,
    model: Int8ModelArgument,
    data: ComparedDataOption = None,
    inputs: MostInputsOption = 100,
    seed: SeedOption = 0,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find the layers where an int8 model loses accuracy, and what to do."""
    graph = open_model(model, data if is_keras_file(model) else None)
    load_backend()
    from edge.debugger.compare import compare

    samples = float_inputs(graph, data)
    with status(f"Comparing {model} with {float_model}"):
        comparison = compare(float_model, graph, samples, count=inputs, seed=seed)
    if plot is not None:
        from edge.cli.plots import comparison_picture

        comparison_picture(comparison, plot)
    if as_json:
        print_json(json.comparison_json(comparison))
        return
    show(result_tables.comparison_table(comparison))
    for sentence in _sentences(comparison):
        say(sentence)


def _sentences(comparison: Comparison) -> list[str]:
    what = "random inputs" if comparison.is_random else "inputs"
    lines = [
        f"The largest output is the same on {comparison.output_agreement:.1%} of "
        f"{comparison.input_count} {what}; most noise of its own comes from "
        f"{comparison.worst.keras_layer}, {comparison.worst.own_sqnr_db:.1f} dB."
    ]
    if comparison.is_random:
        lines.append(
            "Random noise shows what is wrong with weights, but nothing of ranges, saturation and "
            "agreement: give real inputs with --data."
        )
    lines += [f"Not compared: {sentence}" for sentence in comparison.unmatched]
    lines += [f"{n}. {sentence}" for n, sentence in enumerate(comparison.advice, start=1)]
    if not comparison.advice:
        lines.append("No layer stands out.")
    return lines
