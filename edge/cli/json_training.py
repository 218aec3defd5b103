"""What `train` prints and writes as JSON: all its keys are in this file."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge.cli.json_boards import fields

if TYPE_CHECKING:
    from keras_mobilenet.training.baselines import Baselines
    from keras_mobilenet.training.evaluation import Evaluation
    from keras_mobilenet.training.train import TrainedModel


def train_json(
    trained: TrainedModel,
    simple: Baselines,
    reasons: list[str],
    files: Mapping[str, pathlib.Path],
) -> dict[str, Any]:
    """What `train` prints, and writes beside the model for `report`.

    Args:
        trained: The outcome of the training.
        simple: What simple classifiers reach on the same images.
        reasons: The reasons why the network may not be worth it.
        files: The files that were written, by what they hold.

    Returns:
        Files, accuracies, 0 to 1, the figures of each class, and the course of the training.
    """
    names = "float_validation_accuracy float_test_accuracy validation_accuracy"
    return {
        "files": {name: str(path) for name, path in files.items()},
        **fields(trained, names),
        "test": evaluation_json(trained.evaluation),
        "baselines": dataclasses.asdict(simple),
        "doubts": reasons,
        **fields(trained, "float_epochs best_epoch history"),
    }


def evaluation_json(evaluation: Evaluation) -> dict[str, Any]:
    """What a classifier makes of images that it has not seen.

    Args:
        evaluation: The evaluation.

    Returns:
        Accuracy and chance, 0 to 1, the figures of each class, the confusion matrix, and the
        threshold of two classes, or None.
    """
    threshold = evaluation.threshold
    return {
        **fields(evaluation, "accuracy chance"),
        "image_count": evaluation.count,
        "classes": [dataclasses.asdict(figures) for figures in evaluation.classes],
        "confusion": evaluation.confusion.tolist(),
        "threshold": None if threshold is None else dataclasses.asdict(threshold),
    }
