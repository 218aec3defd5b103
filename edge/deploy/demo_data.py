"""What the demo trains, and on which images: the best set that this machine can have."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np

from edge.system.subprocesses import run_tool

if TYPE_CHECKING:
    import keras

    from keras_mobilenet.training.data import ImageData

AUTO = "auto"
MOST_TRAIN_IMAGES, MOST_VALIDATION_IMAGES, MOST_TEST_IMAGES = 20_000, 1_000, 1_000
"""Of larger sets: enough to rank networks, few enough for some minutes on two cores."""

DOWNLOAD_LIMIT_S = 60.0
SILENCE_LIMIT_S = 5
"""What a server may take for an answer, and the whole download of CIFAR-10, in seconds."""

DOWNLOAD = f"""
import socket
socket.setdefaulttimeout({SILENCE_LIMIT_S})
import keras
keras.datasets.cifar10.load_data()
"""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A network of the family, and how it is trained.

    Attributes:
        side: The height and width of its images, in pixels.
        channels: The number of their channels.
        stem: The (filters, kernel, strides) of the stem.
        stages: The stages, as `keras_mobilenet.MobileNet` takes them.
        float_epochs: The number of float epochs.
        qat_epochs: The number of epochs with fake quantization.
        is_mirrored: Whether a mirrored image keeps its label.
    """

    side: int
    channels: int
    stem: tuple[int, int, int]
    stages: tuple[tuple[int, ...], ...]
    float_epochs: int
    qat_epochs: int
    is_mirrored: bool = False

    def network(self, classes: int, alpha: float) -> keras.Model:
        """Builds the network, untrained.

        Args:
            classes: The number of classes.
            alpha: The width multiplier.

        Returns:
            The Keras model.

        Example:
            >>> recipe_for("digits").network(10, alpha=1.0).count_params()
            11178
        """
        from keras_mobilenet.models.family import MobileNet

        return MobileNet(
            self.stages,
            (self.side, self.side, self.channels),
            alpha,
            stem=self.stem,
            is_residual=True,
            dropout=0.0,
            classes=classes,
        )


SMALL = ((32, 3, 1, 2), (64, 3, 2, 2), (128, 3, 2))
RECIPES = {
    "cifar10": Recipe(
        side=32,
        channels=3,
        stem=(24, 3, 2),
        stages=((48, 3, 1, 2), (96, 3, 2, 3)),
        float_epochs=8,
        qat_epochs=2,
        is_mirrored=True,
    ),
    "fashion_mnist": Recipe(
        side=28,
        channels=1,
        stem=(16, 3, 2),
        stages=SMALL,
        float_epochs=8,
        qat_epochs=2,
        is_mirrored=True,
    ),
    "digits": Recipe(
        side=16,
        channels=1,
        stem=(16, 3, 1),
        stages=((32, 3, 2, 2), (64, 3, 2, 2)),
        float_epochs=30,
        qat_epochs=8,
    ),
}
OTHER = Recipe(
    side=48,
    channels=1,
    stem=(16, 3, 2),
    stages=(*SMALL, (128, 3, 2)),
    float_epochs=30,
    qat_epochs=8,
)


def recipe_for(source: str) -> Recipe:
    """Finds what is trained on a set.

    Args:
        source: The set, as `keras_mobilenet.training.data.load_images` names it.

    Returns:
        The `Recipe`.

    Example:
        >>> recipe_for("fashion_mnist").side
        28
    """
    return RECIPES.get(source, OTHER)


def best_source() -> tuple[str, str]:
    """Finds the best set that this machine has, or can have within a minute.

    Returns:
        Its name, and a sentence that says why.

    Example:
        >>> source, why = best_source()  # doctest: +SKIP
    """
    from keras_mobilenet.training.data import DEBIAN_FASHION_MNIST

    if _has_cifar10():
        return "cifar10", "CIFAR-10 of keras.datasets."
    if DEBIAN_FASHION_MNIST.is_dir():
        return "fashion_mnist", (
            "CIFAR-10 cannot be had here: Fashion-MNIST of Debian's package dataset-fashion-mnist."
        )
    return "digits", (
        "Neither CIFAR-10 (no network) nor Fashion-MNIST (apt install dataset-fashion-mnist) is "
        "here: scikit-learn's digits, on which a linear model does well."
    )


def _has_cifar10() -> bool:
    """Asks Keras for it in a process that is stopped where the network hangs."""
    # The backend without a long start.
    environment = os.environ | {"KERAS_BACKEND": "numpy", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", DOWNLOAD]
    try:
        done = run_tool(command, env=environment, timeout=DOWNLOAD_LIMIT_S)
    except subprocess.TimeoutExpired:
        return False
    return bool(done.returncode == 0)


def fewer(data: ImageData, seed: int = 0) -> ImageData:
    """Leaves out images of a set that is too large for some minutes.

    Args:
        data: The images.
        seed: The seed of the choice.

    Returns:
        The `ImageData` with at most `MOST_TRAIN_IMAGES`, `MOST_VALIDATION_IMAGES` and
        `MOST_TEST_IMAGES` of its images.

    Example:
        >>> from keras_mobilenet.training.data import load_images
        >>> len(fewer(load_images("digits", 16, 1)).test_labels)
        360
    """
    parts = {}
    limits = (
        ("train", MOST_TRAIN_IMAGES),
        ("validation", MOST_VALIDATION_IMAGES),
        ("test", MOST_TEST_IMAGES),
    )
    for part, most in limits:
        labels = getattr(data, f"{part}_labels")
        kept = np.random.default_rng(seed).permutation(len(labels))[:most]
        parts[f"{part}_labels"] = labels[kept]
        parts[f"{part}_pixels"] = getattr(data, f"{part}_pixels")[kept]
    return dataclasses.replace(data, **parts)
