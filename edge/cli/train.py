"""The commands that train: train, search, demo."""

from __future__ import annotations

import contextlib
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from edge.catalog.boards import find_board
from edge.cli import tables
from edge.cli.json import budget_json
from edge.cli.shared import (
    BoardOption,
    DataOption,
    JsonOption,
    OutOption,
    SeedOption,
    bad_argument,
    load_tensorflow,
    print_json,
    print_misfit,
    say,
    status,
    stderr,
    stdout,
)
from edge.errors import DoesNotFitError, EdgeError
from edge.system import signals
from edge.system.files import require_writable, write_files


def train(
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    data: DataOption = "digits",
    side: Annotated[int, typer.Option(max=512, help="Base height and width, in pixels.")] = 48,
    channels: Annotated[int, typer.Option(help="1 (gray) or 3 (RGB).")] = 1,
    alpha: Annotated[float, typer.Option(help="Width multiplier, 0 < alpha <= 1.")] = 0.25,
    rho: Annotated[float, typer.Option(help="Resolution multiplier, 0 < rho <= 1.")] = 1.0,
    float_epochs: Annotated[int, typer.Option(min=1, help="Epochs in float.")] = 30,
    qat_epochs: Annotated[int, typer.Option(min=1, help="Epochs with int8 fake quantization.")] = 8,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train MobileNetV1 float, then quantization-aware, on images."""
    if out.suffix != ".keras":
        raise EdgeError(f"--out must name a .keras file, got {out}.")
    labels = out.with_suffix(".labels.txt")
    require_writable(out.parent, (out.name, labels.name))
    load_tensorflow()
    from edge.converter.keras_files import keras_bytes
    from keras_mobilenet.models.topology import mobilenet_v1_filters, scaled_side
    from keras_mobilenet.training import train as training
    from keras_mobilenet.training.data import load_images

    with bad_argument():
        # Before any data is read.
        mobilenet_v1_filters(alpha)
        side = scaled_side(side, rho)
        images = load_images(data, side, channels, seed=seed)
    _make_repeatable()
    with signals.in_native_code():
        trained = training.train(
            images,
            alpha=alpha,
            float_epochs=float_epochs,
            qat_epochs=qat_epochs,
            seed=seed,
            verbose=0 if as_json else _keras_verbosity(),
        )
    names = "".join(f"{name}\n" for name in images.class_names).encode("utf-8")
    write_files(out.parent, {out.name: keras_bytes(trained.model), labels.name: names})
    if as_json:
        print_json(
            {
                "model": str(out),
                "labels": str(labels),
                "float_accuracy": trained.float_accuracy,
                "qat_accuracy": trained.qat_accuracy,
                "held_out_count": len(images.test_labels),
            }
        )
    else:
        say(
            f"{out}: accuracy float {trained.float_accuracy:.2%}, int8 simulated "
            f"{trained.qat_accuracy:.2%} on {len(images.test_labels)} held-out images. Next: "
            f"keras-mobilenet export {out} --labels {labels}"
        )


def search(
    board: BoardOption = "nucleo-f446re",
    data: DataOption = "digits",
    out: OutOption = pathlib.Path("search"),
    side: Annotated[int, typer.Option(max=512, help="Largest input side, in pixels.")] = 48,
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
    require_writable(out)
    load_tensorflow()
    from edge.cli.plots import front_picture
    from edge.search.candidates import pareto_front, plan_candidates
    from edge.search.study import Job, open_storage, run_search, study_url
    from keras_mobilenet.models.topology import scaled_side
    from keras_mobilenet.training.data import load_images

    with bad_argument():
        images = load_images(data, scaled_side(side, 1.0), channels)
    if storage is not None:
        open_storage(storage)
    with status("Planning every width and resolution"):
        candidates = plan_candidates(target, side, channels, len(images.class_names))
    front = pareto_front(candidates)
    if not front:
        smallest = min(candidates, key=lambda candidate: candidate.ram_bytes)
        raise EdgeError(
            f"No MobileNetV1 fits {target.name}: the smallest takes {smallest.ram_bytes:,} bytes "
            f"of RAM and {smallest.flash_bytes:,} of flash."
        )
    if not as_json:
        stdout.print(tables.front_table(front, trials))
    _make_repeatable()
    job = Job(
        data,
        channels,
        target,
        front[:trials],
        out,
        storage or study_url(out),
        minutes * 60,
        float_epochs,
        qat_epochs,
    )
    with _trial_progress(float_epochs + qat_epochs) as advance:
        result = run_search(job, advance)
    front_picture(candidates, front, out / "front.png")
    if as_json:
        print_json(
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
    say(
        f"{result.candidate.name}: {result.int8_accuracy:.2%} of "
        f"{result.verification.input_count} held-out images in int8. "
        f"{result.verification.sentence()}. Sources in {result.export.folder}."
    )


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
    require_writable(out)
    load_tensorflow()
    from edge.cli.demo import run_demo
    from keras_mobilenet.models.topology import mobilenet_v1_filters

    with bad_argument():
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
            print_misfit(error, as_json)
            raise
    if as_json:
        print_json(
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


def _make_repeatable() -> None:
    """The same seed gives the same network, bit for bit."""
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
