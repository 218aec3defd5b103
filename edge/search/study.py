"""The study of a search: its trials and what became of them, shared by processes and machines."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from edge.catalog.boards import Board
from edge.errors import EdgeError
from edge.search.artifacts import Artifacts
from edge.search.costs import Costs
from edge.search.design import Design
from edge.search.storage import STUDY_FILE, open_storage, study_url
from edge.search.storage_url import masked_url
from edge.system.files import write_files

FLOAT_EPOCHS = 30
QAT_EPOCHS = 8
FIRST_RUNG_SHARE = 4
"""No trial is stopped before this part of the float epochs: early accuracies say too little."""

SURPLUS = "surplus"
QUEUED = ("design", "costs", "choice")
"""What a trial knows before it is trained."""

Note = Callable[[str], None]
"""Takes a line for the user."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is searched for, and where and how long.

    Attributes:
        source: The images, as `keras_mobilenet.data.load_images` takes them.
        images: The digest of their content.
        side: The largest height and width of the input, in pixels.
        channels: The number of color channels: 1 (gray) or 3 (RGB).
        classes: The number of classes.
        board: The board that the networks must fit.
        folder: The folder for the result, and for study and artifacts where these have no other.
        storage: Optuna's storage URL; several processes and machines may share one.
        artifacts: The folder or `s3://bucket/prefix` of models and checkpoints, shared as well.
        seconds: The time limit in seconds.
        trials: The number of networks to train.
        runtime: `"engine"` or `"tflm"`: what must fit.
        ms: The most milliseconds that an inference may take on the engine, estimated; None for any.
        float_epochs: The number of epochs in float.
        qat_epochs: The number of epochs with fake quantization.
        augment: What is changed about the training images, as `parse_augmentation` takes it.
        only_plain: Whether only MobileNetV1 at every width and resolution is tried.
    """

    source: str
    images: str
    side: int
    channels: int
    classes: int
    board: Board
    folder: pathlib.Path
    storage: str
    artifacts: str
    seconds: float
    trials: int
    runtime: str = "engine"
    ms: float | None = None
    float_epochs: int = FLOAT_EPOCHS
    qat_epochs: int = QAT_EPOCHS
    augment: tuple[str, ...] = ()
    only_plain: bool = False

    @property
    def options_digest(self) -> str:
        """A digest of all but the images that changes what is trained."""
        what = (
            self.side,
            self.channels,
            self.classes,
            repr(self.board),
            self.runtime,
            self.ms,
            self.float_epochs,
            self.qat_epochs,
            self.augment,
            self.only_plain,
        )
        return hashlib.sha256(repr(what).encode()).hexdigest()[:8]

    @property
    def name(self) -> str:
        """The study's name: by it, a search that is run again finds its study, wherever it runs."""
        return f"{self.board.id}-{self.options_digest}-{self.images[:8]}"


