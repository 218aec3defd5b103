"""Which images are trained on, which choose, and which judge."""

from __future__ import annotations

import numpy as np

from keras_mobilenet.training.image_file import DataError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1


def chosen_for_test(labels: np.ndarray, class_count: int, seed: int) -> np.ndarray:
    """Chooses a fifth of the images for the test, stratified by class.

    Args:
        labels: The labels, an int64 array of shape (images,).
        class_count: The number of classes.
        seed: The seed of the choice.

    Returns:
        The indices of the test images.

    Raises:
        DataError: If there are too few images.

    Example:
        >>> chosen_for_test(np.repeat([0, 1], 5), 2, seed=0)
        array([4, 8])
    """
    from sklearn.model_selection import train_test_split

    try:
        _, test = train_test_split(
            np.arange(len(labels)), test_size=TEST_SHARE, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"{len(labels)} images of {class_count} classes are too few to hold out a fifth: give "
            f"at least {round(1 / TEST_SHARE)} of each class."
        ) from error
    return test


def chosen_for_validation(labels: np.ndarray, seed: int) -> np.ndarray:
    """Chooses a tenth of the images of each class, at least one, to choose models with.

    Args:
        labels: The labels, an int64 array of shape (images,).
        seed: The seed of the choice.

    Returns:
        The indices of the validation images, in ascending order.

    Raises:
        DataError: If a class has only one image.

    Example:
        >>> chosen_for_validation(np.repeat([0, 1], [20, 4]), seed=0)
        array([12, 16, 21])
    """
    rng = np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        (of_class,) = np.nonzero(labels == label)
        if len(of_class) < 2:
            raise DataError(
                f"Class {label} has one image to train on: give at least two, so that one of them "
                "can choose among models."
            )
        count = max(1, round(VALIDATION_SHARE * len(of_class)))
        chosen.append(rng.choice(of_class, count, replace=False))
    return np.sort(np.concatenate(chosen))
