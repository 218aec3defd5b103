"""What a classifier gets right, class by class, and whether that is more than guessing."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

LEVELS = 256
"""An int8 output has so many: a threshold is one of them, and the firmware compares bytes."""

DOUBTFUL_DEVIATIONS = 2.0
"""Within so many standard deviations of chance, an accuracy may be luck."""


@dataclasses.dataclass(frozen=True)
class ClassFigures:
    """How well one class is told from the others.

    Attributes:
        name: The name of the class.
        precision: The share of the images called so that are so, 0 to 1; 0 if none is called so.
        recall: The share of the images that are so that are called so, 0 to 1.
        f1: The harmonic mean of both, 0 to 1.
        count: The number of images of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclasses.dataclass(frozen=True)
class Threshold:
    """The score from which on an image is taken for the second of two classes.

    Attributes:
        score: The least score, 0 to 1.
        int8: The least output byte of the int8 model, -128 to 127.
        accuracy: The accuracy with this threshold, 0 to 1.
        positive: The figures of the second class with this threshold.
    """

    score: float
    int8: int
    accuracy: float
    positive: ClassFigures


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a classifier makes of images that it has not seen.

    Attributes:
        confusion: The number of images by (class, class that was answered), an int64 array of
            shape (classes, classes).
        classes: The figures of each class.
        threshold: The operating threshold of a classifier of two classes; None for others.
    """

    confusion: np.ndarray
    classes: tuple[ClassFigures, ...]
    threshold: Threshold | None = None

    @functools.cached_property
    def accuracy(self) -> float:
        """The share of right answers, 0 to 1."""
        return float(np.trace(self.confusion) / self.count)

    @functools.cached_property
    def count(self) -> int:
        """The number of images."""
        return int(self.confusion.sum())

    @functools.cached_property
    def chance(self) -> float:
        """The accuracy of always answering the most frequent class, 0 to 1."""
        return float(self.confusion.sum(axis=1).max() / self.count)

    def is_at_chance(self) -> bool:
        """Tells whether always answering the most frequent class does as well.

        Returns:
            Whether the accuracy is less than two standard deviations above chance.

        Example:
            >>> evaluate(np.eye(2)[[0, 1] * 8], [0, 1] * 8, ("cat", "dog")).is_at_chance()
            False
        """
        deviation = math.sqrt(self.chance * (1.0 - self.chance) / self.count)
        return self.accuracy < min(1.0, self.chance + DOUBTFUL_DEVIATIONS * deviation)


def evaluate(
    scores: np.ndarray,
    labels: np.ndarray,
    class_names: tuple[str, ...],
    *,
    least_byte: int | None = None,
) -> Evaluation:
    """Compares a classifier's scores with the labels.

    Args:
        scores: Array of the scores, (images, classes).
        labels: The number of each image's class, an array of shape (images,).
        class_names: The names of the classes, one per label.
        least_byte: The int8 output from which on an image is taken for the second of two classes,
            chosen with `choose_threshold` on other images; None for no threshold.

    Returns:
        The `Evaluation`.

    Raises:
        ValueError: If there are no images, or scores and labels do not belong together.

    Example:
        >>> scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
        >>> evaluation = evaluate(scores, np.array([0, 0, 1]), ("no face", "face"))
        >>> evaluation.confusion.tolist(), evaluation.classes[1].precision
        ([[1, 1], [0, 1]], 0.5)
    """
    labels = np.asarray(labels)
    if scores.shape != (len(labels), len(class_names)) or not len(labels):
        raise ValueError(
            f"{len(labels)} labels of {len(class_names)} classes need as many scores, got an array "
            f"of shape {scores.shape}."
        )
    answers = scores.argmax(axis=1)
    threshold = None
    if least_byte is not None:
        threshold = _threshold(scores[:, 1], labels, class_names, least_byte)
    return Evaluation(
        confusion=confusion_matrix(labels, answers, labels=range(len(class_names))),
        classes=_class_figures(labels, answers, class_names),
        threshold=threshold,
    )


def choose_threshold(scores: np.ndarray, labels: np.ndarray) -> int:
    """Chooses the threshold of two classes: the greatest F1 of the second.

    Args:
        scores: Array of the second class's scores, (images,), 0 to 1.
        labels: The number of each image's class, 0 or 1, an array of shape (images,).

    Returns:
        The least int8 output that is taken for the second class; of those that do equally well,
        the one nearest to a score of a half.

    Example:
        >>> choose_threshold(np.array([0.1, 0.3, 0.6, 0.8]), np.array([0, 0, 1, 1]))
        0
    """
    levels = np.arange(1 - LEVELS // 2, LEVELS // 2)
    called = int8_scores(scores)[None, :] >= levels[:, None]
    hits = (called & (labels == 1)).sum(axis=1)
    f1 = 2.0 * hits / np.maximum(called.sum(axis=1) + (labels == 1).sum(), 1)
    best = levels[f1 == f1.max()]
    return int(best[np.abs(best).argmin()])


def int8_scores(scores: np.ndarray) -> np.ndarray:
    """Rounds scores to the output bytes of the int8 model's softmax.

    Args:
        scores: Array of scores, 0 to 1.

    Returns:
        Array of the same shape, int16 numbers from -128 to 127.

    Example:
        >>> int8_scores(np.array([0.0, 0.5, 1.0])).tolist()
        [-128, 0, 127]
    """
    half = LEVELS // 2
    return np.clip(np.round(scores * LEVELS) - half, -half, half - 1).astype(np.int16)


def _threshold(
    scores: np.ndarray, labels: np.ndarray, class_names: tuple[str, ...], least_byte: int
) -> Threshold:
    answers = (int8_scores(scores) >= least_byte).astype(np.int64)
    return Threshold(
        score=(least_byte + LEVELS // 2) / LEVELS,
        int8=least_byte,
        accuracy=float((answers == labels).mean()),
        positive=_class_figures(labels, answers, class_names)[1],
    )


def _class_figures(
    labels: np.ndarray, answers: np.ndarray, class_names: tuple[str, ...]
) -> tuple[ClassFigures, ...]:
    columns = precision_recall_fscore_support(
        labels, answers, labels=range(len(class_names)), zero_division=0.0
    )
    return tuple(
        ClassFigures(
            name=name,
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            count=int(count),
        )
        for name, precision, recall, f1, count in zip(class_names, *columns, strict=True)
    )
