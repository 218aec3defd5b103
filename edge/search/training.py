"""Trains the best candidates of a search: successive halving, resumable, shared by processes."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna
from optuna.trial import TrialState

from edge.converter.convert import convert
from edge.converter.keras_files import first_line, keras_bytes, load_keras
from edge.deploy.export import Export, export
from edge.deploy.verify import Verification, quantize_inputs, verify
from edge.errors import EdgeError
from edge.search.candidates import Candidate
from edge.search.storage_url import masked, masked_url
from edge.search.study import (
    HEARTBEAT_SECONDS,
    Job,
    is_surplus,
    job_study,
)
from edge.system import signals
from edge.system.files import write_files
from edge.tflite.reader import read_graph

if TYPE_CHECKING:
    import keras

PATIENCE_EPOCHS = 3
"""Training with fake quantization stops after so many epochs without a better accuracy."""


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The best model of a search.

    Attributes:
        candidate: The candidate that won.
        validation_accuracy: Its simulated int8 accuracy on the images that chose it, 0 to 1.
        int8_accuracy: Its accuracy on the held-out images on LiteRT's reference kernels, 0 to 1.
        verification: The comparison of LiteRT and TFLite Micro on the held-out images.
        export: The firmware sources that were written.
        trials: The state and the best accuracy of every trial, by the candidate's name.
    """

    candidate: Candidate
    validation_accuracy: float
    int8_accuracy: float
    verification: Verification
    export: Export
    trials: dict[str, tuple[str, float | None]]


class _TrialProgress:
    """Reports every epoch to the study, and stops a training that no longer pays."""

    def __init__(self, trial: optuna.Trial, job: Job, deadline: float, advance: Callable):
        self.trial, self.job, self.deadline, self.advance = trial, job, deadline, advance
        self.best, self.best_epoch = -1.0, 0

    def callback(self) -> keras.callbacks.Callback:
        # Keras takes seconds to import.
        import keras

        def on_epoch_end(epoch: int, logs: dict) -> None:
            if self._has_stalled(epoch, float(logs["val_accuracy"])):
                callback.model.stop_training = True

        callback = keras.callbacks.LambdaCallback(on_epoch_end=on_epoch_end)
        return callback

    def _has_stalled(self, epoch: int, accuracy: float) -> bool:
        self.trial.report(accuracy, epoch + 1)
        self.advance(epoch + 1)
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        if epoch < self.job.float_epochs:
            if self.trial.should_prune():
                raise optuna.TrialPruned
        elif accuracy > self.best:
            self.best, self.best_epoch = accuracy, epoch
        return epoch >= self.job.float_epochs and epoch - self.best_epoch >= PATIENCE_EPOCHS


class OutOfTimeError(Exception):
    """The time limit passed in the middle of a trial, which goes back to the queue."""


