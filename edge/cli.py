"""The command line: `keras-mobilenet`, or `python -m edge`."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, TaskID

from edge import tables
from edge.boards import boards as all_boards
from edge.boards import find_board
from edge.budget import budget, fitting_variants
from edge.errors import DoesNotFitError, EdgeError
from edge.export import export as export_model
from edge.export import write_files
from edge.graph import Graph, read_graph, require_int8
from edge.json_report import board_json, budget_json, graph_json, timeline_json
from edge.plan.planned import planned_model
from edge.plan.tflm_greedy import NoArenaRuleError
from edge.plan.timeline import Timeline, memory_timeline
from edge.tflm_ops import require_tflm_operators
from edge.verify import quantize_inputs, verify_plan
from edge.verify import verify as verify_model

app = typer.Typer(
    name="keras-mobilenet",
    help="Take a MobileNet from Keras 3 to a running Cortex-M microcontroller.",
    epilog="Start here: keras-mobilenet demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
stdout = Console()
stderr = Console(stderr=True, soft_wrap=True)

BoardOption = Annotated[str, typer.Option("--board", "-b", help="See `keras-mobilenet boards`.")]
OutOption = Annotated[pathlib.Path, typer.Option("--out", "-o", help="Folder to write to.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="digits, faces, a folder with one subfolder of images per class, or a name of "
        "keras.datasets (mnist, fashion_mnist, cifar10, cifar100: need a network).",
    ),
]


def main() -> None:
    """Runs the command line; every error of the user's becomes one line and an exit code.

    Raises:
        SystemExit: Always.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except EdgeError as error:
        _fail(error)


@app.command(epilog="Example: keras-mobilenet boards --json")
def boards(as_json: JsonOption = False) -> None:
    """List the boards, with their flash and RAM."""
    found = all_boards()
    if as_json:
        _print_json([board_json(board) for board in found])
    else:
        stdout.print(tables.boards_table(found))


