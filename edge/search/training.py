"""Trains the networks of a search: each from its last epoch on, wherever that was trained."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
import tarfile
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import optuna
from optuna.trial import FrozenTrial, TrialState

from edge.converter.keras_files import first_line, keras_bytes
from edge.errors import EdgeError
from edge.search.costs import TflmCosts
from edge.search.design import Design, mobilenet_v1
from edge.search.design_graph import graph_of
from edge.search.engine_costs import EngineCosts
from edge.search.images import images_of
from edge.search.proposals import propose
from edge.search.space import Limits, Planner, Space
from edge.search.storage import HEARTBEAT_SECONDS
from edge.search.storage_url import masked, masked_url
from edge.search.study import Job, Note, SharedStudy
from edge.system import signals

if TYPE_CHECKING:
    import keras

    from keras_mobilenet.training.train import TrainedModel

Advance = Callable[[str, int], None]
"""Takes a design's name, and the number of its epochs that are done."""

BACKUP = "backup"


class OutOfTimeError(Exception):
    """The time limit passed in the middle of a trial, which goes back to the queue.

    Args:
        number: The trial's number.

    Example:
        >>> OutOfTimeError(3).number
        3
    """

    def __init__(self, number: int):
        super().__init__(f"Trial {number} ran out of time.")
        self.number = number


def planner_of(job: Job) -> Planner:
    """Makes what finds networks that fit.

    Args:
        job: What is searched for.

    Returns:
        A `Planner`: no network computes more than the MobileNetV1 of the largest side at alpha 1,
        which bounds the time of its training.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> job = Job(
        ...     source="faces", images="", side=32, channels=1, classes=2, seconds=600, trials=4,
        ...     board=find_board("arduino-zero"), folder=pathlib.Path("found"),
        ...     storage="sqlite://", artifacts="artifacts",
        ... )
        >>> planner_of(job).limits.macs
        11440640
    """
    is_engine = job.runtime == "engine"
    space = Space(job.side, job.channels, job.classes, has_compression=is_engine)
    costs = EngineCosts(job.board) if is_engine else TflmCosts(job.board)
    largest = mobilenet_v1(1.0, job.side, job.channels, job.classes)
    return Planner(space, costs, Limits(job.ms, graph_of(largest).total_macs()))


