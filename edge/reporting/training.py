"""The course of a training and what came out, as `keras-mobilenet train` wrote it."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from edge.errors import EdgeError
from edge.reporting.figures import Answers, ClassAnswers, Training
from edge.system.files import read_file

CURVES = ("accuracy", "val_accuracy", "loss", "val_loss")


def read_training(path: str | os.PathLike) -> Training:
    """Reads the evaluation that `train` wrote beside a model.

    Args:
        path: The path of the `.evaluation.json` file.

    Returns:
        The `Training`.

    Raises:
        EdgeError: If the file cannot be read, or is no such file.

    Example:
        >>> read_training("none.evaluation.json")
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot read none.evaluation.json: No such file or directory.
    """
    try:
        content = read_file(pathlib.Path(path))
    except OSError as error:
        raise EdgeError(f"Cannot read {os.fspath(path)}: {error.strerror}.") from error
    try:
        return _training(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EdgeError(
            f"{os.fspath(path)} is no evaluation of a training: give the .evaluation.json that "
            "train wrote beside the model."
        ) from error


def _training(found: dict[str, Any]) -> Training:
    history = {name: tuple(map(float, found["history"][name])) for name in CURVES}
    epochs = {len(values) for values in history.values()}
    test, simple = found["test"], found["baselines"]
    float_epochs, best_epoch = int(found["float_epochs"]), int(found["best_epoch"])
    if len(epochs) != 1 or not 0 <= best_epoch < min(epochs):
        raise ValueError("the epochs do not belong together")
    return Training(
        history=history,
        float_epochs=float_epochs,
        best_epoch=best_epoch,
        accuracies=(
            ("int8, simulated", float(test["accuracy"])),
            ("float", float(found["float_test_accuracy"])),
            ("logistic regression", float(simple["logistic_regression"])),
            ("random forest", float(simple["random_forest"])),
            ("always one class", float(test["chance"])),
        ),
        answers=answers_of(test["confusion"], test["classes"]),
    )


def answers_of(confusion: list[list[int]], classes: list[dict[str, Any]]) -> Answers:
    """Makes the figures of all classes from plain values.

    Args:
        confusion: The number of images by class and answer.
        classes: The figures of each class by name.

    Returns:
        The `Answers`.

    Raises:
        ValueError: If there are other numbers of rows or columns than classes.

    Example:
        >>> cat = {"name": "cat", "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 3}
        >>> answers_of([[3]], [cat]).classes[0].name
        'cat'
    """
    rows = tuple(tuple(map(int, row)) for row in confusion)
    if {len(rows), *map(len, rows)} != {len(classes)}:
        raise ValueError("the confusion matrix does not belong to the classes")
    return Answers(
        confusion=rows,
        classes=tuple(
            ClassAnswers(
                name=str(one["name"]),
                precision=float(one["precision"]),
                recall=float(one["recall"]),
                f1=float(one["f1"]),
                count=int(one["count"]),
            )
            for one in classes
        ),
    )
