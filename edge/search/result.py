"""What a search found: the front, and the best network, proven and exported."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from edge.converter.convert import convert
from edge.converter.keras_files import load_keras
from edge.deploy.build import build
from edge.deploy.export import export
from edge.deploy.run import Run, run
from edge.deploy.verify import quantize_inputs, verify
from edge.errors import EdgeError
from edge.runtimes.interpreters import run_litert
from edge.search.costs import Costs
from edge.search.design import Design
from edge.search.images import images_of
from edge.search.study import Job, SharedStudy
from edge.system.files import write_files
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph

if TYPE_CHECKING:
    from edge.firmware.machine.image_run import ImageRun
    from keras_mobilenet.training.data import ImageData

EMULATED_IMAGES = 40
"""The held-out images that the emulated board is given: each takes a moment."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """A network of a search.

    Attributes:
        design: The network.
        costs: What it takes of the board.
        state: `"complete"`, `"pruned"` where it was stopped because others were better,
            `"waiting"` or `"running"`.
        accuracy: The accuracy on the validation images, of int8 where it is complete, 0 to 1; None
            before its first epoch.
        epochs: The number of epochs done.
    """

    design: Design
    costs: Costs
    state: str
    accuracy: float | None
    epochs: int


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The best network of a search.

    Attributes:
        runtime: `"engine"` or `"tflm"`.
        best: The trial that won.
        trials: All trials, in the order in which they were proposed.
        int8_accuracy: The accuracy of the int8 model on the test images on LiteRT's reference
            kernels, 0 to 1.
        image_count: The number of test images.
        equal_count: The number of images, of `input_count`, on which all bytes are LiteRT's.
        input_count: The number of test images that the runtime was given.
        proof: A sentence about that.
        images: What the board's own image did on emulators; empty with TFLite Micro.
        graph: The int8 model.
        folder: The folder with the firmware.
    """

    runtime: str
    best: Trial
    trials: tuple[Trial, ...]
    int8_accuracy: float
    image_count: int
    equal_count: int
    input_count: int
    proof: str
    images: tuple[ImageRun, ...]
    graph: Graph
    folder: pathlib.Path


def trials_of(shared: SharedStudy) -> tuple[Trial, ...]:
    """Reads the trials of a study.

    Args:
        shared: The study.

    Returns:
        The trials.

    Example:
        >>> trials_of(train_trials(job, planner_of(job)))[0].state  # doctest: +SKIP
        'complete'
    """
    return tuple(map(_trial, shared.trials()))


def _trial(trial: FrozenTrial) -> Trial:
    reported = trial.intermediate_values
    last = max(reported, default=0)
    return Trial(
        design=Design.from_json(trial.user_attrs["design"]),
        costs=Costs(**json.loads(trial.user_attrs["costs"])),
        state=trial.state.name.lower(),
        accuracy=trial.value if trial.state == TrialState.COMPLETE else reported.get(last),
        epochs=last,
    )


def front_of(trials: Sequence[Trial]) -> tuple[Trial, ...]:
    """Keeps the complete trials that no other beats.

    A trial beats another if it is at least as accurate in no more flash, RAM and milliseconds.

    Args:
        trials: All trials.

    Returns:
        The front, the most accurate first.

    Example:
        >>> from edge.search.design import mobilenet_v1
        >>> small = Trial(
        ...     mobilenet_v1(0.1, 32, 1, 10), Costs(9, 5, 5, 1.0, True), "complete", 0.9, 38
        ... )
        >>> wasteful = dataclasses.replace(small, costs=Costs(9, 6, 5, 1.0, True))
        >>> front_of([small, wasteful]) == (small,)
        True
    """
    done = [trial for trial in trials if trial.state == "complete"]
    front = [one for one in done if not any(_beats(other, one) for other in done)]
    return tuple(sorted(front, key=lambda trial: -(trial.accuracy or 0.0)))


