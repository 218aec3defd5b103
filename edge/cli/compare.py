"""The command that finds where int8 loses accuracy: compare."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import numpy as np
import typer

from edge.cli.json import comparison_json
from edge.cli.shared import (
    JsonOption,
    images_of,
    int8_graph,
    load_tensorflow,
    print_json,
    status,
    stdout,
)
from edge.cli.tables import comparison_table
from edge.debugger.compare import compare as compare_models
from edge.debugger.result import Comparison
from edge.errors import EdgeError
from edge.tflite.graph import Graph


def compare(
    float_model: Annotated[str, typer.Argument(help="The .keras file; quantization-aware or not.")],
    int8_model: Annotated[str, typer.Argument(help="The int8 .tflite that was made from it.")],
    data: Annotated[
        str | None,
        typer.Option(
            help="Held-out images, as for train; or a .npy of floats as the model reads them."
        ),
    ] = None,
    inputs: Annotated[int, typer.Option(min=1, help="Number of inputs at most.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the choice of inputs, or of the noise.")] = 0,
    plot: Annotated[
        pathlib.Path | None, typer.Option(help="Picture of the noise, layer by layer, to write.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the layers where an int8 model loses accuracy, and what to do."""
    graph = int8_graph(int8_model)
    load_tensorflow()
    samples = _samples(graph, data)
    with status(f"Comparing {int8_model} with {float_model}"):
        comparison = compare_models(float_model, graph, samples, count=inputs, seed=seed)
    if plot is not None:
        from edge.cli.plots import comparison_picture

        comparison_picture(comparison, plot)
    if as_json:
        print_json(comparison_json(comparison))
        return
    stdout.print(comparison_table(comparison))
    for line in _lines(comparison):
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def _lines(comparison: Comparison) -> list[str]:
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


def _samples(graph: Graph, source: str | None) -> Any:
    if source is None:
        return None
    if not source.endswith(".npy"):
        return images_of(graph.input.shape, source).test_inputs()
    try:
        return np.load(source)
    except (OSError, ValueError) as error:
        raise EdgeError(f"Cannot read the inputs in {source}: {error}.") from error
