"""A tensor's range: averaged, learned, frozen, shared."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenet.quantization.quantizer import CALIBRATION_BATCHES, QuantizationRange


def test_range_follows_the_moving_average_of_the_batches():
    tensor_range = QuantizationRange(momentum=0.5)
    tensor_range(tf.constant([-1.0, 1.0]), training=True)
    first = tensor_range.scale_and_zero_point()
    assert first[0] == pytest.approx(2 / 255, rel=1e-6), "the first batch sets it"
    tensor_range(tf.constant([-1.0, 3.0]), training=True)
    assert tensor_range.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)
    tensor_range(tf.constant([-50.0, 50.0]), training=False)
    assert tensor_range.scale_and_zero_point()[0] == pytest.approx(3 / 255, rel=1e-6)


def test_frozen_range_stays():
    tensor_range = QuantizationRange()
    tensor_range(tf.constant([0.0, 1.0]), training=True)
    tensor_range.freeze()
    tensor_range(tf.constant([0.0, 9.0]), training=True)
    assert tensor_range.scale_and_zero_point()[0] == pytest.approx(1 / 255, rel=1e-6)


def test_untrained_range_is_refused_by_name():
    tensor_range = QuantizationRange(name="lonely")
    tensor_range.build((1,))
    with pytest.raises(ValueError, match=r"lonely.*has seen no training batch"):
        tensor_range.scale_and_zero_point()


def learn(tensor_range, steps, optimizer):
    """Minimizes the rounding error of positive numbers with rare outliers."""
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(steps):
        x = tf.constant(np.abs(rng.normal(size=(64, 64))).astype("float32"))
        x = tf.concat([x, tf.fill((64, 1), 60.0)], axis=1)
        with tf.GradientTape() as tape:
            # The outliers do not count: a shorter range is better.
            error = tf.reduce_mean((tensor_range(x, training=True) - x)[:, :64] ** 2) * 1e4
        errors.append(float(error))
        variables = tensor_range.trainable_variables
        optimizer.apply(tape.gradient(error, variables), variables)
    return errors


def test_learned_scale_beats_the_average_where_outliers_stretch_it():
    averaged = QuantizationRange()
    learned = QuantizationRange(learns_step=True)
    before = learn(averaged, CALIBRATION_BATCHES, keras.optimizers.SGD(0.0))[-1]
    after = learn(learned, CALIBRATION_BATCHES + 400, keras.optimizers.Adam(0.01))[-1]
    assert averaged.trainable_variables == []
    assert after < before / 10


def test_learned_scale_waits_for_its_calibration():
    tensor_range = QuantizationRange(learns_step=True)
    learn(tensor_range, CALIBRATION_BATCHES - 1, keras.optimizers.SGD(1.0))
    assert float(tensor_range.log_factor) == 0.0


def test_frozen_learned_scale_stays_whatever_the_momentum():
    tensor_range, optimizer = QuantizationRange(learns_step=True), keras.optimizers.Adam(0.01)
    learn(tensor_range, CALIBRATION_BATCHES + 20, optimizer)
    before = float(tensor_range.log_factor)
    tensor_range.freeze()
    learn(tensor_range, 5, optimizer)
    assert before != 0.0
    assert float(tensor_range.log_factor) == before


def test_follower_rounds_to_its_leaders_scale():
    leader, follower = QuantizationRange(), QuantizationRange(learns_step=True)
    leader.build((1,))
    follower.build((1,))
    follower.follow(leader)
    x = tf.constant([0.0, 0.26, 10.0])
    np.testing.assert_array_equal(
        follower(x, training=True), x, "no tensor_range before the first batch"
    )
    leader(tf.constant([0.0, 255.0]), training=True)
    np.testing.assert_array_equal(follower(x, training=True), [0, 0, 10])
    assert follower.scale_and_zero_point() == leader.scale_and_zero_point()
    assert follower.trainable_variables == []
