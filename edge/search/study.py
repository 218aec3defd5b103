"""Trains the best candidates of a search: successive halving, resumable, shared by processes."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
import optuna
from optuna.trial import TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError

from edge.catalog.boards import Board
from edge.converter.convert import convert
from edge.converter.keras_files import keras_bytes, load_keras
from edge.deploy.export import Export, export
from edge.deploy.verify import Verification, quantize_inputs, verify
from edge.errors import EdgeError
from edge.search.candidates import Candidate
from edge.system import signals
from edge.system.files import write_files
from edge.tflite.reader import read_graph
from keras_mobilenet.training.data import load_images
from keras_mobilenet.training.train import train

FLOAT_EPOCHS = 30
QAT_EPOCHS = 8
STUDY_FILE = "study.db"
FIRST_RUNG_EPOCH = 16
"""Before, batch normalization's averages have not settled, and the accuracy says nothing."""

PATIENCE_EPOCHS = 3
HEARTBEAT_SECONDS = 2
OPEN_ATTEMPTS = 3
GRACE_SECONDS = 10
"""A process that has not been heard of for so long is dead, and its trial is given out again."""


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The model that a search ended with.

    Attributes:
        candidate: What it is.
        validation_accuracy: On the images that chose it, computed as int8.
        int8_accuracy: On the held-out images, on LiteRT's reference kernels.
        verification: LiteRT against TFLite Micro on the held-out images.
        export: The firmware sources.
        trials: State and best accuracy of every trial, by name.
    """

    candidate: Candidate
    validation_accuracy: float
    int8_accuracy: float
    verification: Verification
    export: Export
    trials: dict[str, tuple[str, float | None]]


@dataclasses.dataclass(frozen=True)
class Job:
    """What a search trains.

    Attributes:
        source: As in `keras_mobilenet.training.data.load_images`.
        channels: 1 or 3.
        board: The board.
        candidates: What to train, the most promising first.
        folder: Gets the study, the trained models and the sources. Machines that share a study
            share it too: a trial counts where its model is.
        storage: Optuna's storage URL; several processes and machines may share one.
        seconds: Time limit.
        float_epochs: Epochs in float.
        qat_epochs: Epochs with fake quantization.
    """

    source: str
    channels: int
    board: Board
    candidates: Sequence[Candidate]
    folder: pathlib.Path
    storage: str
    seconds: float
    float_epochs: int = FLOAT_EPOCHS
    qat_epochs: int = QAT_EPOCHS

    @property
    def digest(self) -> str:
        """The same search has the same digest, so that it goes on where it was."""
        names = [candidate.name for candidate in self.candidates]
        what = (self.source, self.channels, self.board.id, self.float_epochs, self.qat_epochs)
        return hashlib.sha256(repr((what, names)).encode()).hexdigest()[:8]

    def model_path(self, number: int) -> pathlib.Path:
        """Where a trial's trained model is kept.

        Args:
            number: The trial's number.

        Returns:
            A `.keras` file.
        """
        return self.folder / "trials" / f"{self.digest}-{number:03d}.keras"


class _Report(keras.callbacks.Callback):
    """Tells the study of every epoch, and stops where going on does not pay."""

    def __init__(self, trial: optuna.Trial, job: Job, deadline: float, advance: Callable):
        super().__init__()
        self.trial, self.job, self.deadline, self.advance = trial, job, deadline, advance
        self.best, self.best_epoch = -1.0, 0

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        accuracy = float((logs or {})["val_accuracy"])
        self.trial.report(accuracy, epoch + 1)
        self.advance(epoch + 1)
        if time.monotonic() > self.deadline:
            raise OutOfTimeError
        if epoch < self.job.float_epochs:
            if self.trial.should_prune():
                raise optuna.TrialPruned
        elif accuracy > self.best:
            self.best, self.best_epoch = accuracy, epoch
        elif epoch - self.best_epoch >= PATIENCE_EPOCHS:
            self.model.stop_training = True


class OutOfTimeError(Exception):
    """The time limit passed in the middle of a trial, which is given back."""


def run_search(
    job: Job, advance: Callable[[str, int], None] = lambda name, epoch: None
) -> SearchResult:
    """Trains the candidates of a job until all are done or time is up.

    A trial that was interrupted is trained anew, here or by another process that shares the
    storage; none is lost and none is trained twice.

    Args:
        job: What to train.
        advance: Is told the candidate's name and how many epochs are done.

    Returns:
        The `SearchResult`.

    Raises:
        EdgeError: If no trial ended within the time, or the storage cannot be used.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.search.candidates import plan_candidates
        >>> board, folder = find_board("arduino-zero"), pathlib.Path("found")
        >>> candidates = plan_candidates(board, 32, 1, 10)  # doctest: +SKIP
        >>> best = [candidate for candidate in candidates if candidate.fits][-1:]  # doctest: +SKIP
        >>> job = Job("digits", 1, board, best, folder, study_url(folder), 600)  # doctest: +SKIP
        >>> run_search(job).verification.sentence()  # doctest: +SKIP
        'LiteRT reference == TFLM on 360 of 360 inputs'
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return _run(job, advance)
    except optuna.exceptions.StorageInternalError as error:
        reason = str(error.__cause__ or error).splitlines()[0]
        raise EdgeError(f"The study at {job.storage} takes no more: {reason}") from error