def run_search(
    job: Job, advance: Callable[[str, int], None] = lambda name, epoch: None
) -> SearchResult:
    """Trains the candidates of a job until all are done or time is up.

    A trial that was interrupted is trained again, here or by another process that shares the
    storage; none is lost and none is trained twice.

    Args:
        job: The candidates to train.
        advance: A function that is called with the candidate's name and the number of epochs done.

    Returns:
        The `SearchResult`.

    Raises:
        EdgeError: If no trial was finished in time, or the storage cannot be used.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.search.candidates import plan_candidates
        >>> from edge.search.study import study_url
        >>> board, folder = find_board("arduino-zero"), pathlib.Path("found")
        >>> candidates = plan_candidates(board, 32, 1, 10)  # doctest: +SKIP
        >>> best = [candidate for candidate in candidates if candidate.fits][-1:]  # doctest: +SKIP
        >>> job = Job(  # doctest: +SKIP
        ...     source="digits", channels=1, board=board, candidates=best, folder=folder,
        ...     storage=study_url(folder), seconds=600,
        ... )
        >>> run_search(job).verification.sentence()  # doctest: +SKIP
        'LiteRT reference == TFLM on 360 of 360 inputs'
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return _run(job, advance)
    except optuna.exceptions.StorageInternalError as error:
        reason = masked(first_line(error.__cause__ or error), job.storage)
        raise EdgeError(
            f"The study at {masked_url(job.storage)} takes no more: {reason}"
        ) from error


def _run(job: Job, advance: Callable[[str, int], None]) -> SearchResult:
    study = job_study(job)
    deadline = time.monotonic() + job.seconds
    by_name = {candidate.name: candidate for candidate in job.candidates}

    def objective(trial: optuna.Trial) -> float:
        if is_surplus(study, trial):
            raise optuna.TrialPruned
        name = trial.suggest_categorical("candidate", list(by_name))
        progress = _TrialProgress(trial, job, deadline, lambda epoch: advance(name, epoch))
        return _trained_accuracy(job, by_name[name], trial.number, progress)

    while time.monotonic() < deadline:
        optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        if TrialState.WAITING in states:
            try:
                study.optimize(objective, n_trials=1)
            except OutOfTimeError:
                break
        elif TrialState.RUNNING in states:
            # Another process trains it: wait until it ends or falls silent.
            time.sleep(HEARTBEAT_SECONDS)
        else:
            break
    return _result(job, study, by_name)


def _trained_accuracy(
    job: Job, candidate: Candidate, number: int, progress: _TrialProgress
) -> float:
    """Trains a candidate, keeps its model, and returns its validation accuracy as int8."""
    from keras_mobilenet.training.augmentation import Augmentation
    from keras_mobilenet.training.data import load_images
    from keras_mobilenet.training.train import train

    data = load_images(job.source, candidate.side, job.channels)
    # A signal ends the process here; the trial's heartbeat stops, and it is given out again.
    with signals.in_native_code():
        trained = train(
            data,
            alpha=candidate.alpha,
            float_epochs=job.float_epochs,
            qat_epochs=job.qat_epochs,
            augmentation=dataclasses.replace(Augmentation.default(), mirror=job.mirror),
            verbose=0,
            callbacks=[progress.callback()],
        )
    path = job.model_path(number)
    write_files(path.parent, {path.name: keras_bytes(trained.model)})
    return trained.validation_accuracy


def _result(job: Job, study: optuna.Study, by_name: dict[str, Candidate]) -> SearchResult:
    from keras_mobilenet.training.data import load_images

    trials = study.get_trials(deepcopy=False)
    done = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    done = [trial for trial in done if job.model_path(trial.number).is_file()]
    if not done:
        raise EdgeError(
            f"No candidate was trained within {job.seconds / 60:g} minutes. Run the same command "
            "again: the search goes on where it is."
        )
    best = max(done, key=lambda trial: trial.value or 0.0)
    candidate = by_name[best.params["candidate"]]
    model = load_keras(job.model_path(best.number))
    data = load_images(job.source, candidate.side, job.channels)
    graph = read_graph(convert(model))
    proof = verify(graph, quantize_inputs(graph, data.test_inputs()))
    accuracy = float(np.mean(proof.outputs.argmax(axis=1) == data.test_labels))
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        # The sources are written elsewhere first, so that the folder gets all files or none.
        staging = pathlib.Path(name)
        written = export(graph.content, job.board, staging, labels=data.class_names)
        contents = {f"firmware/{file}": (staging / file).read_bytes() for file in written.files}
    contents |= {"model.tflite": written.graph.content, "model.keras": keras_bytes(model)}
    write_files(job.folder, contents)
    written = dataclasses.replace(written, folder=job.folder / "firmware")
    return SearchResult(
        candidate=candidate,
        validation_accuracy=float(best.value or 0.0),
        int8_accuracy=accuracy,
        verification=proof,
        export=written,
        trials=_summary(trials),
    )


def _summary(trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, tuple[str, float | None]]:
    """Sums up each candidate; where a trial was given out twice, the last one counts."""
    summary = {}
    for trial in trials:
        name = trial.user_attrs.get("queued_as")
        if name is not None and (name not in summary or "candidate" in trial.params):
            reported = trial.intermediate_values
            value = trial.value if trial.value is not None else max(reported.values(), default=None)
            summary[str(name)] = (trial.state.name.lower(), value)
    return summary
