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
    from edge.tflite.graph import Graph


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


def _sentences(graph: Graph) -> list[str]:
    lines = []
    for name, tensor in (("input", graph.input), ("output", graph.output)):
        assert tensor.quantization is not None, "require_int8 comes first"
        lines.append(
            f"{name}: int8 {'x'.join(map(str, tensor.shape))}, real = "
            f"{tensor.quantization.scales[0]:.9g} * (q - {tensor.quantization.zero_points[0]})"
        )
    macs = f"{graph.total_macs():,} MACs"
    return [*lines, f"{graph.model_bytes:,} bytes, {macs}, SHA-256 {graph.sha256}"]
