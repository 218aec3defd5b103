"""The commands that take a model: export, verify, inspect, fit, plan; and the boards."""

from __future__ import annotations

import pathlib
from typing import Annotated, Any

import typer

from edge.catalog.boards import boards as all_boards
from edge.catalog.boards import find_board
from edge.cli import tables
from edge.cli.camera import CameraOption, CameraSizeOption, PreprocessingOption, camera_arguments
from edge.cli.json import board_json, budget_json, camera_json, graph_json, timeline_json
from edge.cli.shared import (
    BoardOption,
    JsonOption,
    OutOption,
    SeedOption,
    images_of,
    int8_graph,
    load_tensorflow,
    model_inputs,
    print_json,
    print_misfit,
    report_runners,
    say,
    status,
    stdout,
)
from edge.deploy.budget import budget
from edge.deploy.export import export as export_model
from edge.deploy.verify import verify as verify_model
from edge.deploy.verify import verify_plan
from edge.deploy.verify_engine import verify_engine
from edge.errors import DoesNotFitError, EdgeError
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import NoArenaRuleError
from edge.memory.timeline import Timeline, memory_timeline
from edge.system.files import read_file, write_files
from edge.tflite.graph import Graph


def boards(as_json: JsonOption = False) -> None:
    """List the boards, with their flash and RAM."""
    found = all_boards()
    if as_json:
        print_json([board_json(board) for board in found])
    else:
        stdout.print(tables.boards_table(found))