def _beats(one: Trial, other: Trial) -> bool:
    ours, theirs = _figures(one), _figures(other)
    return ours != theirs and all(a <= b for a, b in zip(ours, theirs, strict=True))


def _figures(trial: Trial) -> tuple[float, ...]:
    costs = trial.costs
    return (-(trial.accuracy or 0.0), costs.flash_bytes, costs.ram_bytes, costs.ms or 0.0)


def finish(shared: SharedStudy) -> SearchResult:
    """Proves and exports the best network of a study.

    Args:
        shared: The study.

    Returns:
        The `SearchResult`; its files are in the job's folder.

    Raises:
        EdgeError: If no network is complete.

    Example:
        >>> result = finish(train_trials(job, planner_of(job)))  # doctest: +SKIP
        >>> result.equal_count == result.input_count  # doctest: +SKIP
        True
    """
    job = shared.job
    done = [trial for trial in shared.trials() if trial.state == TrialState.COMPLETE]
    done.sort(key=lambda trial: _figures(_trial(trial)))
    models = ((trial, shared.model_of(trial)) for trial in done)
    best, content = next(((trial, model) for trial, model in models if model), (None, None))
    if best is None or content is None:
        raise EdgeError(_nothing_yet(job, trials_of(shared)))
    design = Design.from_json(best.user_attrs["design"])
    graph, data = _graph(content), images_of(job, design.side)
    inputs = quantize_inputs(graph, data.test_inputs())
    outputs = run_litert(graph, inputs)
    proven = _on_engine if job.runtime == "engine" else _on_tflm
    equal_count, input_count, proof, images = proven(job, graph, inputs, data)
    write_files(job.folder, {"model.tflite": graph.content, "model.keras": content})
    return SearchResult(
        runtime=job.runtime,
        best=_trial(best),
        trials=trials_of(shared),
        int8_accuracy=float(np.mean(outputs.argmax(axis=1) == data.test_labels)),
        image_count=len(inputs),
        equal_count=equal_count,
        input_count=input_count,
        proof=proof,
        images=images,
        graph=graph,
        folder=job.folder / "firmware",
    )


def _nothing_yet(job: Job, trials: Sequence[Trial]) -> str:
    epochs = sum(trial.epochs for trial in trials if trial.state != "pruned")
    begun = f" {epochs} epochs are kept." if epochs else ""
    return (
        f"No network was trained to its end within {job.seconds / 60:g} minutes.{begun} Run the "
        "same command again: the search goes on where it is."
    )


def _graph(content: bytes) -> Graph:
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        path = pathlib.Path(name) / "model.keras"
        path.write_bytes(content)
        model = load_keras(path)
    return read_graph(convert(model))


Proven = tuple[int, int, str, tuple["ImageRun", ...]]


def _on_engine(job: Job, graph: Graph, inputs: np.ndarray, data: ImageData) -> Proven:
    """Builds the board's firmware, and runs it on the emulated board."""
    build(graph, job.board, job.folder / "firmware")
    ran: Run = run(graph, job.board, inputs[:EMULATED_IMAGES])
    outcomes = "; ".join(f"{image.emulator}: {image.outcome}" for image in ran.images)
    proof = (
        f"engine on emulated {ran.board.id} == LiteRT reference on {ran.equal_count} of "
        f"{ran.input_count} images."
    )
    if outcomes:
        proof += f" {job.board.id}'s own image, on {outcomes}."
    return ran.equal_count, ran.input_count, proof, ran.images


def _on_tflm(job: Job, graph: Graph, inputs: np.ndarray, data: ImageData) -> Proven:
    proof = verify(graph, inputs)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        # The sources are written elsewhere first, so that the folder gets all files or none.
        staging = pathlib.Path(name)
        written = export(graph.content, job.board, staging, labels=data.class_names)
        contents = {file: (staging / file).read_bytes() for file in written.files}
    write_files(job.folder / "firmware", contents)
    return proof.equal_count, proof.input_count, f"{proof.sentence()}.", ()
