"""The schedules are TF-MOT's."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_mobilenet.pruning import ConstantSparsity, PolynomialDecay

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@pytest.fixture(scope="module")
def tfmot():
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule

    return pruning_schedule


steps = st.integers(0, 3000)


@settings(deadline=None, max_examples=60)
@given(steps, st.integers(0, 500), st.integers(1, 2000), st.integers(1, 200), st.data())
def test_polynomial_decay_is_that_of_tfmot(tfmot, step, begin, length, frequency, data):
    initial, final = data.draw(st.tuples(st.floats(0, 0.5), st.floats(0.5, 0.95)))
    power = data.draw(st.sampled_from([1, 2, 3]))
    arguments = (initial, final, begin, begin + length, power, frequency)
    due, sparsity = PolynomialDecay(*arguments)(step)
    expected_due, expected = tfmot.PolynomialDecay(*arguments)(step)
    assert due == bool(expected_due)
    assert sparsity == pytest.approx(float(expected), abs=1e-6)


@settings(deadline=None, max_examples=60)
@given(steps, st.integers(0, 500), st.sampled_from([-1, 600, 2000]), st.integers(1, 200))
def test_constant_sparsity_is_that_of_tfmot(tfmot, step, begin, end, frequency):
    due, sparsity = ConstantSparsity(0.6, begin, end, frequency)(step)
    expected_due, expected = tfmot.ConstantSparsity(0.6, begin, end, frequency)(step)
    assert (due, sparsity) == (bool(expected_due), pytest.approx(float(expected)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ConstantSparsity(1.0, 0), "sparsity must lie"),
        (lambda: ConstantSparsity(0.5, -1), "begin_step"),
        (lambda: PolynomialDecay(0.0, 0.5, 10, 10), "end_step must come after"),
        (lambda: PolynomialDecay(0.0, 0.5, 0, 10, frequency=0), "frequency"),
    ],
)
def test_schedules_refuse_wrong_arguments_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()
