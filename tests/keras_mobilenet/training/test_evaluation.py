"""A classifier's figures are scikit-learn's; a network that is no better than luck is named."""

import numpy as np
import pytest
from sklearn import metrics

from keras_mobilenet.training.baselines import Baselines, averaged, baselines, doubts
from keras_mobilenet.training.evaluation import choose_threshold, evaluate, int8_scores


def drawn(classes, count=300, skill=1.5):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, count)
    scores = rng.normal(size=(count, classes)) + skill * np.eye(classes)[labels]
    exponents = np.exp(scores)
    return exponents / exponents.sum(axis=1, keepdims=True), labels


@pytest.mark.parametrize("classes", [2, 5])
def test_figures_are_those_of_scikit_learn(classes):
    scores, labels = drawn(classes)
    names = tuple(f"class {n}" for n in range(classes))
    found = evaluate(scores, labels, names)
    answers = scores.argmax(axis=1)
    assert found.accuracy == metrics.accuracy_score(labels, answers)
    np.testing.assert_array_equal(found.confusion, metrics.confusion_matrix(labels, answers))
    for label, figures in enumerate(found.classes):
        mine, theirs = labels == label, answers == label
        assert figures.name == names[label]
        assert figures.precision == pytest.approx(metrics.precision_score(mine, theirs))
        assert figures.recall == pytest.approx(metrics.recall_score(mine, theirs))
        assert figures.f1 == pytest.approx(metrics.f1_score(mine, theirs))
        assert figures.count == mine.sum()


def test_class_that_is_never_answered_or_absent_counts_nothing():
    found = evaluate(np.eye(3)[[0, 0, 1]], np.array([0, 0, 0]), ("a", "b", "c"))
    assert [figures.recall for figures in found.classes] == [2 / 3, 0.0, 0.0]
    assert [figures.precision for figures in found.classes] == [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="need as many scores"):
        evaluate(np.eye(2), np.array([0, 1]), ("a", "b", "c"))


def test_threshold_has_the_greatest_f1_of_all_and_acts_on_bytes():
    scores, labels = drawn(2, skill=0.8)
    scores = scores[:, 1] ** 3  # as of a classifier that says no too often
    least = choose_threshold(scores, labels)
    bytes_of = int8_scores(scores)
    every = [metrics.f1_score(labels, bytes_of >= level) for level in range(-127, 128)]
    assert metrics.f1_score(labels, bytes_of >= least) == max(every)
    whole = np.stack([1 - scores, scores], axis=1)
    found = evaluate(whole, labels, ("no", "yes"), least_byte=least)
    assert found.threshold.positive.f1 == pytest.approx(max(every))
    assert found.threshold.positive.f1 > found.classes[1].f1
    np.testing.assert_array_equal(bytes_of >= least, np.round(scores * 256) >= least + 128)


def test_luck_is_told_from_skill_by_the_number_of_images():
    def is_at_chance(right, count):
        labels = np.arange(count) % 2
        answers = np.where(np.arange(count) < right, labels, 1 - labels)
        return evaluate(np.eye(2)[answers], labels, ("a", "b")).is_at_chance()

    assert is_at_chance(20, 40)
    assert is_at_chance(25, 40)
    assert not is_at_chance(30, 40)
    assert is_at_chance(510, 1000)
    assert not is_at_chance(560, 1000)


def test_simple_classifiers_reach_what_is_known_of_the_digits():
    from keras_mobilenet.training.data import load_images

    data = load_images("digits", side=16, channels=1)
    found = baselines(data)
    assert 0.9 < found.logistic_regression < 1.0
    assert 0.93 < found.random_forest < 1.0
    assert found == baselines(data)


def test_doubts_name_what_does_better():
    scores, labels = drawn(2)
    evaluation = evaluate(scores, labels, ("no", "yes"))
    better, worse = evaluation.accuracy + 0.01, evaluation.accuracy - 0.01
    assert doubts(evaluation, Baselines(worse, evaluation.accuracy, 10)) == []
    (doubt,) = doubts(evaluation, Baselines(worse, better, 10))
    assert doubt.startswith("A random forest on the pixels does better than the network")


def test_large_images_are_averaged():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 50, 33, 3), np.uint8)
    found = averaged(pixels)
    assert found.shape == (2, 12 * 11 * 3)
    first = pixels[0, :4, :3, 0].mean() / 128 - 1
    assert found[0, 0] == pytest.approx(first, abs=1e-6)
