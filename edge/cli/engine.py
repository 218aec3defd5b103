"""The commands of the engine: stream, build, run, flash."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from edge.catalog.boards import find_board
from edge.cli import engine_tables
from edge.cli.camera import CameraOption, CameraSizeOption, PreprocessingOption, camera_arguments
from edge.cli.json import camera_json
from edge.cli.shared import (
    BoardOption,
    JsonOption,
    OutOption,
    SeedOption,
    int8_graph,
    load_tensorflow,
    model_inputs,
    print_json,
    report_runners,
    say,
    status,
    stdout,
)
from edge.deploy.build import build as build_engine
from edge.deploy.verify_engine import verify_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.emulate import emulated_board
from edge.firmware.flash import flash as flash_board
from edge.firmware.flash import flash_plan

FrameOption = Annotated[
    bool, typer.Option("--frame", help="Keep a whole image in RAM, in place of one row.")
]

RamOption = Annotated[
    int | None, typer.Option("--ram", min=1, help="Bytes that the memory may take, to copy less.")
]


def stream(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    board: BoardOption = "nucleo-f446re",
    ram: RamOption = None,
    plot: Annotated[
        pathlib.Path | None, typer.Option(help="Picture of memory over time to write.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the engine streams a model: rings, whole tensors, memory over time."""
    graph = int8_graph(model)
    with status(f"Planning {model}"):
        engine = compile_engine(graph, instruction_set(find_board(board)), ram)
    if plot is not None:
        from edge.cli.plots import stream_picture

        stream_picture(engine.plan, plot)
    macs = engine.network.graph.total_macs()
    if as_json:
        print_json(
            {
                "memory_bytes": engine.plan.memory_bytes,
                "state_bytes": engine.state_bytes,
                "weights_bytes": engine.weights_bytes,
                "macs": macs,
                "model_macs": graph.total_macs(),
                "segments": [
                    {
                        "layers": list(segment.layers),
                        "workspace_bytes": segment.workspace_bytes,
                        "copied_bytes": segment.copied_bytes,
                    }
                    for segment in engine.plan.segments
                ],
            }
        )
        return
    stdout.print(engine_tables.segments_table(engine.plan))
    saved = graph.total_macs() - macs
    stdout.print(
        f"State {engine.state_bytes:,} bytes, weights {engine.weights_bytes:,} bytes, {macs:,} "
        f"MACs" + (f" ({saved:,} less: constant channels)." if saved else "."),
        soft_wrap=True,
    )


def build(
    model: Annotated[str, typer.Argument(help="A .keras file, or an int8 .tflite of any origin.")],
    board: BoardOption = "nucleo-f446re",
    out: OutOption = pathlib.Path("firmware"),
    frame: FrameOption = False,
    ram: RamOption = None,
    camera: CameraOption = None,
    camera_size: CameraSizeOption = None,
    preprocessing: PreprocessingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write and compile a firmware that runs a model without TFLite Micro (exit 2 if too large)."""
    target = find_board(board)
    if model.endswith(".keras"):
        load_tensorflow()
    source = camera_arguments(camera, camera_size, preprocessing)
    with status(f"Building {model} for {target.name}"):
        built = build_engine(model, target.id, out, frame, ram, **source)
    if as_json:
        print_json(
            {
                "board": target.id,
                "folder": str(out),
                "flash_bytes": built.flash_bytes,
                "weights_bytes": built.firmware.weights_bytes,
                "code_bytes": built.firmware.code_bytes,
                "state_bytes": built.engine.state_bytes,
                "ram_bytes": built.ram_bytes,
                "sha256": built.graph.sha256,
            }
            | camera_json(built.camera)
        )
        return
    stdout.print(engine_tables.build_table(built))
    say(f"Wrote sources and firmware.elf to {out}.")


def run(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    board: BoardOption = "mps2-an386",
    is_emulated: Annotated[
        bool, typer.Option("--emulate", help="On QEMU, on a board with the same core.")
    ] = False,
    inputs: Annotated[int, typer.Option(min=1, help="Number of random inputs.")] = 20,
    data: Annotated[
        str | None, typer.Option("--data", help="Held-out images in place of random inputs.")
    ] = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Run a model's firmware on an emulated core, against LiteRT (exit 1 if a byte differs)."""
    if not is_emulated:
        raise EdgeError(
            "run needs --emulate; to run on a real board: keras-mobilenet build, then flash."
        )
    target = emulated_board(find_board(board))
    graph = int8_graph(model)
    samples = model_inputs(graph, data)
    with status(f"Running {model} on {target.name}"):
        proof = verify_engine(graph, samples, count=inputs, seed=seed, boards=[target])
    report_runners(proof, as_json)


def flash(
    folder: Annotated[pathlib.Path, typer.Argument(help="Where build wrote the firmware.")],
    board: BoardOption = "nucleo-f446re",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done, do nothing.")
    ] = False,
) -> None:
    """Program a board with a firmware."""
    target = find_board(board)
    plan = flash_plan(target, folder)
    if dry_run:
        stdout.print(plan.sentence(), soft_wrap=True, markup=False, highlight=False)
        return
    with status(f"Programming {target.name}"):
        flash_board(plan, target)
    say(f"Programmed {target.name}: {plan.sentence()}")
