"""Augmentation by name and strength: each does what it says, no more, and again the same."""

import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from keras_mobilenet.training.augmentation import MOST, Augmentation, parse_augmentation
from keras_mobilenet.training.batches import augmented_batches, changed_images, steps_per_epoch
from keras_mobilenet.training.data import DataError, ImageData
from keras_mobilenet.training.preview import ROWS, VARIANTS, augmentation_preview


def image_data(pixels, labels):
    """The same images in all parts."""
    names = tuple(str(n) for n in range(labels.max() + 1))
    return ImageData(pixels, labels, pixels, labels, pixels, labels, names)


@pytest.fixture(scope="module")
def images():
    """Smooth coloured images of 24x24, dark on the left, of three classes."""
    ramp = np.linspace(40, 200, 24)
    gray = np.broadcast_to(ramp[None, None, :, None], (30, 24, 24, 1))
    tints = np.random.default_rng(0).uniform(0.6, 1.2, (30, 1, 1, 3))
    pixels = np.clip(gray * tints, 0, 255).astype(np.uint8)
    return image_data(pixels, np.arange(30) % 3)


def changed(images, **strengths):
    """Originals and images of one pass, as reals."""
    (after,) = changed_images(images, Augmentation(**strengths), 1, np.arange(30), 1)
    return images.train_inputs(), after.numpy()


def center_x(pixels):
    """Where the dark lies: a mean of the columns, weighed with what they lack to white."""
    weights = (1.0 - pixels).mean(axis=(1, 3))
    return (weights * np.arange(weights.shape[1])).sum(axis=1) / weights.sum(axis=1)


def test_nothing_is_changed_unless_asked(images):
    before, after = changed(images)
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("name", MOST)
def test_each_changes_images_and_stays_in_the_range_of_pixels(images, name):
    before, after = changed(images, **{name: MOST[name] / 3})
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 0.005
    assert after.min() >= -1.0
    assert after.max() <= 1.0


def test_mirror_turns_half_of_the_images(images):
    before, after = changed(images, mirror=True)
    is_turned = np.all(after == before[:, :, ::-1], axis=(1, 2, 3))
    is_kept = np.all(after == before, axis=(1, 2, 3))
    assert np.all(is_turned | is_kept)
    assert 5 < is_turned.sum() < 25


def test_brightness_moves_all_pixels_of_an_image_alike_and_no_further_than_its_strength(images):
    before, after = changed(images, brightness=0.05)
    moved = (after - before).reshape(30, -1)
    assert np.ptp(moved, axis=1).max() < 1e-5
    assert 0.05 < np.abs(moved).max() <= 0.1 + 1e-6, "the range of pixels is 2 wide"


def test_contrast_keeps_the_mean(images):
    before, after = changed(images, contrast=0.2)
    np.testing.assert_allclose(after.mean((1, 2, 3)), before.mean((1, 2, 3)), atol=1e-5)
    ratio = after.std((1, 2)) / before.std((1, 2))
    assert ratio.min() >= 0.8 - 1e-4
    assert ratio.max() <= 1.2 + 1e-4
    assert np.ptp(ratio) > 0.1


def test_colour_keeps_what_is_brightest_in_each_pixel(images):
    """Saturation and hue are what HSV says of a color beside its value, the largest of RGB."""
    before, after = changed(images, colour=0.4)
    np.testing.assert_allclose(after.max(-1), before.max(-1), atol=1e-5)
    assert np.abs(after - before).max() > 0.05


def test_noise_has_its_standard_deviation(images):
    before, after = changed(images, noise=0.02)
    assert (after - before).std() == pytest.approx(0.04, rel=0.05)


def test_blur_takes_edges_away_and_keeps_the_mean():
    board = np.indices((24, 24)).sum(0) % 2 * 160 + 40
    pixels = np.broadcast_to(board[None, :, :, None], (30, 24, 24, 1)).astype(np.uint8)
    before, after = changed(image_data(pixels, np.arange(30) % 3), blur=1.0)
    inside = np.s_[:, 2:-2, 2:-2]
    assert after[inside].std() < before[inside].std()
    np.testing.assert_allclose(after[inside].mean(), before[inside].mean(), atol=1e-3)


def test_cutout_paints_one_rectangle_gray_in_half_of_the_images(images):
    before, after = changed(images, cutout=0.2)
    cuts = np.any(after != before, axis=-1)
    assert np.all(after[cuts] == 0.0)
    share = cuts.mean(axis=(1, 2))
    assert 5 < (share > 0).sum() < 25
    # The sides are of whole pixels: one more on both.
    assert share.max() < (np.sqrt(0.2) + 1 / 24) ** 2


