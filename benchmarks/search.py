"""The search against MobileNetV1 at every width and resolution, at equal budgets, on CIFAR-10.

For each board and limit both train for the same number of minutes, with the same recipe, epochs and
images: the search among networks of the family, its rival among MobileNetV1's alpha x rho alone,
which may scale the images up, since its five strides leave one pixel of a small image.
What is chosen is chosen on images set apart from the training set; the 5,000 test images are looked
at once for each winner. Run again it goes on, from the last epoch.

    benchmarks/search.py --minutes 60 --trials 12
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from cifar10_images import read_archive
from PIL import Image
from rich.console import Console
from rich.table import Table
from rows import add_row, read_rows

from edge.catalog.boards import find_board
from edge.cli.plots import front_picture
from edge.search.result import finish, front_of
from edge.search.storage import study_url
from edge.search.study import Job
from edge.search.training import planner_of, train_trials
from keras_mobilenet.training.data import load_images

ROOT = pathlib.Path(__file__).parent.parent
FOLDER = ROOT / "build" / "search"
BUDGETS: tuple[tuple[str, float | None], ...] = (
    ("arduino-zero", None),
    ("nucleo-f446re", None),
    ("nucleo-f446re", 100.0),
)
"""The boards, each with its limit in milliseconds."""


def main() -> None:
    """Trains the rows that are asked for and not there; prints all."""
    options = arguments()
    images = image_folder(options.folder, options.train_images)
    sides = (options.side, options.plain_side)
    digests = {side: load_images(str(images), side, 3).digest for side in sides}
    rows = options.folder / "rows.jsonl"
    known = {row["key"] for row in read_rows(rows)}
    for number, (board, ms) in enumerate(BUDGETS):
        for only_plain in (False, True):
            if options.only and number not in options.only:
                continue
            job = job_of(options, images, digests, board, ms, only_plain)
            key = f"{job.name}, {options.trials} trials, {options.minutes:g} minutes"
            if key not in known:
                row = {"key": key, "only_plain": only_plain, **searched(job)}
                add_row(rows, row)
    Console(width=160).print(table(read_rows(rows)))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, default=FOLDER)
    parser.add_argument("--minutes", type=float, default=60.0, help="for each search")
    parser.add_argument("--trials", type=int, default=12, help="networks of each search at most")
    parser.add_argument("--float-epochs", type=int, default=12)
    parser.add_argument("--qat-epochs", type=int, default=3)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--plain-side", type=int, default=80, help="MobileNetV1's largest input")
    parser.add_argument("--only", nargs="*", type=int, help="numbers of the budgets, from 0")
    parser.add_argument("--train-images", type=int, default=15_000, help="of the 50,000")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    return options


def image_folder(folder: pathlib.Path, train_images: int) -> pathlib.Path:
    """The archives as folders of images, `train/` and `test/`, unpacked once."""
    target = folder / f"cifar10-{train_images}"
    for part in ("train", "test"):
        done = folder / f"{target.name}-{part}.done"
        if done.exists():
            continue
        images, labels = read_archive(part)
        if part == "train":
            chosen = np.random.default_rng(0).permutation(len(images))[:train_images]
            images, labels = images[chosen], labels[chosen]
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            place = target / part / f"class-{label}"
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(place / f"{number:05d}.png")
        done.touch()
    return target


def job_of(
    options: argparse.Namespace,
    images: pathlib.Path,
    digests: dict[int, str],
    board: str,
    ms: float | None,
    only_plain: bool,
) -> Job:
    """What is searched for."""
    kind, side = ("plain", options.plain_side) if only_plain else ("family", options.side)
    folder = options.folder / f"{board}-{ms or 'any'}-{kind}"
    folder.mkdir(exist_ok=True)
    return Job(
        source=str(images),
        images=digests[side],
        side=side,
        channels=3,
        classes=10,
        board=find_board(board),
        folder=folder,
        storage=study_url(folder),
        artifacts=str(folder / "artifacts"),
        seconds=60 * options.minutes,
        trials=options.trials,
        ms=ms,
        float_epochs=options.float_epochs,
        qat_epochs=options.qat_epochs,
        augment=("mirror",),
        only_plain=only_plain,
    )


def searched(job: Job) -> dict:
    """The row of one search."""
    print(job.name, job.ms, "MobileNetV1 alone" if job.only_plain else "the family", flush=True)
    shared = train_trials(
        job,
        planner_of(job),
        lambda name, epoch: print(f"  {name}: epoch {epoch}", flush=True),
        print,
    )
    result = finish(shared)
    front_picture(result.trials, front_of(result.trials), job.folder / "front.png")
    complete = [trial for trial in result.trials if trial.state == "complete"]
    rows = [(t.costs.macs, t.accuracy) for t in complete]
    return {
        "board": job.board.id,
        "ms_limit": job.ms,
        "network": result.best.design.sentence(),
        "trials": len(result.trials),
        "complete": len(complete),
        "validation": result.best.accuracy,
        "test": result.int8_accuracy,
        "flash_bytes": result.best.costs.flash_bytes,
        "ram_bytes": result.best.costs.ram_bytes,
        "ms": result.best.costs.ms,
        "macs": result.best.costs.macs,
        "proof": result.proof,
        "macs_rank_correlation": rank_correlation(rows) if len(rows) > 2 else None,
    }


def rank_correlation(rows: list) -> float:
    """Spearman's, of multiply-accumulates and accuracies: whether more of them is a good guess."""
    ranks = [np.argsort(np.argsort(column)) for column in zip(*rows, strict=True)]
    return float(np.corrcoef(*ranks)[0, 1])


def table(rows: list[dict]) -> Table:
    """The rows, the search beside its rival."""
    shown = Table("board", "limit", "network", "trained", "validation", "test, int8")
    for name in ("flash", "RAM", "ms, estimated"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            row["board"],
            "" if row["ms_limit"] is None else f"{row['ms_limit']:g} ms",
            row["network"],
            f"{row['complete']} of {row['trials']}",
            f"{row['validation']:.2%}",
            f"{row['test']:.2%}",
            f"{row['flash_bytes']:,}",
            f"{row['ram_bytes']:,}",
            f"{row['ms']:.1f}",
        )
    return shown


if __name__ == "__main__":
    main()
