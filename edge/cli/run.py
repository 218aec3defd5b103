"""The command run."""

from __future__ import annotations

from typing import Any

import typer

from edge.cli import json, result_tables
from edge.cli.arguments import camera_arguments, images_of, open_model, open_model_and_inputs
from edge.cli.console import print_json, show, status
from edge.cli.options import (
    BoardOption,
    CameraOption,
    CameraSizeOption,
    FrameOption,
    InputCountOption,
    InputDataOption,
    JsonOption,
    ModelArgument,
    PortOption,
    PreprocessingOption,
    SeedOption,
)
from edge.errors import EdgeError

EMULATED = "mps2-an386"


def run(
    model: ModelArgument,
    board: BoardOption = EMULATED,
    port: PortOption = None,
    inputs: InputCountOption = 20,
    data: InputDataOption = None,
    seed: SeedOption = 0,
    frame: FrameOption = False,
    camera: CameraOption = None,
    camera_size: CameraSizeOption = None,
    preprocessing: PreprocessingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Run a model's firmware, emulated or on a board, against LiteRT (exit 1 if a byte differs)."""
    source = {"camera": camera, "size": camera_size, "preprocessing": preprocessing}
    if port is not None:
        done = _on_a_port(model, port, board, data, source, count=inputs, seed=seed)
    elif any(source.values()):
        raise EdgeError("--camera, --camera-size and --preprocessing need a board: --port.")
    else:
        done = _emulated(model, board, data, count=inputs, seed=seed, is_frame=frame)
    if as_json and port is not None:
        print_json(json.run_port_json(done))
    elif as_json:
        print_json(json.run_json(done))
    elif port is not None:
        show(result_tables.run_port_table(done))
    else:
        show(result_tables.run_table(done))
    if not done.is_equal:
        raise typer.Exit(1)


def _emulated(model: str, board: str, data: str | None, **options: Any) -> Any:
    from edge.catalog.boards import find_board
    from edge.deploy.run import run
    from edge.firmware.emulate import emulated_board

    asked = find_board(board)
    target = emulated_board(asked)
    graph, samples = open_model_and_inputs(model, data)
    with status(f"Running {model} on {target.name}"):
        return run(graph, asked, samples, **options)


def _on_a_port(
    model: str, port: str, board: str, data: str | None, source: dict[str, Any], **options: Any
) -> Any:
    from edge.catalog.boards import find_board
    from edge.deploy.run_port import run_port
    from edge.emit.camera.render import camera_for

    # The board that is emulated where none is named cannot be connected.
    expected = None if board == EMULATED else find_board(board)
    samples = labels = None
    count = options["count"]
    if data is not None and source["camera"] is not None:
        raise EdgeError("With --camera the frames are drawn at random: leave out --data.")
    if data is None:
        graph = open_model(model)
    else:
        graph, samples = open_model_and_inputs(model, data)
        labels = images_of(graph.input.shape, data).test_labels[:count]
        samples = samples[:count]
    made = camera_arguments(source["camera"], source["size"], source["preprocessing"])
    camera = camera_for(
        graph,
        made["camera"],
        made["camera_width"],
        made["camera_height"],
        made["preprocessing"],
    )
    with status(f"Running {model} on the board"):
        return run_port(
            graph, port, samples, board=expected, labels=labels, camera=camera, **options
        )
