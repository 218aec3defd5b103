"""The fused kernel computes what Keras's own passes compute: outputs, gradients, statistics."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_mobilenet.models.batch_norm import batch_normalized


def made(**options):
    norm = keras.layers.BatchNormalization(momentum=0.8, **options)
    norm.build((None, 5, 4, 3))
    rng = np.random.default_rng(0)
    for variable in norm.weights:
        variable.assign(rng.uniform(0.5, 2, variable.shape))
    return norm


def step(norm, normalize, x, upstream):
    variables = [variable.value for variable in norm.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = normalize(norm, x)
        loss = tf.reduce_sum(outputs * upstream)
    gradients = tape.gradient(loss, [x, *variables])
    return [outputs, *gradients, *map(np.array, norm.non_trainable_variables)]


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}])
@pytest.mark.parametrize("batch", [1, 7])
def test_is_what_keras_computes(options, batch):
    rng = np.random.default_rng(1)
    x, upstream = (tf.constant(rng.normal(1, 3, (batch, 5, 4, 3)), "float32") for _ in range(2))
    ours, keras_own = made(**options), made(**options)
    for _ in range(2):
        got = step(ours, lambda norm, x: batch_normalized(norm, x, True), x, upstream)
        expected = step(keras_own, lambda norm, x: norm(x, training=True), x, upstream)
        assert len(got) == len(expected) >= 4
        for mine, its in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine, its, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("training", [False, None])
def test_inference_takes_the_moving_statistics(training):
    norm = made()
    x = tf.ones((2, 5, 4, 3))
    before = [np.array(variable) for variable in norm.weights]
    np.testing.assert_array_equal(batch_normalized(norm, x, training), norm(x, training=False))
    for variable, value in zip(norm.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)


class Doubled(keras.layers.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return 2 * super().call(inputs, training=training, mask=mask)


@pytest.mark.parametrize(
    ("norm", "shape"),
    [
        (Doubled(), (3, 5, 4, 3)),
        (keras.layers.BatchNormalization(axis=1), (3, 5, 4, 3)),
        (keras.layers.BatchNormalization(), (3, 4)),
        (keras.layers.BatchNormalization(dtype="mixed_float16"), (3, 5, 4, 3)),
    ],
    ids=["a class of its own", "channels first", "vectors", "half precision"],
)
def test_what_the_kernel_has_not_is_keras_own(norm, shape):
    x = tf.constant(np.random.default_rng(0).normal(size=shape), "float32")
    norm.build(shape)
    start = norm.get_weights()
    got = batch_normalized(norm, x, True)
    norm.set_weights(start)
    np.testing.assert_array_equal(got, norm(x, training=True))


def test_a_frozen_layer_stays_as_it_is():
    norm = made()
    norm.trainable = False
    x = tf.ones((2, 5, 4, 3))
    before = [np.array(variable) for variable in norm.weights]
    np.testing.assert_array_equal(batch_normalized(norm, x, True), norm(x, training=False))
    for variable, value in zip(norm.weights, before, strict=True):
        np.testing.assert_array_equal(variable, value)
