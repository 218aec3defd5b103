"""Labelled images to train on: sets inside a dependency, folders, keras.datasets."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import os
import pathlib

import keras
import numpy as np

from keras_mobilenet.preprocessing.preprocessing import pixels_to_input, resize_pixels
from keras_mobilenet.training.image_file import DataError
from keras_mobilenet.training.image_folder import LabelledImages, LeftOut, read_image_folder
from keras_mobilenet.training.splits import (
    TEST_SHARE,
    VALIDATION_SHARE,
    chosen_by_group,
    chosen_for_test,
    chosen_for_validation,
    groups_of,
    require_groups,
)

DOWNLOADED = ("mnist", "fashion_mnist", "cifar10", "cifar100")
"""The sets of keras.datasets that `load_images` can load; they need a network."""

DEBIAN_FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files: they need no network."""

NOTHING_LEFT_OUT = LeftOut()


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Images and labels in three parts: to train on, to choose among models, and to judge one.

    Nothing is chosen on the images that it is measured on.

    Attributes:
        train_pixels: The training images, a uint8 array of shape (images, height, width, channels).
        train_labels: The training labels, an int64 array of shape (images,).
        validation_pixels: The images that choose among models and epochs, a uint8 array alike.
        validation_labels: Their labels, an int64 array of shape (images,).
        test_pixels: The images that judge and never choose, a uint8 array alike.
        test_labels: Their labels, an int64 array of shape (images,).
        class_names: The classes' names, one per label.
        left_out: What a folder held that is not among the images.
    """

    train_pixels: np.ndarray
    train_labels: np.ndarray
    validation_pixels: np.ndarray
    validation_labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    left_out: LeftOut = NOTHING_LEFT_OUT

    @property
    def digest(self) -> str:
        """What tells these images from all others: the SHA-256 of pixels, labels and class names.

        Returns:
            64 hexadecimal digits.
        """
        digest = hashlib.sha256(repr(self.class_names).encode("utf-8"))
        for part in ("train", "validation", "test"):
            for kind in ("pixels", "labels"):
                array = np.ascontiguousarray(getattr(self, f"{part}_{kind}"))
                digest.update(f"{array.dtype}{array.shape}".encode("ascii"))
                digest.update(array.data)
        return digest.hexdigest()

    def class_weights(self) -> dict[int, float]:
        """Computes weights with which each class counts the same, however many images it has.

        Returns:
            The weight of each class by its label: the number of training images over that of the
            class and that of classes, scikit-learn's "balanced".

        Example:
            >>> load_images("faces", side=32, channels=1).class_weights()
            {0: 1.0, 1: 1.0}
        """
        from sklearn.utils.class_weight import compute_class_weight

        classes = np.unique(self.train_labels)
        weights = compute_class_weight("balanced", classes=classes, y=self.train_labels)
        return {int(label): float(weight) for label, weight in zip(classes, weights, strict=True)}

    def train_inputs(self) -> np.ndarray:
        """Converts the training images to the model's input.

        Returns:
            float32 array, (images, height, width, channels).
        """
        return pixels_to_input(self.train_pixels)

    def validation_inputs(self) -> np.ndarray:
        """Converts the validation images to the model's input.

        Returns:
            float32 array, (images, height, width, channels).
        """
        return pixels_to_input(self.validation_pixels)

    def test_inputs(self) -> np.ndarray:
        """Converts the test images to the model's input.

        Returns:
            float32 array, (images, height, width, channels).
        """
        return pixels_to_input(self.test_pixels)


def load_images(
    source: str, side: int, channels: int, *, seed: int = 0, groups: str | None = None
) -> ImageData:
    """Loads a labelled image set, resized to a model's input.

    Args:
        source: The name of the set, or a folder with one subfolder of images per class, or with
            `train/` and `val/`, `test/` or both that have those: `read_image_folder` says how it is
            read. `"digits"`
            are scikit-learn's handwritten digits, `"faces"` scikit-image's `lfw_subset` (face or no
            face); the sets of keras.datasets, such as `"cifar10"`, need a network, but
            `"fashion_mnist"` is read from Debian's package dataset-fashion-mnist if it is there.
        side: The height and width of the resized images, in pixels.
        channels: The number of channels of the images: 1 for gray, 3 for RGB.
        seed: The seed of the split into training, validation and test images.
        groups: A regular expression on the paths of a folder's images, `class/name.png`, whose
            match, or its first group, names the images that stay together in one part, such as the
            frames of a video; `"subfolder"` for those of a folder inside the class's folder. None
            where any image may go anywhere.

    Returns:
        The `ImageData`. Where the source brings no test images, a fifth of the images becomes
        those, stratified by class; where it brings no validation images, a tenth of each class's
        remaining ones, at least one.

    Raises:
        DataError: If the source is unknown, unreadable, or too small, or the groups cannot be told
            apart or divided.

    Example:
        >>> data = load_images("faces", side=32, channels=1)
        >>> data.train_pixels.shape, data.class_names
        ((144, 32, 32, 1), ('no face', 'face'))
    """
    if groups is not None and not os.path.isdir(source):
        raise DataError(f"groups are of a folder's images, and {source!r} is no folder.")
    if source in DOWNLOADED:
        return _from_keras(source, side, channels, seed)
    if source == "digits":
        images, labels, names = _digits()
    elif source == "faces":
        images, labels, names = _faces()
    elif os.path.isdir(source):
        return _from_folder(pathlib.Path(source), side, channels, seed, groups)
    else:
        raise DataError(
            f"No data set {source!r}: give 'digits', 'faces', a folder with one subfolder of "
            f"images per class, or one of {', '.join(DOWNLOADED)}."
        )
    everything = LabelledImages(_resized(images, side, channels), labels)
    return _in_parts(everything, names=names, seed=seed)


def _digits():
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255.0 / 16.0)).astype(np.uint8)
    return list(pixels), digits.target.astype(np.int64), tuple(str(n) for n in range(10))


def _faces():
    from skimage.data import lfw_subset

    pixels = np.round(lfw_subset() * 255.0).astype(np.uint8)
    # The first half are faces: scikit-image's documentation of lfw_subset.
    labels = (np.arange(len(pixels)) < len(pixels) // 2).astype(np.int64)
    return list(pixels), labels, ("no face", "face")


def _from_folder(
    root: pathlib.Path, side: int, channels: int, seed: int, groups: str | None
) -> ImageData:
    folder = read_image_folder(root, side, channels, has_subfolders=groups is not None)
    return _in_parts(
        folder.train,
        folder.validation,
        folder.test,
        names=folder.class_names,
        seed=seed,
        left_out=folder.left_out,
        groups=groups,
    )


def _from_keras(source: str, side: int, channels: int, seed: int) -> ImageData:
    try:
        if source == "fashion_mnist" and DEBIAN_FASHION_MNIST.is_dir():
            parts = [
                [_idx(part, kind) for kind in ("images", "labels")] for part in ("train", "t10k")
            ]
        else:
            parts = getattr(keras.datasets, source).load_data()
        (train, train_labels), (test, test_labels) = parts
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"keras.datasets.{source} could not be had ({reason}); without a network use "
            "'digits', 'faces' or a folder."
        ) from error
    train_images, test_images = (
        LabelledImages(_resized(images, side, channels), part_labels.reshape(-1).astype(np.int64))
        for images, part_labels in ((train, train_labels), (test, test_labels))
    )
    names = tuple(str(n) for n in range(int(train_labels.max()) + 1))
    return _in_parts(train_images, test=test_images, names=names, seed=seed)


def _idx(part: str, kind: str) -> np.ndarray:
    """One file of the MNIST format: a big-endian header of the dimensions, then bytes."""
    dimensions = {"images": 3, "labels": 1}[kind]
    path = DEBIAN_FASHION_MNIST / f"{part}-{kind}-idx{dimensions}-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _resized(images, side: int, channels: int) -> np.ndarray:
    return np.stack([resize_pixels(image, side, side, channels) for image in images])


def _in_parts(
    train: LabelledImages,
    validation: LabelledImages | None = None,
    test: LabelledImages | None = None,
    *,
    names: tuple[str, ...],
    seed: int,
    left_out: LeftOut = NOTHING_LEFT_OUT,
    groups: str | None = None,
) -> ImageData:
    """Takes the parts that are missing from the training images."""
    if groups is not None:
        parts = 1 + (test is None) + (validation is None)
        require_groups(train.labels, groups_of(train.paths, groups), names, parts)
    if test is None:
        if groups is None:
            train, test = train.parted(chosen_for_test(train.labels, len(names), seed))
        else:
            train, test = _parted_by_group(train, groups, TEST_SHARE, seed)
    if validation is None:
        if groups is None:
            train, validation = train.parted(chosen_for_validation(train.labels, seed))
        else:
            train, validation = _parted_by_group(train, groups, VALIDATION_SHARE, seed)
    return ImageData(
        train_pixels=train.pixels,
        train_labels=train.labels,
        validation_pixels=validation.pixels,
        validation_labels=validation.labels,
        test_pixels=test.pixels,
        test_labels=test.labels,
        class_names=names,
        left_out=left_out,
    )


def _parted_by_group(
    images: LabelledImages, groups: str, share: float, seed: int
) -> tuple[LabelledImages, LabelledImages]:
    chosen = chosen_by_group(images.labels, groups_of(images.paths, groups), share, seed)
    if chosen is None:
        raise DataError(
            f"The images that stay together by {groups!r} cannot be divided so that each part has "
            "images of each class: give more groups."
        )
    return images.parted(chosen)
