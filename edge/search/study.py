"""The study of a search: the trials and their results, shared by processes and machines."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import time
import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import TrialState
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SAWarning

from edge.catalog.boards import Board
from edge.converter.keras_files import first_line
from edge.errors import EdgeError
from edge.search.candidates import Candidate
from edge.search.storage_url import masked, masked_url
from edge.system.files import write_files

FLOAT_EPOCHS = 30
QAT_EPOCHS = 8
STUDY_FILE = "study.db"
FIRST_RUNG_EPOCH = 16
"""No trial is stopped earlier, because batch normalization's averages have not settled before."""

HEARTBEAT_SECONDS = 2
OPEN_ATTEMPTS = 3
GRACE_SECONDS = 10
"""A process without a heartbeat for so long is taken for dead, and its trial is given out again."""


@dataclasses.dataclass(frozen=True)
class Job:
    """The candidates to train, and where and how long.

    Attributes:
        source: The images, as `keras_mobilenet.data.load_images` takes them.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        board: The board that the candidates fit.
        candidates: The candidates to train, the most promising first.
        folder: The folder for the study, the trained models and the sources. Machines that share a
            study share the folder too: a trial counts only where its model is.
        storage: Optuna's storage URL; several processes and machines may share one.
        seconds: The time limit in seconds.
        float_epochs: The number of epochs in float.
        qat_epochs: The number of epochs with fake quantization.
        mirror: Whether to train on mirrored images too.
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
    mirror: bool = False

    @property
    def digest(self) -> str:
        """A digest of what is trained: by it, a search that is run again finds its study."""
        names = [candidate.name for candidate in self.candidates]
        what = (
            self.source,
            self.channels,
            self.board.id,
            self.float_epochs,
            self.qat_epochs,
            self.mirror,
        )
        return hashlib.sha256(repr((what, names)).encode()).hexdigest()[:8]

    def model_path(self, number: int) -> pathlib.Path:
        """Returns the path of a trial's trained model.

        Args:
            number: The number of the trial.

        Returns:
            The path of a `.keras` file, which may not exist yet.
        """
        return self.folder / "trials" / f"{self.digest}-{number:03d}.keras"


def study_url(folder: pathlib.Path) -> str:
    """Returns the storage URL of a study that lies in a folder.

    Args:
        folder: The folder for the file `study.db`.

    Returns:
        The URL, in which special characters of the folder's name are escaped.

    Example:
        >>> study_url(pathlib.Path("/tmp/which one?"))
        'sqlite:////tmp/which one%3F/study.db'
    """
    return URL.create("sqlite", database=str(folder.resolve() / STUDY_FILE)).render_as_string()


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Opens the storage of a study.

    Args:
        url: Optuna's storage URL.

    Returns:
        The storage.

    Raises:
        EdgeError: If the storage cannot be opened.

    Example:
        >>> open_storage("sqlite://").get_all_studies()  # in memory
        []
    """
    # Without heartbeats the trial of a killed process would never be given out again.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.simplefilter("ignore", SAWarning)
    attempt = 1
    while True:
        try:
            return optuna.storages.RDBStorage(
                url,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
        except ImportError as error:
            raise EdgeError(
                f"The storage {masked_url(url)} needs a database driver that is not installed: "
                f"{_driver(error)}. Install it with pip, or name another in the URL."
            ) from error
        except ArgumentError as error:
            raise EdgeError(
                f"{masked_url(url)!r} is no storage of Optuna's: {masked(str(error), url)}"
            ) from error
        except Exception as error:
            # Of two processes that create the tables at the same moment, one is refused.
            if attempt == OPEN_ATTEMPTS:
                reason = masked(first_line(error), url)
                raise EdgeError(f"Cannot open the study at {masked_url(url)}: {reason}") from error
            attempt += 1
            time.sleep(HEARTBEAT_SECONDS)


def _driver(error: ImportError) -> str:
    """The name of the missing module; a sentence where a driver lacks a library of its own."""
    cause = error.__cause__ or error.__context__
    name = next((e.name for e in (cause, error) if isinstance(e, ImportError) and e.name), None)
    return name or first_line(error).rstrip(".")


def job_study(job: Job) -> optuna.Study:
    """Opens the study of a job, and queues the candidates that no trial stands for yet.

    Args:
        job: The candidates to train.

    Returns:
        The study, the same for every process that runs this job.

    Raises:
        EdgeError: If the storage cannot be opened.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> job = Job(
        ...     source="digits", channels=1, board=find_board("arduino-zero"), candidates=[],
        ...     folder=pathlib.Path("found"), storage="sqlite://", seconds=60,
        ... )
        >>> job_study(job).get_trials()
        []
    """
    is_new = job.storage == study_url(job.folder) and not (job.folder / STUDY_FILE).exists()
    # SQLite creates the file, but not its folder.
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
    # A trial that failed, because time was up or after Ctrl-C, is queued again.
    trials = study.get_trials(deepcopy=False)
    alive = {t.user_attrs.get("queued_as") for t in trials if t.state != TrialState.FAIL}
    for candidate in job.candidates:
        if candidate.name not in alive:
            study.enqueue_trial({"candidate": candidate.name}, {"queued_as": candidate.name})
    return study


def is_surplus(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Says whether another trial already stands for the same candidate.

    This happens when another process took the last trial in the queue, or when two processes queued
    the same candidate at the same moment.

    Args:
        study: The study.
        trial: The trial that was just given out.

    Returns:
        True if the trial is not to be trained.

    Example:
        >>> study = optuna.create_study()
        >>> is_surplus(study, study.ask())
        True
    """
    name = trial.user_attrs.get("queued_as")
    return name is None or any(
        twin.number < trial.number
        and twin.user_attrs.get("queued_as") == name
        and twin.state != TrialState.FAIL
        for twin in study.get_trials(deepcopy=False)
    )
