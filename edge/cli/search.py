"""The command search."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from edge.cli import json, result_tables, tables
from edge.cli.arguments import bad_argument, load_backend, load_data, make_repeatable
from edge.cli.console import print_json, say, show, status, stderr
from edge.cli.options import (
    BoardOption,
    ChannelsOption,
    DataOption,
    FloatEpochsOption,
    JsonOption,
    LargestSideOption,
    MinutesOption,
    MirrorOption,
    OutOption,
    QatEpochsOption,
    StorageOption,
    TrialsOption,
)
from edge.errors import EdgeError

if TYPE_CHECKING:
    from edge.catalog.boards import Board
    from edge.deploy.latency import Latency
    from edge.search.candidates import Candidate
    from edge.search.training import SearchResult


NAMES = ("study.db", "front.png", "model.keras", "model.tflite", "firmware/model_data.cc")
"""What a search writes at its end, to find out before minutes of work that it cannot."""


def search(
    board: BoardOption = "nucleo-f446re",
    data: DataOption = "digits",
    out: OutOption = pathlib.Path("search"),
    side: LargestSideOption = 48,
    channels: ChannelsOption = 1,
    trials: TrialsOption = 4,
    minutes: MinutesOption = 12.0,
    storage: StorageOption = None,
    float_epochs: FloatEpochsOption = 30,
    qat_epochs: QatEpochsOption = 8,
    mirror: MirrorOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find the best MobileNetV1 that fits a board: plan all, train a few, export the best.

    Interrupted and run again with the same options it goes on; run twice at a time, both share the
    work.
    """
    from edge.catalog.boards import find_board
    from edge.system.files import require_writable

    target = find_board(board)
    require_writable(out, NAMES)
    load_backend()
    from edge.cli.plots import front_picture
    from edge.deploy.latency import latencies
    from edge.search.candidates import pareto_front, plan_candidates
    from edge.search.study import Job, open_storage, study_url
    from edge.search.training import run_search

    images = _largest_images(data, side, channels)
    if storage is not None:
        open_storage(storage)
    with status("Planning every width and resolution"):
        candidates = plan_candidates(target, side, channels, len(images.class_names))
    front = pareto_front(candidates) or _refuse(candidates, target)
    if not as_json:
        show(result_tables.front_table(front, trials))
    make_repeatable()
    job = Job(
        source=data,
        channels=channels,
        board=target,
        candidates=front[:trials],
        folder=out,
        storage=storage or study_url(out),
        seconds=minutes * 60,
        float_epochs=float_epochs,
        qat_epochs=qat_epochs,
        mirror=mirror,
    )
    with _trial_progress(float_epochs + qat_epochs) as advance:
        result = run_search(job, advance)
    front_picture(candidates, front, out / "front.png")
    with status("Estimating milliseconds"):
        (latency,) = latencies(result.export.graph, [target])
    _show_result(result, latency, as_json)


def _show_result(result: SearchResult, latency: Latency, as_json: bool) -> None:
    if as_json:
        print_json(json.search_json(result, latency))
        return
    assert result.export.budget is not None, "a search exports for TFLite Micro"
    show(result_tables.trials_table(result.trials), tables.budget_table(result.export.budget))
    say(
        f"{result.candidate.name}: {result.int8_accuracy:.2%} of "
        f"{result.verification.input_count} held-out images in int8. "
        f"{result.verification.sentence()}. Sources in {result.export.folder}."
    )
    say(latency.sentence())


def _largest_images(source: str, side: int, channels: int) -> Any:
    from keras_mobilenet.models.topology import scaled_side

    with bad_argument():
        side = scaled_side(side, 1.0)
    return load_data(source, side, channels)


def _refuse(candidates: Sequence[Candidate], board: Board) -> NoReturn:
    smallest = min(candidates, key=lambda candidate: candidate.ram_bytes)
    raise EdgeError(
        f"No MobileNetV1 fits {board.name}: the smallest takes {smallest.ram_bytes:,} bytes "
        f"of RAM and at most {smallest.flash_bytes:,} of flash."
    )


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