@pytest.mark.parametrize("name", ["shift", "zoom", "turn"])
def test_a_stronger_one_moves_pixels_further(images, name):
    changes = []
    for strength in (0.02, 0.2):
        before, after = changed(images, **{name: strength})
        changes.append(np.abs(after - before).mean())
    assert changes[1] > 2 * changes[0]


def test_shift_moves_no_further_than_its_share_of_the_side():
    pixels = np.full((30, 40, 40, 1), 255, np.uint8)
    pixels[:, 18:22, 18:22] = 0
    before, after = changed(image_data(pixels, np.arange(30) % 3), shift=0.1)
    moved = center_x(after) - center_x(before)
    assert 2.0 < np.abs(moved).max() <= 4.01


# Batches.


def as_arrays(batches):
    return [(images.numpy(), labels.numpy()) for images, labels in batches]


def assert_same(first, second):
    for (images, labels), (other_images, other_labels) in zip(first, second, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_a_training_that_goes_on_sees_the_batches_of_one_that_never_stopped(images):
    changes = Augmentation(shift=0.1, noise=0.02, cutout=0.2, mixup=0.2, mirror=True)

    def epochs_from(first, count):
        batches = augmented_batches(images, 5, augmentation=changes, first_epoch=first)
        return [as_arrays(batches.take(2)) for _ in range(count)]

    epochs = epochs_from(0, 2)
    assert_same(*epochs_from(1, 1), epochs[1])
    assert not np.array_equal(epochs[0][0][0], epochs[1][0][0]), "each epoch is another"


def test_an_epoch_shows_all_images_equally_often_in_whole_batches(images):
    batches = augmented_batches(images, 0, augmentation=Augmentation(), batch_size=50)
    shown = as_arrays(batches)
    assert len(batches) == len(shown) == steps_per_epoch(30, 50) == 28
    assert {len(labels) for _, labels in shown} == {50}
    pixels, counts = np.unique(
        np.concatenate([part for part, _ in shown]).reshape(1400, -1), axis=0, return_counts=True
    )
    assert len(pixels) == 30
    assert np.ptp(counts) <= 1


def test_mixup_makes_labels_shares_of_two_classes(images):
    mixed = Augmentation(mixup=0.4)
    shown = as_arrays(augmented_batches(images, 0, augmentation=mixed, batch_size=350))
    labels = np.concatenate([part for _, part in shown])
    assert labels.shape == (1400, 3)
    np.testing.assert_allclose(labels.sum(1), 1.0, atol=1e-6)
    assert np.all((labels > 1e-6).sum(1) <= 2)
    assert 0.02 < (labels.max(1) < 0.95).mean() < 0.9


# Words.


def test_what_is_named_changes_the_default():
    chosen = parse_augmentation(["shift=.2", "zoom=0", "noise=0.02", "mirror"])
    expected = {"shift": 0.2, "zoom": 0.0, "noise": 0.02, "mirror": True}
    assert chosen == dataclasses.replace(Augmentation.default(), **expected)
    assert parse_augmentation([]) == Augmentation.default()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("swirl=1", "No augmentation 'swirl': give one of shift, zoom"),
        ("shift", "shift needs a strength from 0 to 0.5, such as shift=0.1, got 'shift'"),
        ("shift=nan", "shift needs a strength"),
        ("turn=0.7", "The strength of turn must be 0 to 0.5, got 0.7"),
        ("mirror=1", "No augmentation 'mirror'"),
    ],
)
def test_what_is_no_augmentation_is_refused(word, message):
    with pytest.raises(DataError, match=message):
        parse_augmentation([word])


def test_gray_images_have_no_colour_to_change():
    with pytest.raises(DataError, match="colour needs RGB images, these have 1 channel"):
        Augmentation(colour=0.1).layers(1, seed=0)


# The picture.


@pytest.mark.parametrize("channels", [1, 3])
def test_preview_shows_originals_first_then_what_becomes_of_them(images, channels):
    data = dataclasses.replace(images, train_pixels=images.train_pixels[..., :channels])
    png = augmentation_preview(data, Augmentation(brightness=0.2))
    sheet = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))[..., :channels]
    scale, cell = 3, 24 * 3 + 4
    assert sheet.shape == (ROWS * cell, (1 + VARIANTS) * cell, channels)
    for row in range(ROWS):
        first = sheet[row * cell :: scale, ::scale][:24, :24]
        np.testing.assert_array_equal(first, data.train_pixels[row])
    assert not np.array_equal(sheet[:cell, :cell], sheet[:cell, cell : 2 * cell])
