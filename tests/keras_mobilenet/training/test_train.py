"""The training job learns, keeps what it learned in int8, and goes on where it was cut off."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_mobilenet import MobileNet
from keras_mobilenet.training.data import load_images
from keras_mobilenet.training.momentum import momentum_for
from keras_mobilenet.training.schedule import rate_of
from keras_mobilenet.training.train import ChanceWarning, train


def test_training_learns_the_digits_and_keeps_them_in_int8(trained):
    assert trained.float_test_accuracy > 0.85
    assert trained.evaluation.accuracy > trained.float_test_accuracy - 0.05


def test_learning_rate_falls_within_each_stage():
    rates = [rate_of(epoch, 5, 3) for epoch in range(8)]
    assert rates[:5] == sorted(rates[:5], reverse=True)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates[5:]) < rates[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"float_epochs": 0}, "float_epochs must be at least 1"),
        ({"qat_epochs": 0}, "qat_epochs must be at least 1"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"learning_rate": 0.0}, "learning_rate must be positive"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive"),
    ],
)
def test_train_refuses_options_out_of_range(digits, options, words):
    with pytest.raises(ValueError, match=words):
        train(digits, **options)


@pytest.fixture(scope="module")
def tiny():
    """Few digits, 16x16: an epoch of two seconds."""
    data = load_images("digits", side=16, channels=1)
    kept = {
        f"{part}_{kind}": getattr(data, f"{part}_{kind}")[:count]
        for part, count in (("train", 240), ("validation", 60), ("test", 200))
        for kind in ("pixels", "labels")
    }
    return dataclasses.replace(data, **kept)


def network():
    keras.utils.set_random_seed(0)
    return MobileNet([(8, 3, 2)], (16, 16, 1), stem=(8, 3, 2), dropout=0.2, classes=10)


class Cut(keras.callbacks.Callback):
    """Ends the process in the middle of an epoch, as far as a test can."""

    def __init__(self, epoch):
        super().__init__()
        self.last = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (self.last, 3):
            raise KeyboardInterrupt


OPTIONS = {
    "float_epochs": 1,
    "qat_epochs": 2,
    "learning_rate": 1e-2,
    "class_weights": "balanced",
    "weight_bits": 4,
    "verbose": 0,
}


def assert_same(found, expected):
    assert found.history == expected.history
    assert found.best_epoch == expected.best_epoch
    assert found.float_test_accuracy == expected.float_test_accuracy
    pairs = zip(found.model.get_weights(), expected.model.get_weights(), strict=True)
    assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)
    assert np.array_equal(found.evaluation.confusion, expected.evaluation.confusion)


def cut(data, folder, epoch, **options):
    with pytest.raises(KeyboardInterrupt):
        train(data, model=network(), backup=folder, callbacks=[Cut(epoch)], **options)


@pytest.mark.slow
def test_cut_training_goes_on_to_the_same_network(tiny, tmp_path):
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    whole = train(tiny, model=network(), **OPTIONS)
    accuracies = whole.history["val_accuracy"][1:]
    assert whole.best_epoch == 1 + accuracies.index(max(accuracies))
    assert whole.validation_accuracy == max(accuracies)
    cut(tiny, tmp_path, 2, **OPTIONS)
    assert_same(train(tiny, model=network(), backup=tmp_path, **OPTIONS), whole)
    with pytest.raises(ValueError, match="backup of another training"):
        train(tiny, model=network(), backup=tmp_path, **OPTIONS | {"seed": 1})
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.exhaustive
@pytest.mark.parametrize("frozen_epochs", [None, 1])
def test_training_that_is_cut_often_goes_on_in_every_stage(tiny, tmp_path, frozen_epochs):
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    options = OPTIONS | {"float_epochs": 3}
    if frozen_epochs:
        rgb = MobileNet([(8, 3, 2)], (16, 16, 3), stem=(8, 3, 2), classes=3)
        rgb.save(tmp_path / "rgb.keras")
        options |= {"weights": tmp_path / "rgb.keras", "frozen_epochs": frozen_epochs}
    whole = train(tiny, model=network(), **options)
    for epoch in range(5):
        cut(tiny, tmp_path / "backup", epoch, **options)
    for _ in range(2):
        # The second time there is nothing left to train.
        done = train(tiny, model=network(), backup=tmp_path / "backup", **options)
        assert_same(done, whole)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "files": {}}'])
def test_folder_without_a_backup_is_refused(tiny, tmp_path, content):
    (tmp_path / "training.json").write_text(content)
    with pytest.raises(ValueError, match="is no backup of a training"):
        train(tiny, model=network(), backup=tmp_path, **OPTIONS)


def test_model_of_other_images_is_refused(tiny):
    with pytest.raises(ValueError, match=r"makes \(2,\) scores of images \(32, 32, 3\)"):
        train(tiny, model=MobileNet([(8,)], (32, 32, 3), classes=2))


@pytest.mark.exhaustive
def test_stage_that_gets_no_better_ends_early(tiny):
    options = OPTIONS | {"learning_rate": 1e-12, "float_epochs": 9, "qat_epochs": 9}
    with pytest.warns(ChanceWarning, match="The network is at chance"):
        done = train(tiny, model=network(), patience=1, **options)
    assert done.float_epochs < 9
    assert len(done.history["loss"]) < 9 + done.float_epochs


@pytest.mark.slow
def test_short_training_ends_well_above_chance():
    """The shortest setting of the tutorial and of the search: one epoch and one more."""
    faces = load_images("faces", side=32, channels=1)
    model = MobileNet([(16, 3, 2, 2)], (32, 32, 1), stem=(8, 3, 2), classes=2)
    done = train(faces, model=model, float_epochs=1, qat_epochs=1, verbose=0)
    assert done.evaluation.accuracy > 0.7
    assert not done.evaluation.is_at_chance()


def test_training_that_a_callback_ends_in_float_is_no_int8_network():
    faces = load_images("faces", side=32, channels=1)
    model = MobileNet([(8, 3, 2)], (32, 32, 1), stem=(8, 3, 4), classes=2)
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=1, min_delta=1.0)
    with pytest.raises(ValueError, match="after 2 of 3 float epochs, before those in int8"):
        train(faces, model=model, float_epochs=3, qat_epochs=1, verbose=0, callbacks=[stop])


def test_momentum_is_keras_own_for_a_long_training():
    momenta = [momentum_for(steps) for steps in (1, 30, 100, 1000, 10**6)]
    assert momenta == sorted(momenta)
    assert momenta[-1] == keras.layers.BatchNormalization().momentum
    assert momentum_for(30) ** 30 < 1e-4


@pytest.mark.parametrize("steps", [60, 300, 3000])
def test_moving_averages_have_settled_after_a_quarter_of_a_training(steps):
    """There a search compares for the first time."""
    assert momentum_for(steps) ** (steps / 4) < 1e-3
