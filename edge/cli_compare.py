"""The command that finds where int8 loses accuracy: compare."""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Column, Table

from edge.cli_shared import (
    JsonOption,
    images_of,
    int8_graph,
    load_tensorflow,
    print_json,
    status,
    stdout,
)
from edge.compare import Comparison, LayerError
from edge.compare import compare as compare_models
from edge.compare_advice import ALARM_DB
from edge.errors import EdgeError
from edge.graph import Graph
from edge.tables import right


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
        comparison = compare_models(float_model, graph, samples, inputs, seed)
    if plot is not None:
        from edge.pictures import comparison_picture

        comparison_picture(comparison, plot)
    if as_json:
        print_json(comparison_json(comparison))
        return
    stdout.print(comparison_table(comparison))
    for line in _lines(comparison):
        stdout.print(line, soft_wrap=True, markup=False, highlight=False)


def comparison_table(comparison: Comparison) -> Table:
    """Every layer that both models have.

    Args:
        comparison: The two models.

    Returns:
        A table; the worst layer is marked, faults are red.
    """
    table = Table(
        *(right("#"), Column("operator", no_wrap=True), Column("Keras layer", overflow="fold")),
        *(right("SQNR dB"), right("own dB"), "mostly from", right("saturated"), right("range use")),
        title=f"Against {comparison.reference}",
    )
    for layer in (comparison.input, *comparison.layers):
        is_worst = layer is comparison.worst
        table.add_row(
            "" if layer.operator < 0 else str(layer.operator),
            layer.opcode,
            layer.keras_layer,
            f"{layer.sqnr_db:.1f}",
            f"{layer.own_sqnr_db:.1f}" + (" <" if is_worst else "  "),
            layer.cause,
            f"{layer.saturation_rate:.2%}",
            f"{layer.range_use:.0%}",
            style="red" if layer.own_sqnr_db < ALARM_DB else "bold" if is_worst else None,
        )
    return table


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison for scripts.

    Args:
        comparison: The two models.

    Returns:
        Every figure; None for a ratio without noise, which JSON cannot write.
    """
    return dataclasses.asdict(comparison) | {
        "input": _layer_json(comparison.input),
        "layers": [_layer_json(layer) for layer in comparison.layers],
        "worst": comparison.worst.operator,
    }


def _layer_json(layer: LayerError) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isinf(value) else value
        for name, value in dataclasses.asdict(layer).items()
    }


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