def export(
    model: Annotated[str, typer.Argument(help="A .keras file, or an int8 .tflite of any origin.")],
    board: BoardOption = "nucleo-f446re",
    out: OutOption = pathlib.Path("firmware"),
    labels: Annotated[
        pathlib.Path | None, typer.Option(help="Text file, one class name per line.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Images to calibrate a .keras file that was not trained for int8."),
    ] = None,
    offline_plan: Annotated[
        bool, typer.Option(help="Write the smallest memory plan into the model.")
    ] = True,
    camera: CameraOption = None,
    camera_size: CameraSizeOption = None,
    preprocessing: PreprocessingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write C++ sources for TFLite Micro, if the model fits the board (else exit code 2)."""
    target = find_board(board)
    names = None if labels is None else _lines(labels)
    if model.endswith(".keras"):
        load_tensorflow()
    source = camera_arguments(camera, camera_size, preprocessing)
    with status(f"Exporting {model}"):
        try:
            written = export_model(
                model,
                target,
                out,
                representative_dataset=_calibration(model, data),
                labels=names,
                offline_plan=offline_plan,
                **source,
            )
        except DoesNotFitError as error:
            print_misfit(error, as_json)
            raise
    if as_json:
        print_json(
            budget_json(written.budget)
            | {"folder": str(out), "files": written.files}
            | camera_json(written.camera)
        )
        return
    stdout.print(tables.budget_table(written.budget))
    say(f"{written.budget.sentence()} Wrote {', '.join(written.files)} to {out}.")


def verify(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    inputs: Annotated[int, typer.Option(min=1, help="Number of random inputs.")] = 100,
    data: Annotated[
        str | None, typer.Option(help="Held-out images in place of random inputs: see train.")
    ] = None,
    seed: SeedOption = 0,
    engine: Annotated[
        bool, typer.Option("--engine", help="Also the engine, here and on every core of QEMU.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare LiteRT's reference kernels with TFLite Micro, byte for byte (exit 1 if unequal)."""
    graph = int8_graph(model)
    samples = model_inputs(graph, data)
    if engine:
        with status(f"Running {model} on LiteRT, the engine and TFLite Micro"):
            everywhere = verify_engine(graph, samples, count=inputs, seed=seed)
        report_runners(everywhere, as_json)
        return
    with status(f"Running {model} on LiteRT and on TFLite Micro"):
        proof = verify_model(graph, samples, count=inputs, seed=seed)
    if as_json:
        print_json(
            {
                "input_count": proof.input_count,
                "equal_count": proof.equal_count,
                "max_difference": proof.max_difference,
            }
        )
    else:
        stdout.print(proof.sentence(), soft_wrap=True)
    if not proof.is_equal:
        raise typer.Exit(1)


def inspect(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    plot: Annotated[
        pathlib.Path | None, typer.Option(help="Picture of memory over time to write.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's operators, and its memory over time."""
    graph = int8_graph(model)
    timeline = _timeline(graph)
    if plot is not None:
        if timeline is None:
            raise EdgeError(f"{model} has an operator whose memory is not known: no picture.")
        from edge.cli.plots import memory_picture

        memory_picture(graph, timeline, plot)
    if as_json:
        report = {} if timeline is None else {"memory": timeline_json(graph, timeline)}
        print_json(graph_json(graph) | report)
        return
    stdout.print(tables.graph_table(graph, timeline))
    for name, tensor in (("input", graph.input), ("output", graph.output)):
        assert tensor.quantization is not None, "require_int8 comes first"
        stdout.print(
            f"{name}: int8 {'x'.join(map(str, tensor.shape))}, real = "
            f"{tensor.quantization.scales[0]:.9g} * (q - {tensor.quantization.zero_points[0]})"
        )
    stdout.print(
        f"{graph.model_bytes:,} bytes, {graph.total_macs():,} MACs, SHA-256 {graph.sha256}",
        soft_wrap=True,
    )
    if timeline is not None:
        stdout.print(tables.culprits_table(graph, timeline))


def fit(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    board: BoardOption = "nucleo-f446re",
    flash_margin: Annotated[int, typer.Option(min=0, help="Bytes of flash to leave free.")] = 0,
    ram_margin: Annotated[int, typer.Option(min=0, help="Bytes of RAM to leave free.")] = 0,
    plot: Annotated[pathlib.Path | None, typer.Option(help="Picture to write.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Set a model's flash and RAM beside a board's (exit code 2 if over)."""
    target = find_board(board)
    graph = int8_graph(model)
    use = budget(graph, target, flash_margin, ram_margin)
    if plot is not None:
        from edge.cli.plots import budget_picture

        budget_picture(use, plot)
    if not use.fits:
        error = DoesNotFitError(f"{model} does not fit. {use.sentence()}", use, graph)
        print_misfit(error, as_json)
        raise error
    if as_json:
        print_json(budget_json(use))
        return
    stdout.print(tables.budget_table(use))
    stdout.print(tables.banks_table(use))
    stdout.print(use.sentence(), soft_wrap=True)


def plan(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    out: Annotated[
        pathlib.Path | None, typer.Option("--out", "-o", help="The .tflite to write.")
    ] = None,
    overlap: Annotated[
        bool,
        typer.Option(
            "--overlap", help="Let outputs reach into inputs: for the reference kernels only."
        ),
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.0, help="How long to search.")] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Find the smallest memory plan for stock TFLite Micro; with --overlap, prove it there."""
    graph = int8_graph(model)
    with status(f"Planning {model}"):
        planned = planned_model(graph, may_overlap=overlap, seconds=seconds)
    proof = None
    if overlap:
        with status("Running the plan on TFLite Micro"):
            proof = verify_plan(graph, planned.graph)
    if out is not None:
        write_files(out.parent, {out.name: planned.graph.content})
    best = planned.plan
    if as_json:
        print_json(
            {
                "greedy_bytes": planned.greedy_bytes,
                "planned_bytes": planned.planned_bytes,
                "lower_bound_bytes": best.lower_bound_bytes,
                "is_optimal": best.is_optimal,
                "verified_inputs": proof,
            }
        )
        return
    stdout.print(
        f"TFLite Micro's own plan {planned.greedy_bytes:,} bytes, this one "
        f"{planned.planned_bytes:,}; none can do with less than {best.lower_bound_bytes:,}.",
        soft_wrap=True,
    )
    if proof is not None:
        stdout.print(f"Same bytes out on TFLite Micro for {proof} of {proof} random inputs.")
    if out is not None:
        say(f"Wrote {out}.")


def _timeline(graph: Graph) -> Timeline | None:
    try:
        return memory_timeline(graph)
    except NoArenaRuleError:
        return None


def _calibration(model: str, source: str | None) -> Any:
    if source is None:
        return None
    from edge.converter.keras_files import load_keras

    return images_of(load_keras(model).input_shape, source).train_inputs()[:200]


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return read_file(path).decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise EdgeError(f"The labels in {path} are not UTF-8: {error}.") from error
    except OSError as error:
        raise EdgeError(f"Cannot read the labels in {path}: {error.strerror or error}.") from error
