"""A tensor's range: averaged, learned, frozen, shared."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenet.quantization.quantizer import CALIBRATION_BATCHES, QuantizationRange


def test_follows_the_moving_average_of_the_batches():
    grid = QuantizationRange(momentum=0.5)
    grid(tf.constant([-1.0, 1.0]), training=True)
    first = grid.scale_and_zero_point()
    assert first[0] == pytest.approx(2 / 255, rel=1e-6), "the first batch sets it"
    grid(tf.constant([-1.0, 3.0]), training=True)
    assert grid.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)
    grid(tf.constant([-50.0, 50.0]), training=False)
    assert grid.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)


def test_a_frozen_range_stays():
    grid = QuantizationRange()
    grid(tf.constant([0.0, 1.0]), training=True)
    grid.freeze()
    grid(tf.constant([0.0, 9.0]), training=True)
    assert grid.scale_and_zero_point()[0] == pytest.approx(1 / 255, rel=1e-6)


def test_a_range_that_saw_nothing_says_so():
    grid = QuantizationRange(name="lonely")
    grid.build((1,))
    with pytest.raises(ValueError, match=r"lonely.*has seen no training batch"):
        grid.scale_and_zero_point()


def learn(grid, steps, optimizer):
    """Minimizes the rounding error of positive numbers with rare outliers."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(steps):
        x = tf.constant(np.abs(rng.normal(size=(64, 64))).astype("float32"))
        x = tf.concat([x, tf.fill((64, 1), 60.0)], axis=1)
        with tf.GradientTape() as tape:
            # The outliers do not count: a shorter range is better.
            error = tf.reduce_mean((grid(x, training=True) - x)[:, :64] ** 2) * 1e4
        errors.append(float(error))
        variables = grid.trainable_variables
        optimizer.apply(tape.gradient(error, variables), variables)
    return errors


def test_a_learned_step_beats_the_average_where_outliers_stretch_it():
    averaged = QuantizationRange()
    learned = QuantizationRange(learns_step=True)
    before = learn(averaged, CALIBRATION_BATCHES, keras.optimizers.SGD(0.0))[-1]
    after = learn(learned, CALIBRATION_BATCHES + 400, keras.optimizers.Adam(0.01))[-1]
    assert averaged.trainable_variables == []
    assert after < before / 10


def test_a_learned_step_waits_for_its_calibration():
    grid = QuantizationRange(learns_step=True)
    learn(grid, CALIBRATION_BATCHES - 1, keras.optimizers.SGD(1.0))
    assert float(grid.log_factor) == 0.0


def test_a_frozen_learned_step_stays_whatever_the_momentum():
    grid, optimizer = QuantizationRange(learns_step=True), keras.optimizers.Adam(0.01)
    learn(grid, CALIBRATION_BATCHES + 20, optimizer)
    before = float(grid.log_factor)
    grid.freeze()
    learn(grid, 5, optimizer)
    assert before != 0.0
    assert float(grid.log_factor) == before


def test_a_follower_rounds_to_its_leaders_grid():
    leader, follower = QuantizationRange(), QuantizationRange(learns_step=True)
    leader.build((1,))
    follower.build((1,))
    follower.follow(leader)
    x = tf.constant([0.0, 0.26, 10.0])
    np.testing.assert_array_equal(follower(x, training=True), x, "no grid before the first batch")
    leader(tf.constant([0.0, 255.0]), training=True)
    np.testing.assert_array_equal(follower(x, training=True), [0, 0, 10])
    assert follower.scale_and_zero_point() == leader.scale_and_zero_point()
    assert follower.trainable_variables == []
