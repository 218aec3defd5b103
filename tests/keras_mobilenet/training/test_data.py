"""Image sets: two inside a dependency, folders, and a clear word on all else."""

import dataclasses

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.class_weight import compute_sample_weight

from keras_mobilenet.training.data import DataError, load_images


@pytest.mark.parametrize(("name", "count", "classes"), [("digits", 1797, 10), ("faces", 200, 2)])
def test_packaged_sets_are_split_by_class(name, count, classes):
    data = load_images(name, side=32, channels=1)
    parts = (data.train_labels, data.validation_labels, data.test_labels)
    assert sum(map(len, parts)) == count
    assert len(data.class_names) == classes
    assert abs(len(data.test_pixels) / count - 0.2) < 0.01
    assert abs(len(data.validation_pixels) / count - 0.08) < 0.01
    shares = [np.bincount(part) / np.bincount(data.train_labels) for part in parts]
    assert np.ptp(shares, axis=1).max() < 0.06, "the split keeps the shares of the classes"


def test_no_image_is_in_two_parts():
    data = load_images("faces", side=32, channels=1)
    parts = (data.train_pixels, data.validation_pixels, data.test_pixels)
    images = [image.tobytes() for part in parts for image in part]
    assert len(set(images)) == len(images)


def test_split_is_repeatable():
    first, second = (load_images("faces", 32, 1, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.test_labels, second.test_labels)


def folder_of_images(root, classes, count):
    for index, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for n in range(count):
            pixels = np.full((10, 12, 3), 40 * index + n, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{n}.png")


def test_folder_has_a_class_per_subfolder(tmp_path):
    folder_of_images(tmp_path, ("cat", "dog"), 10)
    data = load_images(str(tmp_path), side=32, channels=3)
    assert data.class_names == ("cat", "dog")
    assert data.train_pixels.shape == (14, 32, 32, 3)
    assert np.bincount(data.validation_labels).tolist() == [1, 1]
    assert (data.train_labels == (data.train_pixels[:, 0, 0, 0] >= 40)).all()


def test_class_weights_are_those_of_scikit_learn(tmp_path):
    folder_of_images(tmp_path, ("cat", "dog"), 10)
    folder_of_images(tmp_path, ("fox",), 40)
    data = load_images(str(tmp_path), side=32, channels=1)
    weights = compute_sample_weight("balanced", data.train_labels)
    assert [data.class_weights()[label] for label in data.train_labels] == weights.tolist()


def test_the_digest_tells_other_images_labels_names_and_parts_apart():
    data = load_images("faces", side=32, channels=1)
    assert data.digest == load_images("faces", side=32, channels=1).digest
    pixels, labels = data.test_pixels.copy(), data.train_labels.copy()
    pixels[-1, -1, -1] ^= 1
    labels[0] ^= 1
    changed = [
        {"test_pixels": pixels},
        {"train_labels": labels},
        {"class_names": ("face", "no face")},
        {"validation_pixels": data.test_pixels, "test_pixels": data.validation_pixels},
        {"train_pixels": data.train_pixels.reshape(-1, 16, 64, 1)},
    ]
    digests = {dataclasses.replace(data, **fields).digest for fields in changed}
    assert len(digests | {data.digest}) == 1 + len(changed)


def test_load_images_refuses_an_unknown_set():
    with pytest.raises(DataError, match="No data set 'no-such-set': give 'digits'"):
        load_images("no-such-set", 32, 1)


def test_load_images_refuses_a_folder_without_classes(tmp_path):
    with pytest.raises(DataError, match="one subfolder of images per class"):
        load_images(str(tmp_path), 32, 1)


def test_load_images_refuses_a_class_without_images(tmp_path):
    folder_of_images(tmp_path, ("a", "b"), 1)
    with pytest.raises(DataError, match="fewer than two images"):
        load_images(str(tmp_path), 32, 1)


def test_load_images_names_the_image_that_it_cannot_read(tmp_path):
    folder_of_images(tmp_path, ("a", "b"), 2)
    (tmp_path / "b" / "1.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1\.png is not a readable image"):
        load_images(str(tmp_path), 32, 1)
