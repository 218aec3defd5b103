"""A folder of images as people and systems leave it: what is read, and what is left out."""

import os
import socket

import numpy as np
import pytest
from PIL import Image

from keras_mobilenet.training.data import DataError, load_images

JUNK_FOLDERS = (".cache", ".ipynb_checkpoints", "__MACOSX", "@eaDir")
JUNK_FILES = (".DS_Store", "Thumbs.db", "desktop.ini", "._0.png", ".0.png")


def image(path, gray=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 30), gray).save(path)


def folder_of_images(root, classes=("cat", "dog"), count=6):
    for index, name in enumerate(classes):
        for number in range(count):
            image(root / name / f"{number}.png", 40 * index + number)
    return root


def load(root):
    return load_images(str(root), side=8, channels=1)


def grays(data):
    parts = (data.train_pixels, data.validation_pixels, data.test_pixels)
    return sorted(np.concatenate(parts)[:, 0, 0, 0].tolist())


def test_what_systems_leave_in_folders_is_skipped_and_counted(tmp_path):
    before = grays(load(folder_of_images(tmp_path)))
    for name in JUNK_FOLDERS:
        image(tmp_path / name / "0.png", 200)
        image(tmp_path / "cat" / name / "0.png", 200)
    for name in JUNK_FILES:
        (tmp_path / name).write_bytes(b"junk")
        (tmp_path / "dog" / name).write_bytes(b"junk")
    data = load(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert grays(data) == before
    assert data.left_out.hidden_count == 2 * (len(JUNK_FOLDERS) + len(JUNK_FILES))
    assert data.left_out.sentence() == "Left out: 18 hidden."


def test_what_is_no_image_is_counted_and_named(tmp_path):
    folder_of_images(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("")
    (tmp_path / "dog" / "x.heic").write_bytes(b"")
    image(tmp_path / "dog" / "more" / "0.png")
    image(tmp_path / "loose.png")
    data = load(tmp_path)
    assert set(data.left_out.others) == {"cat/notes.txt", "dog/x.heic", "dog/more/", "loose.png"}
    sentence = data.left_out.sentence()
    assert sentence.startswith("Left out: 4 entries that are no images (")
    assert "loose.png" in sentence


def test_the_sentence_is_short_whatever_the_names(tmp_path):
    folder_of_images(tmp_path)
    for number in range(9):
        (tmp_path / "cat" / ("n" * 200 + str(number))).write_text("")
    assert len(load(tmp_path).left_out.sentence()) <= 300


def test_pipes_and_sockets_are_not_opened(tmp_path):
    folder_of_images(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as sock:
        there = os.open(tmp_path / "dog", os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{there}/socket.png")
        os.close(there)
    (tmp_path / "dog" / "device.png").symlink_to("/dev/zero")
    others = load(tmp_path).left_out.others
    assert set(others) == {"cat/pipe.png", "pipe", "dog/socket.png", "dog/device.png"}


def test_links_are_followed_once(tmp_path):
    root = folder_of_images(tmp_path / "images")
    folder_of_images(tmp_path / "elsewhere", ("fox",))
    (root / "fox").symlink_to(tmp_path / "elsewhere" / "fox")
    (root / "loop").symlink_to(root)
    (root / "self").symlink_to("self")
    (root / "cat" / "up").symlink_to("..")
    data = load(root)
    assert data.class_names == ("cat", "dog", "fox")
    assert set(data.left_out.others) == {"loop/", "self", "cat/up/"}


@pytest.mark.parametrize("target", ["nothing.png", "x.png"])
def test_a_link_to_nothing_is_refused_by_name(tmp_path, target):
    folder_of_images(tmp_path)
    (tmp_path / "cat" / "x.png").symlink_to(target)
    with pytest.raises(DataError, match=r"cat/x\.png is not a readable image"):
        load(tmp_path)


def test_images_that_are_transparent_are_counted(tmp_path):
    folder_of_images(tmp_path)
    Image.new("LA", (8, 8)).save(tmp_path / "cat" / "clear.png")
    assert load(tmp_path).left_out.sentence() == "Transparent pixels of 1 images became white."


# A split of the folder's own.


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        (("test",), (9, 1, 3)),
        (("Valid",), (8, 3, 2)),
        (("validation", "testing"), (10, 3, 3)),
    ],
)
def test_a_folder_keeps_the_parts_that_it_brings(tmp_path, given, counts):
    """Its images per class; the part that is missing is taken from those to train on."""
    folder_of_images(tmp_path / "train", count=10)
    for part in given:
        folder_of_images(tmp_path / part, count=3)
    (tmp_path / "README.md").write_text("")
    data = load(tmp_path)
    assert data.class_names == ("cat", "dog")
    parts = (data.train_labels, data.validation_labels, data.test_labels)
    assert [np.bincount(part).tolist() for part in parts] == [[count] * 2 for count in counts]
    assert data.left_out.others == ("README.md",)


def test_of_two_folders_for_one_part_the_first_is_taken_and_the_other_named(tmp_path):
    for part, count in (("train", 5), ("val", 2), ("validation", 1), ("test", 3)):
        folder_of_images(tmp_path / part, count=count)
    data = load(tmp_path)
    assert len(data.validation_labels) == 4
    assert data.left_out.others == ("validation/",)


def test_a_class_that_was_never_trained_on_is_refused(tmp_path):
    folder_of_images(tmp_path / "train")
    folder_of_images(tmp_path / "val", ("cat", "fox"))
    with pytest.raises(DataError, match="fox is a class that has no images to train on"):
        load(tmp_path)


@pytest.mark.parametrize(
    "classes", [("train", "test"), ("train", "tram"), ("val", "test"), ("train", "test", "tram")]
)
def test_pictures_of_trains_and_of_tests_are_classes(tmp_path, classes):
    data = load(folder_of_images(tmp_path, classes))
    assert set(data.class_names) == set(classes)


# Too few.


def test_too_few_images_for_a_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="too few to hold out a fifth: give at least 5 of each"):
        load(folder_of_images(tmp_path, count=2))


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    folder_of_images(tmp_path)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(DataError, match=r"Cannot read .*: Permission denied"):
        load(tmp_path)
