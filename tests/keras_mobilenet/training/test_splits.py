"""Images that belong together stay together: frames of a video, pictures of a person."""

import numpy as np
import pytest
from PIL import Image

from keras_mobilenet.training.data import DataError, load_images
from keras_mobilenet.training.splits import chosen_by_group, chosen_for_validation, groups_of


def films(root, counts, subfolders=False):
    """`counts[class][film]` frames, all of a film of one gray."""
    for label, (name, frames) in enumerate(counts.items()):
        for film, count in enumerate(frames):
            for frame in range(count):
                inner = f"film{film}/{frame}.png" if subfolders else f"film{film}_{frame}.png"
                path = root / name / inner
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (8, 8), 100 * label + film).save(path)
    return root


def films_of(data):
    """The grays of each part, which are its films."""
    parts = (data.train_pixels, data.validation_pixels, data.test_pixels)
    return [set(part[:, 0, 0, 0].tolist()) for part in parts]


def load(root, groups):
    return load_images(str(root), side=8, channels=1, groups=groups)


UNEVEN = {"cat": [9, 4, 7, 5, 6, 3, 8], "dog": [5, 5, 5, 5, 5, 5], "fox": [1, 2, 20, 3, 4]}


@pytest.mark.parametrize("subfolders", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_film_is_in_two_parts_and_each_part_has_every_class(tmp_path, subfolders, seed):
    films(tmp_path, UNEVEN, subfolders)
    pattern = "subfolder" if subfolders else r"(film\d)_"
    data = load_images(str(tmp_path), side=8, channels=1, groups=pattern, seed=seed)
    # A film has the same name in all classes.
    parts = [{gray % 100 for gray in part} for part in films_of(data)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 7
    for labels in (data.train_labels, data.validation_labels, data.test_labels):
        assert set(labels) == {0, 1, 2}
    counts = [len(part) for part in (data.train_labels, data.validation_labels, data.test_labels)]
    assert sum(counts) == sum(map(sum, UNEVEN.values()))
    assert counts[0] > counts[1]


def test_films_of_a_class_of_their_own_are_told_apart_by_the_class_in_the_path(tmp_path):
    films(tmp_path, UNEVEN)
    parts = films_of(load(tmp_path, r"^[^_]+"))
    assert sum(map(len, parts)) == len(set.union(*parts)) == 18


def test_many_groups_are_divided_in_the_shares_of_the_images():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1000)
    labels = rng.integers(0, 4, 1000)
    chosen = chosen_by_group(labels, groups.astype(str), 0.2, seed=0)
    shares = np.bincount(labels[chosen]) / np.bincount(labels)
    assert abs(shares - 0.2).max() < 0.06
    assert not set(groups[chosen]) & set(np.delete(groups, chosen))


def test_a_part_that_the_folder_brings_is_left_alone(tmp_path):
    films(tmp_path / "train", {"cat": [4, 4], "dog": [4, 4]})
    films(tmp_path / "test", {"cat": [2], "dog": [2]})
    data = load(tmp_path, r"(film\d)_")
    assert len(data.test_labels) == 4
    assert [len(part) for part in films_of(data)[:2]] == [2, 2]


def test_folders_inside_a_class_are_read_only_for_groups(tmp_path):
    films(tmp_path, UNEVEN, subfolders=True)
    with pytest.raises(DataError, match="fewer than two images"):
        load_images(str(tmp_path), side=8, channels=1)


@pytest.mark.parametrize(
    ("counts", "groups", "message"),
    [
        ({"cat": [4, 4, 4], "dog": [9]}, r"film\d", "Class dog has 1 group of images that stay"),
        ({"cat": [4, 4], "dog": [4, 4]}, r"film\d", "has 2 groups .* 3 parts need one each: give"),
        ({"cat": [4], "dog": [4]}, "video", "'video' does not match cat/film0_0.png: each image's"),
        ({"cat": [4], "dog": [4]}, "(", r"'\(' is no regular expression: missing \)"),
        ({"cat": [4], "dog": [4]}, "subfolder", "cat/film0_0.png lies in no subfolder of its"),
    ],
)
def test_what_cannot_be_divided_is_refused_in_one_line(tmp_path, counts, groups, message):
    with pytest.raises(DataError, match=message) as refused:
        load(films(tmp_path, counts), groups)
    assert "\n" not in str(refused.value)


def test_groups_that_lie_across_classes_may_not_be_divisible():
    labels, groups = np.array([0, 1, 0, 1]), np.array(list("abab"))
    assert chosen_by_group(labels, groups, 0.2, seed=0) is None


def test_a_set_that_is_no_folder_has_no_groups():
    with pytest.raises(DataError, match="'digits' is no folder"):
        load("digits", "subfolder")


def test_a_group_that_takes_no_part_in_the_match_names_nothing():
    with pytest.raises(DataError, match=r"does not match b/y\.png"):
        groups_of(["a/x.png", "b/y.png"], "(x)|y")


def test_a_tenth_of_each_class_but_at_least_one_image_chooses():
    labels = np.repeat([0, 1, 2], [100, 12, 2])
    chosen = chosen_for_validation(labels, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [10, 1, 1]
