"""What `train` writes beside the model, and the tables that it prints."""

from __future__ import annotations

import csv
import io
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from edge.cli.tables import right

if TYPE_CHECKING:
    from keras_mobilenet.training.baselines import Baselines
    from keras_mobilenet.training.evaluation import Evaluation
    from keras_mobilenet.training.train import TrainedModel

ENDINGS = {
    "labels": ".labels.txt",
    "history": ".history.csv",
    "curves": ".curves.png",
    "confusion": ".confusion.png",
    "evaluation": ".evaluation.json",
}
"""How the names of the files beside the model end, by what they hold."""


def training_files(out: pathlib.Path) -> dict[str, pathlib.Path]:
    """Names the files that a training writes.

    Args:
        out: The `.keras` file.

    Returns:
        The paths by what they hold.

    Example:
        >>> training_files(pathlib.Path("faces.keras"))["history"].name
        'faces.history.csv'
    """
    return {"model": out} | {name: out.with_suffix(end) for name, end in ENDINGS.items()}


def training_contents(trained: TrainedModel, shown: Mapping[str, Any]) -> dict[str, bytes]:
    """Makes the contents of the files beside the model.

    Args:
        trained: The outcome of the training.
        shown: What is printed as JSON.

    Returns:
        The contents by what they hold.
    """
    from keras_mobilenet.training.pictures import confusion_png, curves_png

    evaluation = trained.evaluation
    names = [figures.name for figures in evaluation.classes]
    return {
        "labels": "".join(f"{name}\n" for name in names).encode("utf-8"),
        "history": history_csv(trained.history).encode("utf-8"),
        "curves": curves_png(trained.history, trained.float_epochs, trained.best_epoch),
        "confusion": confusion_png(evaluation.confusion, names),
        "evaluation": (json.dumps(shown, indent=2) + "\n").encode("utf-8"),
    }


def history_csv(history: Mapping[str, Sequence[float]]) -> str:
    """Writes the figures of each epoch as a table for other programs.

    Args:
        history: The figures by name.

    Returns:
        The text, a line for each epoch.

    Example:
        >>> print(history_csv({"loss": [1.5, 0.25]}), end="")
        epoch,loss
        0,1.5
        1,0.25
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *history])
    writer.writerows([epoch, *row] for epoch, row in enumerate(zip(*history.values(), strict=True)))
    return text.getvalue()


def accuracies_table(trained: TrainedModel, simple: Baselines) -> Table:
    """Shows the network beside simple classifiers, on the same test images.

    Args:
        trained: The outcome of the training.
        simple: What simple classifiers reach.

    Returns:
        A table.
    """
    evaluation = trained.evaluation
    table = Table("", right(f"accuracy on {evaluation.count:,} test images"))
    for name, accuracy in (
        ("float", trained.float_test_accuracy),
        ("int8, simulated", evaluation.accuracy),
        (f"logistic regression, {simple.image_count:,} images", simple.logistic_regression),
        (f"random forest, {simple.image_count:,} images", simple.random_forest),
        ("always the most frequent class", evaluation.chance),
    ):
        table.add_row(name, f"{accuracy:.2%}")
    return table


def classes_table(evaluation: Evaluation) -> Table:
    """Shows how well each class is told from the others.

    Args:
        evaluation: The evaluation on the test images.

    Returns:
        A table.

    Example:
        >>> import numpy as np
        >>> from keras_mobilenet.training.evaluation import evaluate
        >>> classes_table(evaluate(np.eye(2), np.array([0, 1]), ("cat", "dog"))).row_count
        2
    """
    columns = [right(name) for name in ("precision", "recall", "F1", "images")]
    table = Table("class", *columns, title="int8, simulated")
    for figures in evaluation.classes:
        shares = (figures.precision, figures.recall, figures.f1)
        table.add_row(
            escape(figures.name), *(f"{share:.2%}" for share in shares), f"{figures.count:,}"
        )
    return table


def threshold_sentence(evaluation: Evaluation) -> str:
    """Says from which score on an image is taken for the second of two classes.

    Args:
        evaluation: The evaluation on the test images.

    Returns:
        A sentence; empty for other numbers of classes.

    Example:
        >>> import numpy as np
        >>> from keras_mobilenet.training.evaluation import evaluate
        >>> threshold_sentence(evaluate(np.eye(2), np.array([0, 1]), ("cat", "dog")))
        ''
    """
    threshold = evaluation.threshold
    if threshold is None:
        return ""
    positive = threshold.positive
    return (
        f"Take an image for {positive.name!r} from a score of {threshold.score:.2f} on (int8 "
        f"output {threshold.int8}), the best F1 on the validation images: precision "
        f"{positive.precision:.2%}, recall {positive.recall:.2%} on the test images."
    )
