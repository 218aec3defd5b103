"""The state of a training in a folder, from which it goes on after its last whole epoch."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import pathlib
from typing import Any

import keras
import numpy as np

STATE_FILE = "training.json"
FORMAT = 1


@dataclasses.dataclass
class TrainingState:
    """How far a training has come.

    Attributes:
        epoch: The number of whole epochs.
        float_epochs: The number of float epochs; an early stop makes it smaller.
        is_over: Whether there is nothing left to train.
        history: The figures of each epoch, by name.
        best_epoch: The best epoch of this stage, float or int8, counted from 0; None before the
            first.
        best_accuracy: Its validation accuracy, 0 to 1.
        best_weights: Its weights.
        float_validation_accuracy: The float model's accuracy on the validation images; None before
            the end of the float epochs.
        float_test_accuracy: The float model's accuracy on the test images.
    """

    epoch: int
    float_epochs: int
    is_over: bool = False
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    best_epoch: int | None = None
    best_accuracy: float = -math.inf
    best_weights: list[np.ndarray] | None = None
    float_validation_accuracy: float | None = None
    float_test_accuracy: float | None = None


class Backup:
    """A folder with the state of one training; written in whole or not at all.

    Args:
        folder: The folder, made at the first `write`.
        purpose: What is trained on what; the folder of another purpose is refused.
    """

    def __init__(self, folder: pathlib.Path, purpose: str):
        self.folder, self.purpose = folder, purpose
        self._files: dict[str, str] = {}

    def read(self) -> TrainingState | None:
        """Reads the state.

        Returns:
            The state; None if there is none yet.

        Raises:
            ValueError: If the folder holds another training's, or no such files.

        Example:
            >>> print(Backup(pathlib.Path("backup"), "faces").read())
            None
        """
        path = self.folder / STATE_FILE
        if not path.exists():
            return None
        advice = "give another folder, or delete it"
        try:
            kept = json.loads(path.read_text("utf-8"))
            kept_format, kept_purpose = kept["format"], kept["purpose"]
            self._files, fields = kept["files"], kept["state"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is no backup of a training: {advice}.") from error
        if (kept_format, kept_purpose) != (FORMAT, self.purpose):
            raise ValueError(
                f"{self.folder} is the backup of another training (other images, network, options "
                f"or version): {advice}."
            )
        try:
            state = TrainingState(**fields)
            if "best" in self._files:
                with np.load(self.folder / self._files["best"]) as arrays:
                    state.best_weights = [arrays[f"w{n}"] for n in range(len(arrays.files))]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{self.folder} is incomplete ({error}): {advice}.") from error
        return state

    def load_weights(self, model: keras.Model) -> None:
        """Gives a model, its optimizer and its random numbers the state of the last epoch.

        Args:
            model: The compiled model, as it was when it was written.
        """
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / self._files["last"])

    def write(self, model: keras.Model, state: TrainingState) -> None:
        """Writes the state after an epoch in place of the one before.

        Args:
            model: The compiled model.
            state: The state.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files = {"last": f"epoch-{state.epoch:05d}.weights.h5"}
        model.save_weights(self.folder / files["last"], overwrite=True)
        if state.best_weights is not None:
            files["best"] = f"best-{state.best_epoch:05d}-{state.float_epochs:05d}.npz"
            if files["best"] != self._files.get("best"):
                arrays = {f"w{n}": array for n, array in enumerate(state.best_weights)}
                np.savez(self.folder / files["best"], **arrays)
        fields: dict[str, Any] = {
            field.name: getattr(state, field.name)
            for field in dataclasses.fields(state)
            if field.name != "best_weights"
        }
        kept = {"format": FORMAT, "purpose": self.purpose, "files": files, "state": fields}
        draft = self.folder / f"{STATE_FILE}.new"
        draft.write_text(json.dumps(kept), "utf-8")
        # From here on the new files count; a process that is killed before leaves the old ones.
        os.replace(draft, self.folder / STATE_FILE)
        for name in set(self._files.values()) - set(files.values()):
            (self.folder / name).unlink(missing_ok=True)
        self._files = files
