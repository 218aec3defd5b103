"""Where the curves of a training and the cells of a confusion matrix stand on the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edge.reporting.chart import rounded
from edge.reporting.figures import Answers, Training

MOST_CELLS = 20
"""A matrix of more classes cannot be read."""

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
TICKS = 4


def curves(training: Training) -> list[dict[str, Any]]:
    """Places accuracy and loss over the epochs.

    Args:
        training: The course of the training.

    Returns:
        For each of the two the ticks, in percent of the height, the lines as paths in a box of
        1000 x 400, and the places of the first int8 epoch and of the epoch that was kept.

    Example:
        >>> history = {n: (0.5, 0.8) for n in ("accuracy", "val_accuracy", "loss", "val_loss")}
        >>> [part["title"] for part in curves(Training(history, 1, 1, (), None))]
        ['Accuracy', 'Loss']
    """
    return [_curve(training, name) for name in ("accuracy", "loss")]


def _curve(training: Training, name: str) -> dict[str, Any]:
    both = [training.history[name], training.history[f"val_{name}"]]
    finite = [value for values in both for value in values if math.isfinite(value)]
    least, most = min(finite, default=0.0), max(finite, default=1.0)
    step = _step((most - least) / TICKS)
    bottom = math.floor(least / step) * step
    top = max(math.ceil(most / step) * step, bottom + step)
    count = len(both[0])

    def x(epoch: float) -> float:
        return rounded((epoch + 0.5) / count * 100)

    def y(value: float) -> float:
        return rounded((top - value) / (top - bottom) * 100)

    kept = both[1][training.best_epoch]
    shown = "{:.0%}" if name == "accuracy" and step >= 0.01 else "{:.3g}"
    return {
        "title": name.capitalize(),
        "ticks": [
            {"y": y(bottom + n * step), "text": shown.format(bottom + n * step)}
            for n in range(round((top - bottom) / step) + 1)
        ],
        "marks": [{"x": x(n), "text": n + 1} for n in _spread(count)],
        "lines": [
            {"kind": kind, "path": _path(values, x, y)}
            for kind, values in zip(("training", "validation"), both, strict=True)
        ],
        "int8_x": rounded(training.float_epochs / count * 100),
        "kept": {"x": x(training.best_epoch), "y": y(kept)} if math.isfinite(kept) else None,
        "kept_text": f"epoch {training.best_epoch + 1}, {_figure(kept, name)}",
        "last": [_figure(values[-1], name) for values in both],
    }


def _figure(value: float, name: str) -> str:
    return f"{value:.1%}" if name == "accuracy" else f"{value:.3f}"


def _step(rough: float) -> float:
    if rough <= 0:
        return 0.1
    scale = 10.0 ** math.floor(math.log10(rough))
    return next(scale * step for step in STEPS if scale * step >= rough * 0.999)


def _spread(count: int) -> list[int]:
    """At most nine epochs, counted from 0; the first epoch is 1 on the page."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 10**6) if count <= 9 * step)
    return [0] if step > count else list(range(step - 1, count, step))


def _path(values: Sequence[float], x: Any, y: Any) -> str:
    """Lines between epochs; none to or from a loss that is no number."""
    path, is_on = "", False
    for epoch, value in enumerate(values):
        if math.isfinite(value):
            # A line of no length is a dot.
            path += f"{'L' if is_on else 'M'}{x(epoch) * 10:g} {y(value) * 4:g}h0"
        is_on = math.isfinite(value)
    return path


def matrix(answers: Answers) -> list[dict[str, Any]]:
    """Shades a confusion matrix, each row by the roots of its shares.

    Args:
        answers: The answers of a classifier.

    Returns:
        A row for each class, with its cells; none if there are too many classes.

    Example:
        >>> from edge.reporting.training import answers_of
        >>> cat = {"name": "cat", "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 3}
        >>> matrix(answers_of([[3]], [cat]))[0]["cells"][0]["share"]
        100
    """
    if len(answers.classes) > MOST_CELLS:
        return []
    return [
        {
            "name": one.name,
            "cells": [
                {
                    "count": count,
                    # The root, so that a few percent are seen beside the many that are right.
                    "share": rounded(math.sqrt(count / max(sum(row), 1)) * 100),
                    "is_right": column == number,
                    "answer": answers.classes[column].name,
                }
                for column, count in enumerate(row)
            ],
        }
        for number, (one, row) in enumerate(zip(answers.classes, answers.confusion, strict=True))
    ]
