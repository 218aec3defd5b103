"""Which images are trained on, which choose, and which judge."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from keras_mobilenet.training.image_file import DataError

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1

SUBFOLDER = "subfolder"
"""In place of a pattern: the images of a folder inside a class's folder stay together."""


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


def groups_of(paths: Sequence[str], pattern: str) -> np.ndarray:
    """Finds which images must stay together: the frames of a video, the pictures of a person.

    Args:
        paths: The paths of the images from the class's folder on, such as `"cat/film1_003.png"`.
        pattern: A regular expression that is searched in each path, of which the first group, or
            the whole match without one, names the images' group; or `"subfolder"` for the name of
            the folder inside the class's folder. The same name in two classes is one group.

    Returns:
        The name of each image's group, an array of str.

    Raises:
        DataError: If the pattern is none, or does not match a path.

    Example:
        >>> groups_of(["cat/film1_003.png", "dog/film2_001.png"], r"(film[0-9]+)_").tolist()
        ['film1', 'film2']
    """
    if pattern == SUBFOLDER:
        names = [path.split("/")[1] if path.count("/") == 2 else "" for path in paths]
        if "" in names:
            raise DataError(
                f"{paths[names.index('')]} lies in no subfolder of its class, by which images are "
                "to stay together: make one, or give a pattern of the names."
            )
        return np.array(names)
    try:
        matches = [re.search(pattern, path) for path in paths]
    except re.error as error:
        raise DataError(f"{pattern!r} is no regular expression: {error}.") from error
    named = [None if match is None else match[match.re.groups and 1] for match in matches]
    for path, name in zip(paths, named, strict=True):
        if name is None:
            raise DataError(
                f"The pattern {pattern!r} does not match {path}: each image's path must say which "
                "others it stays with."
            )
    return np.array(named)


def chosen_by_group(
    labels: np.ndarray, groups: np.ndarray, share: float, seed: int
) -> np.ndarray | None:
    """Chooses about a share of the images, whole groups of them, stratified by class.

    Args:
        labels: The labels, an int64 array of shape (images,).
        groups: The names of the images' groups, an array of shape (images,).
        share: The share of the images to choose.
        seed: The seed of the choice.

    Returns:
        The indices of the chosen images, in ascending order; None if there is no choice that has
        images of each class and leaves some.

    Example:
        >>> labels, groups = np.repeat([0, 1], 6), np.tile(["a", "a", "b", "b", "c", "c"], 2)
        >>> chosen_by_group(labels, groups, 0.2, seed=0).tolist()
        [4, 5, 10, 11]
    """
    from sklearn.model_selection import StratifiedGroupKFold

    classes = np.unique(labels)
    fewest = min(len(np.unique(groups[labels == label])) for label in classes)
    images = np.bincount(labels)[classes]
    folds = min(round(1 / share), fewest, *images)
    if folds < 2:
        return None
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    best, best_distance = None, np.inf
    for _, chosen in splitter.split(labels, labels, groups):
        count = np.bincount(labels[chosen], minlength=classes.max() + 1)[classes]
        distance = np.abs(count / images - share).max()
        if (count > 0).all() and (count < images).all() and distance < best_distance:
            best, best_distance = chosen, distance
    return best


def require_groups(
    labels: np.ndarray, groups: np.ndarray, class_names: Sequence[str], part_count: int
) -> None:
    """Checks that each class has a group for each part.

    Args:
        labels: The labels, an int64 array of shape (images,).
        groups: The names of the images' groups, an array of shape (images,).
        class_names: The classes' names, one per label.
        part_count: The number of parts that the images shall be divided into.

    Raises:
        DataError: If a class has too few groups.

    Example:
        >>> require_groups(np.array([0, 0, 1, 1]), np.array(list("abaa")), ["cat", "dog"], 2)
        Traceback (most recent call last):
        keras_mobilenet.training.image_file.DataError: Class dog has 1 group of images that stay ...
    """
    for label, name in enumerate(class_names):
        count = len(np.unique(groups[labels == label]))
        if count < part_count:
            noun = "group" if count == 1 else "groups"
            raise DataError(
                f"Class {name} has {count} {noun} of images that stay together, and {part_count} "
                "parts need one each: give more, or a pattern that tells more of them apart."
            )