@app.command(
    epilog="Example: keras-mobilenet train --data faces --side 64 --alpha 0.25 --out faces.keras"
)
def train(
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    data: DataOption = "digits",
    side: Annotated[int, typer.Option(help="Base height and width, in pixels.")] = 48,
    channels: Annotated[int, typer.Option(help="1 (gray) or 3 (RGB).")] = 1,
    alpha: Annotated[float, typer.Option(help="Width multiplier, 0 < alpha <= 1.")] = 0.25,
    rho: Annotated[float, typer.Option(help="Resolution multiplier, 0 < rho <= 1.")] = 1.0,
    float_epochs: Annotated[int, typer.Option(min=1, help="Epochs in float.")] = 30,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Epochs with int8 fake quantization.")] = 8,
    seed: Annotated[int, typer.Option(help="Of weights, split and augmentation.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Train MobileNetV1 float, then quantization-aware, on images."""
    if out.suffix != ".keras":
        raise EdgeError(f"--out must name a .keras file, got {out}.")
    _load_tensorflow()
    from keras_mobilenet import train as training
    from keras_mobilenet.data import load_images
    from keras_mobilenet.mobilenet_v1 import MobileNetV1, mobilenet_v1_filters, scaled_side

    with _bad_argument():
        # Before any data is read or file written.
        mobilenet_v1_filters(alpha)
        side = scaled_side(side, rho)
        MobileNetV1((side, side, channels), 0.1, classes=2)
        images = load_images(data, side, channels, seed)
    _require_writable(out.parent)
    _make_repeatable()
    trained = training.train(
        images, alpha, float_epochs, qat_epochs, seed, 0 if as_json else _keras_verbosity()
    )
    _save(trained.model, out)
    labels = out.with_suffix(".labels.txt")
    labels.write_text("".join(f"{name}\n" for name in images.class_names), "utf-8")
    if as_json:
        _print_json(
            {
                "model": str(out),
                "labels": str(labels),
                "float_accuracy": trained.float_accuracy,
                "qat_accuracy": trained.qat_accuracy,
                "held_out_count": len(images.test_labels),
            }
        )
    else:
        stdout.print(
            f"{out}: accuracy float {trained.float_accuracy:.2%}, int8 simulated "
            f"{trained.qat_accuracy:.2%} on {len(images.test_labels)} held-out images. Next: "
            f"keras-mobilenet export {out} --labels {labels}",
            soft_wrap=True,
        )


@app.command(
    epilog="Example: keras-mobilenet export model.tflite --board 'micro:bit v2' --out firmware"
)
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
    as_json: JsonOption = False,
) -> None:
    """Write C++ sources for TFLite Micro, if the model fits the board (else exit code 2)."""
    target = find_board(board)
    names = None if labels is None else _lines(labels)
    if model.endswith(".keras"):
        _load_tensorflow()
    with _status(f"Exporting {model}"):
        try:
            written = export_model(
                model, target.id, out, _calibration(model, data), names, offline_plan
            )
        except DoesNotFitError as error:
            _print_misfit(error, as_json)
            raise
    if as_json:
        _print_json(budget_json(written.budget) | {"folder": str(out), "files": written.files})
        return
    stdout.print(tables.budget_table(written.budget))
    stdout.print(
        f"{written.budget.sentence()} Wrote {', '.join(written.files)} to {out}.", soft_wrap=True
    )


@app.command(epilog="Example: keras-mobilenet verify model.tflite --inputs 1000")
def verify(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    inputs: Annotated[int, typer.Option(min=1, help="Number of random inputs.")] = 100,
    data: Annotated[
        str | None, typer.Option(help="Held-out images in place of random inputs: see train.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Compare LiteRT's reference kernels with TFLite Micro, byte for byte (exit 1 if unequal)."""
    graph = _int8_graph(model)
    samples = None if data is None else quantize_inputs(graph, _images(graph, data).test_inputs())
    with _status(f"Running {model} on LiteRT and on TFLite Micro"):
        proof = verify_model(graph, samples, inputs, seed)
    if as_json:
        _print_json(
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


@app.command(epilog="Example: keras-mobilenet inspect model.tflite --plot memory.png")
def inspect(
    model: Annotated[str, typer.Argument(help="An int8 .tflite.")],
    plot: Annotated[
        pathlib.Path | None, typer.Option(help="Picture of memory over time to write.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show a model's operators, and its memory over time."""
    graph = _int8_graph(model)
    timeline = _timeline(graph)
    if plot is not None:
        if timeline is None:
            raise EdgeError(f"{model} has an operator whose memory is not known: no picture.")
        from edge.pictures import memory_picture

        memory_picture(graph, timeline, plot)
    if as_json:
        report = {} if timeline is None else {"memory": timeline_json(graph, timeline)}
        _print_json(graph_json(graph) | report)
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


@app.command(epilog="Example: keras-mobilenet fit model.tflite -b raspberry-pi-pico --plot fit.png")
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
    graph = _int8_graph(model)
    use = budget(graph, target, flash_margin, ram_margin)
    if plot is not None:
        from edge.pictures import budget_picture

        budget_picture(use, plot)
    if not use.fits:
        error = DoesNotFitError(f"{model} does not fit. {use.sentence()}", use, graph)
        _print_misfit(error, as_json)
        raise error
    if as_json:
        _print_json(budget_json(use))
        return
    stdout.print(tables.budget_table(use))
    stdout.print(tables.banks_table(use))
    stdout.print(use.sentence(), soft_wrap=True)


@app.command(epilog="Example: keras-mobilenet plan model.tflite --out planned.tflite")
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
    """Find the smallest memory plan, for stock TFLite Micro to obey, and prove it harmless."""
    graph = _int8_graph(model)
    with _status(f"Planning {model}"):
        planned = planned_model(graph, overlap, seconds)
    proof = None
    if overlap:
        with _status("Running the plan on TFLite Micro"):
            proof = verify_plan(graph, planned.graph)
    if out is not None:
        write_files(out.parent, {out.name: planned.graph.content})
    best = planned.plan
    if as_json:
        _print_json(
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
        stdout.print(f"Wrote {out}.", soft_wrap=True)


@app.command(epilog="Example: keras-mobilenet search --board arduino-zero --data digits")
def search(
    board: BoardOption = "nucleo-f446re",
    data: DataOption = "digits",
    out: OutOption = pathlib.Path("search"),
    side: Annotated[int, typer.Option(help="Largest input side, in pixels.")] = 48,
    channels: Annotated[int, typer.Option(help="1 (gray) or 3 (RGB).")] = 1,
    trials: Annotated[int, typer.Option(min=1, help="How many candidates to train.")] = 4,
    minutes: Annotated[float, typer.Option(min=0.0, help="Time limit for training.")] = 12.0,
    storage: Annotated[
        str | None,
        typer.Option(help="Optuna storage URL to share; a file in --out if not given."),
    ] = None,
    float_epochs: Annotated[int, typer.Option(min=1, help="Epochs in float.")] = 30,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Epochs with int8 fake quantization.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """Find the best MobileNetV1 that fits a board: plan all, train a few, export the best.

    Interrupted and run again with the same options it goes on; run twice at a time, both share the
    work.
    """
    target = find_board(board)
    _require_writable(out)
    _load_tensorflow()
    from edge.pictures import front_picture
    from edge.search import pareto_front, plan_candidates
    from edge.search_study import Job, run_search
    from keras_mobilenet.data import load_images
    from keras_mobilenet.mobilenet_v1 import scaled_side

    with _bad_argument():
        images = load_images(data, scaled_side(side, 1.0), channels)
    with _status("Planning every width and resolution"):
        candidates = plan_candidates(target, side, channels, len(images.class_names))
    front = pareto_front(candidates)
    if not front:
        smallest = min(candidates, key=lambda candidate: candidate.ram_bytes)
        raise EdgeError(
            f"No MobileNetV1 fits {target.name}: the smallest takes {smallest.ram_bytes:,} bytes "
            f"of RAM and {smallest.flash_bytes:,} of flash."
        )
    front_picture(candidates, front, out / "front.png")
    if not as_json:
        stdout.print(tables.front_table(front, trials))
    _make_repeatable()
    job = Job(
        data,
        channels,
        target,
        front[:trials],
        out,
        storage or f"sqlite:///{out.resolve()}/study.db",
        minutes * 60,
        float_epochs,
        qat_epochs,
    )
    with _trial_progress(float_epochs + qat_epochs) as advance:
        result = run_search(job, advance)
    if as_json:
        _print_json(
            {
                "alpha": result.candidate.alpha,
                "side": result.candidate.side,
                "int8_accuracy": result.int8_accuracy,
                "equal_count": result.verification.equal_count,
                "input_count": result.verification.input_count,
                "trials": result.trials,
                "budget": budget_json(result.export.budget),
            }
        )
        return
    stdout.print(tables.trials_table(result.trials))
    stdout.print(tables.budget_table(result.export.budget))
    stdout.print(
        f"{result.candidate.name}: {result.int8_accuracy:.2%} of "
        f"{result.verification.input_count} held-out images in int8. "
        f"{result.verification.sentence()}. Sources in {result.export.folder}.",
        soft_wrap=True,
    )


@app.command(epilog="Example: keras-mobilenet demo --data faces --board nano-33-ble-sense")
def demo(
    data: DataOption = "digits",
    board: BoardOption = "nucleo-f446re",
    out: OutOption = pathlib.Path("demo"),
    alpha: Annotated[float, typer.Option(help="Width multiplier, 0 < alpha <= 1.")] = 0.25,
    float_epochs: Annotated[int, typer.Option(min=1, help="Epochs in float.")] = 30,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Epochs with int8 fake quantization.")] = 8,
    as_json: JsonOption = False,
) -> None:
    """The whole way in some two minutes: train, quantize, convert, prove, emit."""
    target = find_board(board)
    _require_writable(out)
    _load_tensorflow()
    from edge.demo import run_demo
    from keras_mobilenet.mobilenet_v1 import mobilenet_v1_filters

    with _bad_argument():
        mobilenet_v1_filters(alpha)
        _make_repeatable()
        try:
            result = run_demo(
                data,
                target.id,
                out,
                alpha,
                float_epochs,
                qat_epochs,
                0 if as_json else _keras_verbosity(),
                stderr.print if as_json else stdout.print,
            )
        except DoesNotFitError as error:
            _print_misfit(error, as_json)
            raise
    if as_json:
        _print_json(
            {
                "float_accuracy": result.float_accuracy,
                "qat_accuracy": result.qat_accuracy,
                "int8_accuracy": result.int8_accuracy,
                "equal_count": result.verification.equal_count,
                "input_count": result.verification.input_count,
                "budget": budget_json(result.export.budget),
            }
        )
    else:
        stdout.print(tables.demo_table(result))
    if not result.verification.is_equal:
        raise typer.Exit(1)


def _fail(error: EdgeError) -> NoReturn:
    stderr.print("Error:", style="bold red", end=" ")
    stderr.print(" ".join(str(error).split()), markup=False, highlight=False)
    sys.exit(error.exit_code)


@contextlib.contextmanager
def _bad_argument() -> Iterator[None]:
    """Turns what keras_mobilenet says of an argument or of a data set into the user's error."""
    try:
        yield
    except ValueError as error:
        raise EdgeError(str(error)) from error


@contextlib.contextmanager
def _status(what: str) -> Iterator[None]:
    with stderr.status(f"{what} ..."):
        yield


@contextlib.contextmanager
def _trial_progress(epochs: int) -> Iterator[Callable[[str, int], None]]:
    with Progress(console=stderr) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(name: str, epoch: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=epochs)
            progress.update(tasks[name], completed=epoch)

        yield advance


def _keras_verbosity() -> int | str:
    """A bar per epoch for a person, a line per epoch for a log."""
    return "auto" if sys.stdout.isatty() else 2


def _load_tensorflow() -> None:
    """Imports TensorFlow without the lines it writes whatever its log level."""
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            import tensorflow  # noqa: F401
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def _make_repeatable() -> None:
    """The same seed gives the same network, bit for bit."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()


def _int8_graph(model: str) -> Graph:
    graph = read_graph(model)
    require_tflm_operators(graph, model)
    require_int8(graph, model)
    return graph


def _timeline(graph: Graph) -> Timeline | None:
    try:
        return memory_timeline(graph)
    except NoArenaRuleError:
        return None


def _images(graph: Graph, source: str) -> Any:
    from keras_mobilenet.data import load_images

    with _bad_argument():
        shape = graph.input.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
            raise ValueError(f"--data needs a model of square images, this one reads {shape}.")
        return load_images(source, shape[1], shape[3])


def _calibration(model: str, source: str | None) -> Any:
    if source is None:
        return None
    from edge.convert import load_keras
    from keras_mobilenet.data import load_images

    shape = load_keras(model).input_shape
    with _bad_argument():
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
            raise ValueError(f"--data needs a model of square images, this one reads {shape}.")
        return load_images(source, shape[1], shape[3]).train_inputs()[:200]


def _lines(path: pathlib.Path) -> list[str]:
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EdgeError(f"Cannot read the labels in {path}: {error}.") from error


def _require_writable(folder: pathlib.Path) -> None:
    """Says so before minutes of training, not after."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".keras-mobilenet-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise EdgeError(
            f"Cannot write to {folder}: {error.strerror or error}. Choose another output folder."
        ) from error


def _save(model: Any, out: pathlib.Path) -> None:
    staged = out.with_name(f".{os.getpid()}-{out.name}")
    model.save(staged)
    os.replace(staged, out)


def _print_misfit(error: DoesNotFitError, as_json: bool) -> None:
    use, graph = error.budget, error.graph
    variants = fitting_variants(graph, use.board)
    if as_json:
        _print_json(
            budget_json(use) | {"variants": [dataclasses.asdict(variant) for variant in variants]}
        )
        return
    stdout.print(tables.budget_table(use))
    if variants:
        stdout.print(tables.variants_table(variants))
    else:
        stdout.print("No narrower or smaller version of this network that was tried fits either.")


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))
