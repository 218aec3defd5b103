"""The training job learns, and keeps what it learned in int8."""

import pytest

from keras_mobilenet.training.train import learning_rate, train


def test_training_learns_the_digits_and_keeps_them_in_int8(trained):
    assert trained.float_accuracy > 0.85
    assert trained.qat_accuracy > trained.float_accuracy - 0.05


def test_learning_rate_falls_within_each_stage():
    rates = [learning_rate(epoch, 5, 3) for epoch in range(8)]
    assert rates[:5] == sorted(rates[:5], reverse=True)
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert max(rates[5:]) < rates[0]


@pytest.mark.parametrize("epochs", [(0, 1), (1, 0)])
def test_train_refuses_a_stage_without_epochs(digits, epochs):
    with pytest.raises(ValueError, match="at least 1"):
        train(digits, float_epochs=epochs[0], qat_epochs=epochs[1])
