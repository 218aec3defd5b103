"""CIFAR-10 from the archives beside the project: decoded once, 5,000 training images set apart."""

from __future__ import annotations

import functools
import io
import pathlib
import tarfile

import numpy as np
from PIL import Image

DATA = pathlib.Path(__file__).parent.parent.parent / "shared" / "data" / "cifar10"
VALIDATION = 5_000


@functools.cache
def cifar10(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The images, decoded once."""
    path = folder / "cifar10.npz"
    if not path.is_file():
        (train, labels), (test, test_labels) = (read_archive(name) for name in ("train", "test"))
        order = np.random.default_rng(0).permutation(len(train))
        held, kept = order[:VALIDATION], order[VALIDATION:]
        np.savez(
            path,
            train_images=train[kept],
            train_labels=labels[kept],
            validation_images=train[held],
            validation_labels=labels[held],
            test_images=test,
            test_labels=test_labels,
        )
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def read_archive(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The images of an archive, and the numbers of their folders."""
    images, folders = [], []
    with tarfile.open(DATA / f"{name}.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                content = archive.extractfile(member).read()
                images.append(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
                folders.append(member.name.split("/")[-2])
    return np.array(images), np.unique(folders, return_inverse=True)[1]


def accuracy(scores: np.ndarray, labels: np.ndarray) -> float:
    """The share of right answers, in percent."""
    return round(100 * float((scores.reshape(len(labels), -1).argmax(axis=1) == labels).mean()), 2)
