"""What simple classifiers of pixels reach: a network that does not beat them is not worth it."""

from __future__ import annotations

import dataclasses

import numpy as np

from keras_mobilenet.training.data import ImageData
from keras_mobilenet.training.evaluation import Evaluation

LARGEST_SIDE = 16
"""Larger images are averaged down to this: more pixels take longer and are no better."""

MOST_IMAGES = 10_000
"""So many training images at most: it takes minutes at that."""

TREES = 100


@dataclasses.dataclass(frozen=True)
class Baselines:
    """The accuracies of simple classifiers on the test images, 0 to 1.

    Attributes:
        logistic_regression: The accuracy of a logistic regression on the pixels.
        random_forest: The accuracy of a random forest on the pixels.
        image_count: The number of training images that both saw.
    """

    logistic_regression: float
    random_forest: float
    image_count: int


def baselines(data: ImageData, seed: int = 0) -> Baselines:
    """Trains a logistic regression and a random forest on the images that a network trains on.

    Args:
        data: The images; those for validation are not looked at.
        seed: The seed of the forest, and of the choice among very many images.

    Returns:
        The `Baselines`.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> baselines(load_images("faces", 32, 1)).image_count
        144
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    chosen = np.random.default_rng(seed).permutation(len(data.train_labels))[:MOST_IMAGES]
    features, labels = averaged(data.train_pixels[chosen]), data.train_labels[chosen]
    test, test_labels = averaged(data.test_pixels), data.test_labels
    scores = []
    for classifier in (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=300)),
        RandomForestClassifier(TREES, random_state=seed),
    ):
        classifier.fit(features, labels)
        scores.append(float(classifier.score(test, test_labels)))
    return Baselines(*scores, image_count=len(chosen))


def averaged(pixels: np.ndarray) -> np.ndarray:
    """Averages images down to at most 16x16, a row of numbers for each.

    Args:
        pixels: The images, a uint8 array of shape (images, height, width, channels).

    Returns:
        float32 array, (images, numbers), from -1 to 1.

    Example:
        >>> averaged(np.zeros((2, 48, 48, 3), np.uint8)).shape
        (2, 768)
    """
    count, height, width, channels = pixels.shape
    step = max(1, -(-height // LARGEST_SIDE)), max(1, -(-width // LARGEST_SIDE))
    rows, columns = height // step[0], width // step[1]
    cut = pixels[:, : rows * step[0], : columns * step[1]].astype(np.float32)
    blocks = cut.reshape(count, rows, step[0], columns, step[1], channels)
    return blocks.mean(axis=(2, 4)).reshape(count, -1) / 128.0 - 1.0


def doubts(evaluation: Evaluation, simple: Baselines | None = None) -> list[str]:
    """Says why a network may not be worth its flash.

    Args:
        evaluation: The network's evaluation.
        simple: What simple classifiers reach on the same images; None if that is not known.

    Returns:
        A sentence for each reason; none where there is none.

    Example:
        >>> from keras_mobilenet.training.evaluation import evaluate
        >>> guess = evaluate(np.eye(2)[[0] * 20], np.arange(20) % 2, ("cat", "dog"))
        >>> doubts(guess)[0]
        'The network is at chance: 50.0% of 20 test images, always answering one class is right ...'
    """
    found = []
    if evaluation.is_at_chance():
        found.append(
            f"The network is at chance: {evaluation.accuracy:.1%} of {evaluation.count} test "
            f"images, always answering one class is right for {evaluation.chance:.1%}. Train it "
            "for more epochs, or look at the images and their labels."
        )
    if simple is not None:
        for name in ("logistic_regression", "random_forest"):
            accuracy = getattr(simple, name)
            if accuracy > evaluation.accuracy:
                found.append(
                    f"A {name.replace('_', ' ')} on the pixels does better than the network: "
                    f"{accuracy:.1%} against {evaluation.accuracy:.1%} of {evaluation.count} test "
                    "images. Train longer, give more images, or do without the network."
                )
    return found