class SharedStudy:
    """A study as its workers see it.

    Args:
        job: What is searched for.
        note: Takes lines for the user.

    Raises:
        EdgeError: If storage or artifacts cannot be used, or are not those of the study.
    """

    def __init__(self, job: Job, note: Note):
        self.job, self._note = job, note
        self.artifacts = Artifacts(job.artifacts)
        self.study = _opened(job)
        self._meet()

    def _meet(self) -> None:
        """Says what is new about the images, and finds out whether this is the study's store."""
        storage, job = self.study._storage, self.job
        known = self.study.user_attrs
        if "store" not in known:
            others = [other for other in storage.get_all_studies() if other.study_name != job.name]
            begin = f"{job.board.id}-{job.options_digest}-"
            if any(
                other.study_name.startswith(begin) and other.user_attrs.get("source") == job.source
                for other in others
            ):
                self._note(
                    f"The images of {job.source} are not those of the last search: a new study "
                    "begins."
                )
            marker = f"store-{uuid.uuid4().hex}"
            self.artifacts.write(marker, job.name.encode())
            self.study.set_user_attr("source", job.source)
            self.study.set_user_attr("artifacts", self.artifacts.location)
            self.study.set_user_attr("store", marker)
        elif self.artifacts.read(known["store"]) is None:
            if known["artifacts"] != self.artifacts.location:
                raise EdgeError(
                    f"The models of the study at {masked_url(job.storage)} are in "
                    f"{known['artifacts']}, not in {self.artifacts.location}: give the place that "
                    "all workers share with --artifacts."
                )
            self.artifacts.write(known["store"], job.name.encode())

    def trials(self) -> list[FrozenTrial]:
        """Lists the trials.

        Returns:
            The trials of designs, those left out that stood for one that another stands for.
        """
        standing = _standing(self.study.get_trials(deepcopy=False))
        lost = self._lost()
        return [
            trial
            for trial in standing
            if trial.number not in lost and not _has_twin(trial, standing, lost)
        ]

    def add(self, design: Design, costs: Costs, choice: dict[str, Any] | None) -> None:
        """Queues a design.

        Args:
            design: The design.
            costs: What it takes.
            choice: What was chosen of the space; None for a MobileNetV1.
        """
        attrs = {"design": design.to_json(), "costs": json.dumps(dataclasses.asdict(costs))}
        attrs |= {"choice": json.dumps(choice)} if choice is not None else {}
        self.study.enqueue_trial({}, attrs)

    def give_back(self, number: int) -> None:
        """Queues a trial again that was cut, with its checkpoint.

        Args:
            number: The trial's number.
        """
        trial = self.study.get_trials(deepcopy=False)[number]
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.WAITING,
                user_attrs=trial.user_attrs,
                system_attrs={"fixed_params": {}},
                intermediate_values=trial.intermediate_values,
            )
        )

    def gives_up(self, trial: optuna.Trial) -> bool:
        """Says whether an earlier trial already stands for the same design, and marks this one.

        This happens where two processes queue the same design at the same moment.

        Args:
            trial: The trial that was just given out.

        Returns:
            True if the trial is not to be trained.
        """
        trials = self.study.get_trials(deepcopy=False)
        is_surplus = _has_twin(trials[trial.number], _standing(trials), self._lost())
        if is_surplus:
            # Where the earlier one fails, this one must not stand in the way of its successor.
            trial.set_user_attr(SURPLUS, True)
        return is_surplus

    def is_behind(self, number: int, epoch: int, accuracy: float) -> bool:
        """Says whether a training no longer pays, by asynchronous successive halving.

        Optuna's own pruner counts a trial that was cut as a rival of the one that goes on with its
        training, so that an epoch below an earlier one of its own can end it.

        Args:
            number: The trial's number.
            epoch: The number of float epochs done.
            accuracy: The validation accuracy after that epoch.

        Returns:
            True if the epoch is a rung and the trial not in the better half of those that reached
            it. The first rung is a quarter of the float epochs, each other twice the one before.
        """
        rungs, rest = divmod(epoch, max(1, self.job.float_epochs // FIRST_RUNG_SHARE))
        if rest or rungs & (rungs - 1):
            return False
        others = [
            trial.intermediate_values[epoch]
            for trial in self.trials()
            if trial.number != number and epoch in trial.intermediate_values
        ]
        best_first = sorted([accuracy, *others], reverse=True)
        return accuracy < best_first[max(0, len(best_first) // 2 - 1)]

    def model_of(self, trial: FrozenTrial) -> bytes | None:
        """Reads the trained model of a trial.

        Args:
            trial: A trial that is complete.

        Returns:
            The `.keras` file's bytes; None if it is gone.
        """
        return self.artifacts.read(trial.user_attrs.get("model"))

    def renew_lost(self) -> None:
        """Queues the complete trials again whose models are gone, with a line for each."""
        for trial in self.trials():
            if trial.state == TrialState.COMPLETE and self.model_of(trial) is None:
                name = Design.from_json(trial.user_attrs["design"]).name
                self._note(
                    f"The model of {name} is not in {self.artifacts.location} any more: it is "
                    "trained again."
                )
                self.study.set_user_attr("lost", sorted({*self._lost(), trial.number}))
                # Without the epochs that it reported: it reports them anew.
                kept = {k: v for k, v in trial.user_attrs.items() if k in QUEUED}
                self.study.enqueue_trial({}, kept)

    def _lost(self) -> set[int]:
        return set(self.study.user_attrs.get("lost", ()))


def _standing(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [
        trial
        for trial in trials
        if trial.state != TrialState.FAIL and SURPLUS not in trial.user_attrs
    ]


def _has_twin(trial: FrozenTrial, trials: Sequence[FrozenTrial], lost: set[int]) -> bool:
    design = trial.user_attrs.get("design")
    return design is None or any(
        twin.number < trial.number
        and twin.user_attrs.get("design") == design
        and twin.number not in lost
        for twin in trials
    )


def _opened(job: Job) -> optuna.Study:
    """The study; a file that was made for one that cannot be opened does not stay."""
    is_new = job.storage == study_url(job.folder) and not (job.folder / STUDY_FILE).exists()
    # SQLite creates the file, but not its folder.
    write_files(job.folder, {})
    try:
        return optuna.create_study(
            storage=open_storage(job.storage),
            study_name=job.name,
            direction="maximize",
            load_if_exists=True,
            sampler=optuna.samplers.RandomSampler(seed=0),
            pruner=optuna.pruners.NopPruner(),
        )
    except (EdgeError, optuna.exceptions.StorageInternalError):
        if is_new:
            (job.folder / STUDY_FILE).unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                job.folder.rmdir()
        raise
