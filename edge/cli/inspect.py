"""The command inspect."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from edge.cli import json, tables
from edge.cli.arguments import open_model
from edge.cli.console import print_json, say, show
from edge.cli.options import CalibrationOption, JsonOption, ModelArgument, PlotOption
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.tflite.graph import Int8Graph


def inspect(
    model: ModelArgument,
    data: CalibrationOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's operators, and its memory over time."""
    from edge.memory.tflm_arena import NoArenaRuleError
    from edge.memory.timeline import memory_timeline

    graph = open_model(model, data)
    timeline = None
    with contextlib.suppress(NoArenaRuleError):
        timeline = memory_timeline(graph)
    if plot is not None:
        if timeline is None:
            raise EdgeError(f"{model} has an operator whose memory is not known: no picture.")
        from edge.cli.plots import memory_picture

        memory_picture(graph, timeline, plot)
    if as_json:
        print_json(json.inspect_json(graph, timeline))
        return
    show(tables.graph_table(graph, timeline))
    for sentence in _sentences(graph):
        say(sentence)
    if timeline is not None:
        show(tables.peak_table(graph, timeline))


def _sentences(graph: Int8Graph) -> list[str]:
    source, output = graph.file_dtypes
    shape, out_shape = ("x".join(map(str, t.shape)) for t in (graph.input, graph.output))
    taken = "" if source == "int8" else f"; the file takes {source}"
    made = "" if output == "int8" else f"; the file makes {output}"
    return [
        f"input: int8 {shape}, real = {graph.input_scale:.9g} * (q - {graph.input_zero_point})"
        f"{taken}",
        f"output: int8 {out_shape}, real = {graph.output_scale:.9g} * "
        f"(q - {graph.output_zero_point}){made}",
        f"{graph.model_bytes:,} bytes, {graph.total_macs():,} MACs, SHA-256 {graph.file_sha256}",
    ]
