"""Pictures of a training and of what came out: curves, and the confusion matrix."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

INK, TRAIN, VALIDATION, MARK = "#191c20", "#7aa6d6", "#b3400c", "#565f6a"
MOST_NUMBERS = 20
"""A matrix of more classes has no room for figures in its cells."""


def curves_png(
    history: Mapping[str, Sequence[float]], float_epochs: int, best_epoch: int | None = None
) -> bytes:
    """Draws accuracy and loss over the epochs.

    Args:
        history: The figures of each epoch, by name, as `TrainedModel.history`.
        float_epochs: The number of float epochs; those behind them are int8.
        best_epoch: The epoch that was kept, counted from 0; None for no mark.

    Returns:
        The content of a PNG file.

    Example:
        >>> curves_png({"loss": [1.0, 0.5], "accuracy": [0.5, 0.8]}, 1)[1:4]
        b'PNG'
    """
    figure = _figure((9.0, 3.6))
    for axes, name in zip(figure.subplots(1, 2), ("accuracy", "loss"), strict=True):
        for prefix, label, color in (("", "training", TRAIN), ("val_", "validation", VALIDATION)):
            values = history.get(prefix + name, ())
            axes.plot(range(1, len(values) + 1), values, color=color, label=label)
        # On a middle, where no epoch's point is.
        axes.axvline(float_epochs + 0.5, color=MARK, linestyle="--", linewidth=1)
        axes.annotate(
            "int8",
            (float_epochs + 0.5, 1.0),
            (3, -10),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=8,
            color=MARK,
        )
        if best_epoch is not None and f"val_{name}" in history:
            axes.plot(best_epoch + 1, history[f"val_{name}"][best_epoch], "o", color=VALIDATION)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("epoch", fontsize=8)
        axes.tick_params(labelsize=8)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return _png(figure)


def confusion_png(confusion: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Draws a confusion matrix, each row shaded by its shares.

    Args:
        confusion: The number of images by (class, answer), an array of shape (classes, classes).
        class_names: The names of the classes.

    Returns:
        The content of a PNG file.

    Example:
        >>> confusion_png(np.array([[3, 1], [0, 4]]), ("cat", "dog"))[1:4]
        b'PNG'
    """
    count = len(class_names)
    side = min(9.0, 2.6 + 0.45 * count)
    figure = _figure((side, side))
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    if count <= MOST_NUMBERS:
        for row, column in np.ndindex(*confusion.shape):
            color = "white" if shares[row, column] > 0.6 else INK
            number = f"{confusion[row, column]:,}"
            axes.text(column, row, number, ha="center", va="center", fontsize=8, color=color)
    ticks = range(0, count, max(1, -(-count // 40)))
    names = [_shortened(class_names[n]) for n in ticks]
    # Dollar signs in a name do not begin a formula.
    axes.set_xticks(ticks, names, rotation=90, fontsize=8, parse_math=False)
    axes.set_yticks(ticks, names, fontsize=8, parse_math=False)
    axes.set_xlabel("answer", fontsize=9)
    axes.set_ylabel("class", fontsize=9)
    return _png(figure)


def _shortened(name: str) -> str:
    return name if len(name) <= 20 else f"{name[:17]}..."


def _figure(size: tuple[float, float]) -> Any:
    # A figure of its own needs no display and leaves pyplot's global state alone.
    from matplotlib.figure import Figure

    return Figure(figsize=size, layout="constrained")


def _png(figure: Any) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