def train_trials(
    job: Job,
    planner: Planner,
    advance: Advance = lambda name, epoch: None,
    note: Note = lambda line: None,
) -> SharedStudy:
    """Trains the networks of a search until all are done or time is up.

    A trial that was interrupted is trained on from its last epoch, here or by another process that
    shares storage and artifacts; none is lost and none is trained twice.

    Args:
        job: What is searched for.
        planner: Finds networks that fit.
        advance: A function that is called with a design's name and its number of epochs done.
        note: Takes lines for the user.

    Returns:
        The study.

    Raises:
        EdgeError: If the storage or the artifacts cannot be used.

    Example:
        >>> shared = train_trials(job, planner_of(job))  # doctest: +SKIP
        >>> [trial.state.name for trial in shared.trials()]  # doctest: +SKIP
        ['COMPLETE', 'COMPLETE', 'PRUNED', 'COMPLETE']
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with storage_errors(job):
        shared = SharedStudy(job, note)
        shared.renew_lost()
        _work(shared, planner, advance)
        return shared


@contextlib.contextmanager
def storage_errors(job: Job) -> Iterator[None]:
    """Says in one line what a storage refuses.

    Args:
        job: The job whose storage it is.

    Yields:
        Nothing.

    Raises:
        EdgeError: In place of Optuna's error.

    Example:
        >>> import types
        >>> job = types.SimpleNamespace(storage="sqlite:///study.db")
        >>> with storage_errors(job):
        ...     raise optuna.exceptions.StorageInternalError("it is full")
        Traceback (most recent call last):
        edge.errors.EdgeError: The study at sqlite:///study.db takes no more: it is full
    """
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        reason = masked(first_line(error.__cause__ or error), job.storage)
        raise EdgeError(
            f"The study at {masked_url(job.storage)} takes no more: {reason}"
        ) from error


def _work(shared: SharedStudy, planner: Planner, advance: Advance) -> None:
    job, study = shared.job, shared.study
    deadline = time.monotonic() + job.seconds

    def objective(trial: optuna.Trial) -> float:
        if shared.gives_up(trial):
            raise optuna.TrialPruned
        return _trained_accuracy(shared, trial, deadline, advance)

    while time.monotonic() < deadline:
        optuna.storages.fail_stale_trials(study)
        everything = [trial.state for trial in study.get_trials(deepcopy=False)]
        trials = shared.trials()
        if TrialState.WAITING in everything:
            try:
                study.optimize(objective, n_trials=1)
            except OutOfTimeError as cut:
                shared.give_back(cut.number)
                break
        elif len(trials) < job.trials and _propose(shared, planner, trials):
            continue
        elif TrialState.RUNNING in everything:
            # Another process trains it: wait until it ends or falls silent.
            time.sleep(HEARTBEAT_SECONDS)
        else:
            break
    optuna.storages.fail_stale_trials(study)


def _propose(shared: SharedStudy, planner: Planner, trials: list[FrozenTrial]) -> bool:
    proposal = propose(planner, trials, shared.job.trials, only_plain=shared.job.only_plain)
    if proposal is None:
        return False
    shared.add(*proposal)
    return True


def _trained_accuracy(
    shared: SharedStudy, trial: optuna.Trial, deadline: float, advance: Advance
) -> float:
    """Trains a design, keeps its model, and returns its validation accuracy as int8."""
    design = Design.from_json(trial.user_attrs["design"])
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        backup = pathlib.Path(name) / BACKUP
        checkpoint = shared.artifacts.read(trial.user_attrs.get("checkpoint"))
        if checkpoint is not None:
            _unpack(checkpoint, backup.parent)
        course = _Course(
            shared,
            trial,
            backup=backup,
            deadline=deadline,
            advance=lambda epoch: advance(design.name, epoch),
        )
        # A signal ends the process here; the trial's heartbeat stops, and it is given out again.
        with signals.in_native_code():
            trained = _trained(shared.job, design, backup, course.callback())
    key = f"{shared.job.name}-{trial.number}-{uuid.uuid4().hex[:8]}"
    history = json.dumps(trained.history, default=float).encode()
    for kind, content in (
        ("history", (f"{key}.history.json", history)),
        ("model", (f"{key}.keras", keras_bytes(trained.model))),
    ):
        shared.artifacts.write(*content)
        trial.set_user_attr(kind, content[0])
    course.forget()
    return float(trained.validation_accuracy)


def _trained(
    job: Job, design: Design, backup: pathlib.Path, course: keras.callbacks.Callback
) -> TrainedModel:
    import keras_mobilenet
    from edge.engine.zero_blocks import pruning_block
    from keras_mobilenet.training.augmentation import parse_augmentation
    from keras_mobilenet.training.train import ChanceWarning, train

    data = images_of(job, design.side)
    callbacks: list[keras.callbacks.Callback] = []
    if design.sparsity:
        block = pruning_block(job.board)
        callbacks.append(keras_mobilenet.MagnitudePruning(design.sparsity, block=block))
    with warnings.catch_warnings():
        # Some candidates are bad: that is what they are tried for.
        warnings.simplefilter("ignore", ChanceWarning)
        return train(
            data,
            model=design.build(),
            float_epochs=job.float_epochs,
            qat_epochs=job.qat_epochs,
            augmentation=parse_augmentation(job.augment),
            weight_bits=design.weight_bits,
            verbose=0,
            callbacks=[*callbacks, course],
            backup=backup,
        )


class _Course:
    """Keeps and reports every epoch, and stops a training that no longer pays.

    Args:
        shared: The study.
        trial: The trial.
        backup: The folder in which the training keeps its last epoch.
        deadline: When time is up, by the monotonic clock.
        advance: Takes the number of epochs done.
    """

    def __init__(
        self,
        shared: SharedStudy,
        trial: optuna.Trial,
        backup: pathlib.Path,
        deadline: float,
        advance: Callable[[int], None],
    ):
        self._shared, self._trial, self._backup = shared, trial, backup
        self._deadline, self._advance = deadline, advance
        self._checkpoint: str | None = trial.user_attrs.get("checkpoint")

    def callback(self) -> keras.callbacks.Callback:
        # Keras takes seconds to import.
        import keras

        return keras.callbacks.LambdaCallback(on_epoch_end=self._on_epoch_end)

    def _on_epoch_end(self, epoch: int, logs: dict) -> None:
        job = self._shared.job
        self._keep()
        done, accuracy = epoch + 1, float(logs["val_accuracy"])
        self._trial.report(accuracy, done)
        self._advance(done)
        if done == job.float_epochs + job.qat_epochs:
            return
        is_float = done <= job.float_epochs
        if is_float and self._shared.is_behind(self._trial.number, done, accuracy):
            self.forget()
            raise optuna.TrialPruned
        if time.monotonic() > self._deadline:
            raise OutOfTimeError(self._trial.number)

    def _keep(self) -> None:
        """Puts the epoch into the store; the one before stays until the study knows this one."""
        name = f"{self._shared.job.name}-{self._trial.number}-{uuid.uuid4().hex[:8]}.checkpoint"
        self._shared.artifacts.write(name, _packed(self._backup))
        self._trial.set_user_attr("checkpoint", name)
        self._shared.artifacts.remove(self._checkpoint)
        self._checkpoint = name

    def forget(self) -> None:
        """Removes the checkpoint of a trial that has come to its end."""
        self._shared.artifacts.remove(self._checkpoint)


def _packed(folder: pathlib.Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        tar.add(folder, arcname=BACKUP)
    return content.getvalue()


def _unpack(content: bytes, folder: pathlib.Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(folder, filter="data")