def study_url(folder: pathlib.Path) -> str:
    """Where a search keeps its study if it shares none.

    Args:
        folder: Gets the file `study.db`.

    Returns:
        A storage URL, whatever letters the folder's name has.

    Example:
        >>> study_url(pathlib.Path("/tmp/which one?"))
        'sqlite:////tmp/which one%3F/study.db'
    """
    return URL.create("sqlite", database=str(folder.resolve() / STUDY_FILE)).render_as_string()


def _run(job: Job, advance: Callable[[str, int], None]) -> SearchResult:
    study = _study(job)
    deadline = time.monotonic() + job.seconds
    by_name = {candidate.name: candidate for candidate in job.candidates}

    def objective(trial: optuna.Trial) -> float:
        if _is_surplus(study, trial):
            raise optuna.TrialPruned
        name = trial.suggest_categorical("candidate", list(by_name))
        data = load_images(job.source, by_name[name].side, job.channels).without_test_images()
        report = _Report(trial, job, deadline, lambda epoch: advance(name, epoch))
        # Ended there, the trial falls silent and is taken up again, as after a kill.
        with signals.in_native_code():
            trained = train(
                data,
                alpha=by_name[name].alpha,
                float_epochs=job.float_epochs,
                qat_epochs=job.qat_epochs,
                verbose=0,
                callbacks=[report],
            )
        path = job.model_path(trial.number)
        write_files(path.parent, {path.name: keras_bytes(trained.model)})
        return trained.qat_accuracy

    while time.monotonic() < deadline:
        optuna.storages.fail_stale_trials(study)
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        if TrialState.WAITING in states:
            try:
                study.optimize(objective, n_trials=1)
            except OutOfTimeError:
                break
        elif TrialState.RUNNING in states:
            # Another process's: wait for its end, or for its silence.
            time.sleep(HEARTBEAT_SECONDS)
        else:
            break
    return _result(job, study, by_name)


def _study(job: Job) -> optuna.Study:
    is_new = job.storage == study_url(job.folder) and not (job.folder / STUDY_FILE).exists()
    # SQLite makes a file, no folder.
    write_files(job.folder, {})
    try:
        return _open_study(job)
    except (EdgeError, optuna.exceptions.StorageInternalError):
        if is_new:
            (job.folder / STUDY_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                job.folder.rmdir()
        raise


def _open_study(job: Job) -> optuna.Study:
    study = optuna.create_study(
        storage=open_storage(job.storage),
        study_name=f"{job.source}-{job.board.id}-{job.digest}",
        direction="maximize",
        load_if_exists=True,
        sampler=optuna.samplers.RandomSampler(seed=0),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=FIRST_RUNG_EPOCH, reduction_factor=2
        ),
    )
    # A trial that failed (time was up, Ctrl-C) is queued anew.
    trials = study.get_trials(deepcopy=False)
    alive = {t.user_attrs.get("queued_as") for t in trials if t.state != TrialState.FAIL}
    for candidate in job.candidates:
        if candidate.name not in alive:
            study.enqueue_trial({"candidate": candidate.name}, {"queued_as": candidate.name})
    return study


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Opens what keeps a study.

    Args:
        url: Optuna's storage URL.

    Returns:
        The storage.

    Raises:
        EdgeError: If it cannot be opened.

    Example:
        >>> open_storage("sqlite://").get_all_studies()  # in memory
        []
    """
    # Heartbeats are what makes a killed process's trial come back.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    attempt = 1
    while True:
        try:
            return optuna.storages.RDBStorage(
                url,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
        except (ArgumentError, ImportError) as error:
            raise EdgeError(f"{url!r} is no storage of Optuna's: {error}") from error
        except Exception as error:
            # Of two processes that make the tables at the same moment, one is refused.
            if attempt == OPEN_ATTEMPTS:
                reason = str(error).splitlines()[0]
                raise EdgeError(f"Cannot open the study at {url}: {reason}") from error
            attempt += 1
            time.sleep(HEARTBEAT_SECONDS)


def _is_surplus(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether another process took the last in the queue, or both queued the same at once."""
    name = trial.user_attrs.get("queued_as")
    return name is None or any(
        twin.number < trial.number
        and twin.user_attrs.get("queued_as") == name
        and twin.state != TrialState.FAIL
        for twin in study.get_trials(deepcopy=False)
    )


def _result(job: Job, study: optuna.Study, by_name: dict[str, Candidate]) -> SearchResult:
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
        # Elsewhere first: the folder gets all of it or nothing.
        staging = pathlib.Path(name)
        written = export(graph.content, job.board.id, staging, labels=data.class_names)
        contents = {f"firmware/{file}": (staging / file).read_bytes() for file in written.files}
    contents |= {"model.tflite": written.graph.content, "model.keras": keras_bytes(model)}
    write_files(job.folder, contents)
    written = dataclasses.replace(written, folder=job.folder / "firmware")
    return SearchResult(
        candidate, float(best.value or 0.0), accuracy, proof, written, _summary(trials)
    )


def _summary(trials: Sequence[optuna.trial.FrozenTrial]) -> dict[str, tuple[str, float | None]]:
    """A line per candidate; of a trial that was given out twice, the last word."""
    summary = {}
    for trial in trials:
        name = trial.user_attrs.get("queued_as")
        if name is not None and (name not in summary or "candidate" in trial.params):
            reported = trial.intermediate_values
            value = trial.value if trial.value is not None else max(reported.values(), default=None)
            summary[str(name)] = (trial.state.name.lower(), value)
    return summary
