"""Reads a folder of images: a subfolder per class, or `train/`, `val/`, `test/` with those."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import stat

import numpy as np

from keras_mobilenet.training.image_file import IMAGE_SUFFIXES, DataError, read_image

TRAIN_NAMES = ("train", "training")
VALIDATION_NAMES = ("val", "valid", "validation")
TEST_NAMES = ("test", "testing")
"""The folders that bring a split of their own; of several for one part the first here is it."""

HIDDEN_NAMES = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin")
"""What systems leave in folders, beside names that begin with a dot."""

NAMED_ENTRIES = 3
NAME_LETTERS = 40


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """What a folder holds that is not among the images, and what was changed about those.

    Attributes:
        others: The names of entries that are no images: files of other types, folders inside a
            class, pipes and devices.
        hidden_count: How many hidden entries there are.
        on_white_count: How many images are transparent somewhere and were put on white.
    """

    others: tuple[str, ...] = ()
    hidden_count: int = 0
    on_white_count: int = 0

    def sentence(self) -> str:
        """Says it in a line for the user.

        Returns:
            A line of at most 300 letters; empty if there is nothing to say.

        Example:
            >>> LeftOut(("cat/notes.txt",), hidden_count=2).sentence()
            'Left out: 1 entry that is no image (cat/notes.txt), 2 hidden.'
        """
        parts = []
        if self.others:
            named = [_shortened(name) for name in self.others[:NAMED_ENTRIES]]
            more = ", ..." if len(self.others) > NAMED_ENTRIES else ""
            noun = (
                "entry that is no image" if len(self.others) == 1 else "entries that are no images"
            )
            parts.append(f"{len(self.others)} {noun} ({', '.join(named)}{more})")
        if self.hidden_count:
            parts.append(f"{self.hidden_count} hidden")
        sentences = [f"Left out: {', '.join(parts)}."] if parts else []
        if self.on_white_count:
            sentences.append(f"Transparent pixels of {self.on_white_count} images became white.")
        return " ".join(sentences)


@dataclasses.dataclass(frozen=True)
class LabelledImages:
    """Images of a folder and their labels.

    Attributes:
        pixels: The images, a uint8 array of shape (images, side, side, channels).
        labels: The number of each image's class, an int64 array of shape (images,).
        paths: The paths of a folder's images, from the class's folder on; empty otherwise.
    """

    pixels: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...] = ()

    def parted(self, indices: np.ndarray) -> tuple[LabelledImages, LabelledImages]:
        """Takes a part out.

        Args:
            indices: The indices of the images to take out, an int64 array of shape (taken,).

        Returns:
            The images that stay, and those that are taken out.

        Example:
            >>> images = LabelledImages(np.zeros((3, 8, 8, 1), np.uint8), np.array([0, 1, 2]))
            >>> [part.labels.tolist() for part in images.parted(np.array([1]))]
            [[0, 2], [1]]
        """
        kept = np.setdiff1d(np.arange(len(self.labels)), indices)
        stays, taken = (
            LabelledImages(
                self.pixels[chosen],
                self.labels[chosen],
                tuple(self.paths[index] for index in chosen) if self.paths else (),
            )
            for chosen in (kept, indices)
        )
        return stays, taken


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """What a folder of images holds.

    Attributes:
        train: The images to train on; all images if the folder brings no split.
        validation: The validation images of a folder that brings them; None otherwise.
        test: The test images of a folder that brings them; None otherwise.
        class_names: The names of the classes, one per label.
        left_out: What is not among the images.
    """

    train: LabelledImages
    validation: LabelledImages | None
    test: LabelledImages | None
    class_names: tuple[str, ...]
    left_out: LeftOut


def read_image_folder(
    root: pathlib.Path, side: int, channels: int, *, has_subfolders: bool = False
) -> ImageFolder:
    """Reads a folder with one subfolder of images per class.

    A folder with `train/` and `val/`, `test/` or both, each of which has the subfolders, brings a
    split of its own. Hidden entries are skipped, and pipes and devices are not
    opened. Images are read by `read_image`, one at a time.

    Args:
        root: The path of the folder.
        side: The height and width of the resized images, in pixels.
        channels: The number of channels of the images: 1 for gray, 3 for RGB.
        has_subfolders: Whether folders inside a class are read, such as the frames of a video each.

    Returns:
        The `ImageFolder`.

    Raises:
        DataError: If a folder or an image cannot be read, or there are too few classes or images.

    Example:
        >>> from PIL import Image
        >>> for name in ("cat", "dog"):
        ...     pathlib.Path("animals", name).mkdir(parents=True)
        ...     for number in range(2):
        ...         Image.new("L", (64, 48)).save(f"animals/{name}/{number}.png")
        >>> read_image_folder(pathlib.Path("animals"), 32, 1).train.pixels.shape
        (4, 32, 32, 1)
    """
    try:
        return _Reader(root, side, channels, has_subfolders).read()
    except OSError as error:
        raise DataError(f"Cannot read {error.filename or root}: {error.strerror}.") from error


class _Reader:
    def __init__(self, root: pathlib.Path, side: int, channels: int, has_subfolders: bool):
        self.root, self.side, self.channels = root, side, channels
        self.has_subfolders = has_subfolders
        self.others: list[str] = []
        self.hidden_count = self.on_white_count = 0

    def read(self) -> ImageFolder:
        folders = self._class_folders(self.root)
        split = _own_split(folders)
        root, held_out = self.root, {}
        if split is not None:
            self.others += [f"{path.name}/" for path in folders if path not in split.values()]
            root = split.pop("train")
            folders = self._class_folders(root)
            held_out = {part: self._held_out(path, folders) for part, path in split.items()}
        train = self._images(root, folders, least=2)
        return ImageFolder(
            train=train,
            validation=held_out.get("validation"),
            test=held_out.get("test"),
            class_names=tuple(folder.name for folder in folders),
            left_out=LeftOut(tuple(self.others), self.hidden_count, self.on_white_count),
        )

    def _held_out(self, root: pathlib.Path, train: list[pathlib.Path]) -> LabelledImages:
        names = [folder.name for folder in train]
        here = self._class_folders(root)
        unknown = [folder.name for folder in here if folder.name not in names]
        if unknown:
            raise DataError(f"{root / unknown[0]} is a class that has no images to train on.")
        return self._images(root, [root / name for name in names], least=1)

    def _class_folders(self, root: pathlib.Path) -> list[pathlib.Path]:
        return [path for path in self._shown(root) if self._is_class(path)]

    def _is_class(self, path: pathlib.Path) -> bool:
        # A link to a folder that it lies in has no end.
        place = pathlib.Path(os.path.realpath(path.parent))
        if path.is_dir() and not place.is_relative_to(os.path.realpath(path)):
            return True
        self._leave_out(path)
        return False

    def _images(
        self, root: pathlib.Path, folders: list[pathlib.Path], least: int
    ) -> LabelledImages:
        if len(folders) < 2:
            raise DataError(f"{root} must have one subfolder of images per class, at least two.")
        pixels, labels, places = [], [], []
        for label, folder in enumerate(folders):
            paths = self._image_paths(folder)
            if len(paths) < least:
                few = "no image" if least == 1 else "fewer than two images"
                raise DataError(f"{folder} holds {few} ({', '.join(IMAGE_SUFFIXES)}).")
            for path in paths:
                image = read_image(path, self.side, self.channels)
                self.on_white_count += image.is_on_white
                pixels.append(image.pixels)
                labels.append(label)
                places.append(path.relative_to(root).as_posix())
        return LabelledImages(np.stack(pixels), np.array(labels, np.int64), tuple(places))

    def _image_paths(self, folder: pathlib.Path) -> list[pathlib.Path]:
        paths = []
        for path in self._shown(folder):
            if self.has_subfolders and path.is_dir() and not path.is_symlink():
                paths += [inner for inner in self._shown(path) if self._is_image(inner)]
            elif self._is_image(path):
                paths.append(path)
        return paths

    def _is_image(self, path: pathlib.Path) -> bool:
        # A link to nothing is refused by name, as an image that cannot be read.
        is_file = not path.exists() or stat.S_ISREG(path.stat().st_mode)
        if is_file and path.suffix.lower() in IMAGE_SUFFIXES:
            return True
        self._leave_out(path)
        return False

    def _shown(self, folder: pathlib.Path) -> list[pathlib.Path]:
        entries = sorted(folder.iterdir())
        shown = [path for path in entries if not _is_hidden(path.name)]
        self.hidden_count += len(entries) - len(shown)
        return shown

    def _leave_out(self, path: pathlib.Path) -> None:
        self.others.append(str(path.relative_to(self.root)) + "/" * path.is_dir())


def _own_split(folders: list[pathlib.Path]) -> dict[str, pathlib.Path] | None:
    """The folders of the parts by the part's name, if all folders are parts of a split."""
    by_name = {folder.name.lower(): folder for folder in folders}
    parts = {"train": TRAIN_NAMES, "validation": VALIDATION_NAMES, "test": TEST_NAMES}
    split = {
        part: next(by_name[name] for name in names if name in by_name)
        for part, names in parts.items()
        if not by_name.keys().isdisjoint(names)
    }
    known = {name for names in parts.values() for name in names}
    if "train" not in split or len(split) == 1 or by_name.keys() - known:
        return None
    # Pictures of trains and of tests are classes.
    shown = [path for path in split["train"].iterdir() if not _is_hidden(path.name)]
    has_images = any(path.suffix.lower() in IMAGE_SUFFIXES for path in shown)
    return None if has_images or not any(map(pathlib.Path.is_dir, shown)) else split


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in HIDDEN_NAMES


def _shortened(name: str) -> str:
    half = NAME_LETTERS // 2
    return name if len(name) <= NAME_LETTERS else f"{name[:half]}...{name[-half:]}"
