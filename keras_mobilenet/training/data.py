"""Labelled images to train on: sets inside a dependency, folders, keras.datasets."""

from __future__ import annotations

import dataclasses
import gzip
import os
import pathlib

import keras
import numpy as np

from keras_mobilenet.preprocessing.preprocessing import pixels_to_input, resize_pixels
from keras_mobilenet.training.image_file import DataError
from keras_mobilenet.training.image_folder import LeftOut, read_image_folder

DOWNLOADED = ("mnist", "fashion_mnist", "cifar10", "cifar100")
"""The sets of keras.datasets that `load_images` can load; they need a network."""

DEBIAN_FASHION_MNIST = pathlib.Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files: they need no network."""

TEST_SHARE = 0.2
NOTHING_LEFT_OUT = LeftOut()


@dataclasses.dataclass(frozen=True)
class ImageData:
    """Images and labels, split into a part to train on and a part held out.

    Attributes:
        train_pixels: The training images, a uint8 array of shape (images, height, width, channels).
        train_labels: The training labels, an int64 array of shape (images,).
        test_pixels: The held-out images, a uint8 array of shape (images, height, width, channels).
        test_labels: The held-out labels, an int64 array of shape (images,).
        class_names: The classes' names, one per label.
        left_out: What a folder held that is not among the images.
    """

    train_pixels: np.ndarray
    train_labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    left_out: LeftOut = NOTHING_LEFT_OUT

    def without_test_images(self, seed: int = 0) -> ImageData:
        """Holds out a part of the training images in place of the test images.

        Choosing among models needs images of its own: those that chose cannot also judge.

        Args:
            seed: The seed of the split.

        Returns:
            An `ImageData` without any of this one's test images.
        """
        return _split(
            self.train_pixels,
            self.train_labels,
            names=self.class_names,
            seed=seed,
        )

    def train_inputs(self) -> np.ndarray:
        """Converts the training images to the model's input.

        Returns:
            float32 array, (images, height, width, channels).
        """
        return pixels_to_input(self.train_pixels)

    def test_inputs(self) -> np.ndarray:
        """Converts the held-out images to the model's input.

        Returns:
            float32 array, (images, height, width, channels).
        """
        return pixels_to_input(self.test_pixels)


def load_images(source: str, side: int, channels: int, *, seed: int = 0) -> ImageData:
    """Loads a labelled image set, resized to a model's input.

    Args:
        source: The name of the set, or a folder with one subfolder of images per class, or with
            `train/` and `val/` that have those: `read_image_folder` says how it is read. `"digits"`
            are scikit-learn's handwritten digits, `"faces"` scikit-image's `lfw_subset` (face or no
            face); the sets of keras.datasets, such as `"cifar10"`, need a network, but
            `"fashion_mnist"` is read from Debian's package dataset-fashion-mnist if it is there.
        side: The height and width of the resized images, in pixels.
        channels: The number of channels of the images: 1 for gray, 3 for RGB.
        seed: The seed of the split into training and held-out images.

    Returns:
        The `ImageData`; a fifth of the images is held out, stratified by class, where the source
        brings no split of its own.

    Raises:
        DataError: If the source is unknown, unreadable, or too small.

    Example:
        >>> data = load_images("faces", side=32, channels=1)
        >>> data.train_pixels.shape, data.class_names
        ((160, 32, 32, 1), ('no face', 'face'))
    """
    if source in DOWNLOADED:
        return _from_keras(source, side, channels)
    if source == "digits":
        images, labels, names = _digits()
    elif source == "faces":
        images, labels, names = _faces()
    elif os.path.isdir(source):
        return _from_folder(pathlib.Path(source), side, channels, seed)
    else:
        raise DataError(
            f"No data set {source!r}: give 'digits', 'faces', a folder with one subfolder of "
            f"images per class, or one of {', '.join(DOWNLOADED)}."
        )
    return _split(_resized(images, side, channels), labels, names=names, seed=seed)


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


def _from_folder(root: pathlib.Path, side: int, channels: int, seed: int) -> ImageData:
    folder = read_image_folder(root, side, channels)
    train, held_out, names = folder.train, folder.held_out, folder.class_names
    if held_out is None:
        data = _split(train.pixels, train.labels, names=names, seed=seed)
        return dataclasses.replace(data, left_out=folder.left_out)
    return ImageData(
        train_pixels=train.pixels,
        train_labels=train.labels,
        test_pixels=held_out.pixels,
        test_labels=held_out.labels,
        class_names=names,
        left_out=folder.left_out,
    )


def _from_keras(source: str, side: int, channels: int) -> ImageData:
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
    return ImageData(
        train_pixels=_resized(train, side, channels),
        train_labels=train_labels.reshape(-1).astype(np.int64),
        test_pixels=_resized(test, side, channels),
        test_labels=test_labels.reshape(-1).astype(np.int64),
        class_names=tuple(str(n) for n in range(int(train_labels.max()) + 1)),
    )


def _idx(part: str, kind: str) -> np.ndarray:
    """One file of the MNIST format: a big-endian header of the dimensions, then bytes."""
    dimensions = {"images": 3, "labels": 1}[kind]
    path = DEBIAN_FASHION_MNIST / f"{part}-{kind}-idx{dimensions}-ubyte.gz"
    content = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(content, ">u4", dimensions, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _resized(images, side: int, channels: int) -> np.ndarray:
    return np.stack([resize_pixels(image, side, side, channels) for image in images])


def _split(
    pixels: np.ndarray,
    labels: np.ndarray,
    *,
    names: tuple[str, ...],
    seed: int,
) -> ImageData:
    from sklearn.model_selection import train_test_split

    try:
        train_pixels, test_pixels, train_labels, test_labels = train_test_split(
            pixels, labels, test_size=TEST_SHARE, stratify=labels, random_state=seed
        )
    except ValueError as error:
        raise DataError(
            f"{len(labels)} images of {len(names)} classes are too few to hold out a fifth: give "
            f"at least {round(1 / TEST_SHARE)} of each class."
        ) from error
    return ImageData(
        train_pixels=train_pixels,
        train_labels=train_labels,
        test_pixels=test_pixels,
        test_labels=test_labels,
        class_names=names,
    )
