"""The command search."""

from __future__ import annotations

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from edge.cli import json, search_tables
from edge.cli.arguments import bad_argument, load_backend, load_data, make_repeatable
from edge.cli.console import print_json, say, show, status, stderr
from edge.cli.options import BoardOption, DataOption, JsonOption, OutOption, RuntimeOption
from edge.cli.training_options import (
    ArtifactsOption,
    AugmentOption,
    ChannelsOption,
    FloatEpochsOption,
    LargestSideOption,
    MillisecondsOption,
    MinutesOption,
    MirrorOption,
    QatEpochsOption,
    StorageOption,
    TrialsOption,
)
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.catalog.boards import Board
    from edge.deploy.latency import Latency
    from edge.search.result import SearchResult
    from edge.search.space import Planner


NAMES = ("study.db", "front.png", "model.keras", "model.tflite", "firmware/CMakeLists.txt")
"""What a search writes at its end, to find out before minutes of work that it cannot."""


def search(
    board: BoardOption = "nucleo-f446re",
    data: DataOption = "digits",
    out: OutOption = pathlib.Path("search"),
    side: LargestSideOption = 48,
    channels: ChannelsOption = 1,
    runtime: RuntimeOption = "engine",
    ms: MillisecondsOption = None,
    trials: TrialsOption = 4,
    minutes: MinutesOption = 12.0,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    float_epochs: FloatEpochsOption = 30,
    qat_epochs: QatEpochsOption = 8,
    augment: AugmentOption = [],  # noqa: B006, Typer's way to say none
    mirror: MirrorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the best network that fits a board: count many, train a few, export the best.

    Interrupted and run again with the same options it goes on from the last epoch; run twice at a
    time, on machines that share --storage and --artifacts, both share the work.
    """
    from edge.catalog.boards import find_board
    from edge.search.artifacts import Artifacts
    from edge.system.files import require_writable

    target = find_board(board)
    require_writable(out, NAMES)
    _require_estimate(target, runtime, ms)
    place = Artifacts(artifacts or str(out / "artifacts"))
    place.require_writable()
    load_backend()
    from edge.search.storage import open_storage, study_url
    from edge.search.study import Job
    from keras_mobilenet.training.augmentation import parse_augmentation

    changes = (*augment, "mirror") if mirror else tuple(augment)
    with bad_argument():
        parse_augmentation(changes)

    images = _largest_images(data, side, channels)
    if storage is not None:
        open_storage(storage)
    make_repeatable()
    job = Job(
        source=data,
        images=images.digest,
        side=images.train_pixels.shape[1],
        channels=channels,
        classes=len(images.class_names),
        board=target,
        folder=out,
        storage=storage or study_url(out),
        artifacts=place.location,
        seconds=minutes * 60,
        trials=trials,
        runtime=runtime,
        ms=ms,
        float_epochs=float_epochs,
        qat_epochs=qat_epochs,
        augment=changes,
    )
    _search(job, as_json)


def _search(job: Any, as_json: bool) -> None:
    from edge.cli.plots import front_picture
    from edge.deploy.latency import latencies
    from edge.search.result import finish, front_of
    from edge.search.training import planner_of, storage_errors, train_trials

    planner = planner_of(job)
    _require_one(planner, job.board, as_json)
    with _trial_progress(job.float_epochs + job.qat_epochs) as advance:
        shared = train_trials(job, planner, advance, _note)
    with storage_errors(job), status("Building the best"):
        result = finish(shared)
    front_picture(result.trials, front_of(result.trials), job.folder / "front.png")
    with status("Estimating milliseconds"):
        (latency,) = latencies(result.graph, [job.board])
    _show_result(result, latency, as_json)


def _require_estimate(board: Board, runtime: str, ms: float | None) -> None:
    from edge.search.layer_cycles import errors_of

    if ms is None:
        return
    if runtime == "tflm":
        raise EdgeError("--ms limits the engine; what TFLite Micro takes is not estimated.")
    if errors_of(board) is None:
        raise EdgeError(f"--ms: no inference was ever traced on a {board.core}; leave it out.")


def _require_one(planner: Planner, board: Board, as_json: bool) -> None:
    """Looks for networks that fit, and says how many were looked at; refuses if none does."""
    start = time.monotonic()
    with status("Counting what networks take"):
        found = [planner.widest(choice) for choice in planner.space.starts()]
        fitting = [design for design in found if design is not None] or planner.plain
    if not fitting:
        limit = "" if planner.limits.ms is None else f" in {planner.limits.ms:g} ms"
        raise EdgeError(
            f"No network of the family for {planner.space.side}x{planner.space.side} pixels fits "
            f"{board.name}{limit}."
        )
    if not as_json:
        seconds = time.monotonic() - start
        say(f"{planner.looked_at} networks counted in {seconds:.1f} s; the first to be trained:")
        say(f"  {fitting[0].sentence()}")


def _show_result(result: SearchResult, latency: Latency, as_json: bool) -> None:
    if as_json:
        print_json(json.search_json(result, latency))
        return
    show(search_tables.trials_table(result.trials))
    best = result.best
    say(
        f"{best.design.sentence()}: {result.int8_accuracy:.2%} of {result.image_count} held-out "
        f"images in int8; {best.costs.flash_bytes:,} bytes of flash, {best.costs.ram_bytes:,} of "
        f"RAM. {result.proof} Sources in {result.folder}."
    )
    say(latency.sentence())


def _note(line: str) -> None:
    stderr.print(line, highlight=False)


def _largest_images(source: str, side: int, channels: int) -> Any:
    from edge.search.space import SMALLEST_SIDE
    from keras_mobilenet.models.topology import scaled_side

    with bad_argument():
        side = scaled_side(side, 1.0, SMALLEST_SIDE)
    return load_data(source, side, channels)


@contextlib.contextmanager
def _trial_progress(epochs: int) -> Iterator[Callable[[str, int], None]]:
    from rich.progress import Progress, TaskID

    with Progress(console=stderr) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(name: str, epoch: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=epochs)
            progress.update(tasks[name], completed=epoch)

        yield advance
