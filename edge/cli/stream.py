"""The command stream."""

from __future__ import annotations

from edge.cli import json, tables
from edge.cli.arguments import open_model
from edge.cli.console import print_json, say, show, status
from edge.cli.options import (
    BoardOption,
    CalibrationOption,
    JsonOption,
    ModelArgument,
    PlotOption,
    RamOption,
)


def stream(
    model: ModelArgument,
    board: BoardOption = "nucleo-f446re",
    data: CalibrationOption = None,
    ram: RamOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the engine streams a model: rings, whole tensors, memory over time."""
    from edge.catalog.boards import find_board
    from edge.engine.compile import compile_engine
    from edge.engine.packing import instruction_set
    from edge.transforms.groups import without_groups

    target = find_board(board)
    graph = open_model(model, data)
    with status(f"Planning {model}"):
        engine = compile_engine(graph, instruction_set(target), ram)
    if plot is not None:
        from edge.cli.plots import stream_picture

        stream_picture(engine.plan, plot)
    if as_json:
        print_json(json.stream_json(graph, engine))
        return
    show(tables.segments_table(engine.plan))
    macs = engine.network.graph.total_macs()
    whole = without_groups(graph).total_macs()
    changes = {
        "more: convolutions in groups": whole - graph.total_macs(),
        "less: constant channels": whole - macs,
    }
    told = ", ".join(f"{count:,} {why}" for why, count in changes.items() if count)
    say(
        f"State {engine.state_bytes:,} bytes, weights {engine.weights_bytes:,} bytes, {macs:,} "
        f"MACs{f' ({told})' if told else ''}."
    )
