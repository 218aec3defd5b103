"""The smallest weights go, stay gone, and come back as zeros from the int8 file."""

import os

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.tflite.reader import read_graph
from keras_mobilenet.pruning import ConstantSparsity, MagnitudePruning, PolynomialDecay
from keras_mobilenet.pruning.magnitude import largest, prunable_kernels

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def data(count=64, side=16):
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, side, side, 3)).astype("float32"), rng.integers(0, 2, count)


def network(**arguments):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, name="first", kernel_constraint=keras.constraints.MaxNorm(1.0))(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = keras_mobilenet.SeparableBlock(16, alpha=1.0, name="block")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(2, activation="softmax", name="head")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False, **arguments)
    return model


def sparsities(model):
    return {name: float((np.array(k) == 0).mean()) for name, k in prunable_kernels(model).items()}


class EveryStep(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(sparsities(self.model)["head"])


def test_prunable_kernels_are_pointwise_and_dense_and_not_depthwise():
    assert list(prunable_kernels(network())) == ["first", "block/pointwise", "head"]


def test_zeros_stay_at_every_step_and_the_weights_own_constraint_holds():
    model, watch = network(), EveryStep()
    pruning = MagnitudePruning(schedule=ConstantSparsity(0.75, 4, frequency=100))
    history = model.fit(*data(), 8, epochs=2, verbose=0, callbacks=[pruning, watch]).history
    assert watch.seen == [0.0] * 4 + [0.75] * 12
    kernel = model.get_layer("first").kernel
    assert kernel.constraint.max_value == 1.0, "the constraint of before is back"
    assert np.sqrt((np.array(kernel) ** 2).sum(axis=(0, 1, 2))).max() <= 1.0 + 1e-6
    assert history["sparsity"] == [pytest.approx(0.75, abs=0.01)] * 2


def test_next_fit_without_the_callback_trains_every_weight():
    model = network()
    model.fit(
        *data(), 8, verbose=0, callbacks=[MagnitudePruning(schedule=ConstantSparsity(0.5, 0))]
    )
    model.fit(*data(), 8, verbose=0)
    assert sparsities(model)["head"] < 0.1


def test_default_schedule_ends_half_way():
    model, watch = network(), EveryStep()
    model.fit(*data(), 8, epochs=4, verbose=0, callbacks=[MagnitudePruning(0.5), watch])
    assert watch.seen[0] == 0.0
    assert watch.seen[16] == pytest.approx(0.5, abs=0.04)
    assert watch.seen == sorted(watch.seen)


def test_several_steps_per_execution_miss_no_pruning():
    model = network(steps_per_execution=3)
    pruning = MagnitudePruning(schedule=ConstantSparsity(0.5, 4, end_step=5))
    model.fit(*data(), 8, epochs=2, verbose=0, callbacks=[pruning])
    assert sparsities(model)["head"] == 0.5


def test_zeros_survive_quantization_and_conversion():
    model = network()
    callbacks = [
        MagnitudePruning(schedule=PolynomialDecay(0.0, 0.75, 0, 8, frequency=2)),
        keras_mobilenet.QuantizationAwareTraining(start_epoch=2),
    ]
    model.fit(*data(), 8, epochs=4, verbose=0, callbacks=callbacks)
    graph = read_graph(edge.convert(model))
    pointwise = [graph.tensors[op.inputs[1]] for op in graph.operators if op.opcode == "CONV_2D"][
        -1
    ]
    steps = np.frombuffer(pointwise.data.tobytes(), np.int8).reshape(pointwise.shape)
    kernel = np.array(prunable_kernels(model)["block/pointwise"])
    zeros = np.moveaxis(kernel, -1, 0) == 0
    assert zeros.mean() == pytest.approx(0.75, abs=0.01)
    assert (steps[zeros] == 0).all()
    assert (steps == 0).mean() < 0.85, "rounding adds few"


def test_schedules_of_tfmot_prune_as_ours():
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_schedule as tfmot

    for theirs, ours in [
        (
            tfmot.PolynomialDecay(0.1, 0.8, 2, 12, frequency=3),
            PolynomialDecay(0.1, 0.8, 2, 12, 3, 3),
        ),
        (tfmot.ConstantSparsity(0.5, 3), ConstantSparsity(0.5, 3)),
    ]:
        seen = []
        for schedule in (theirs, ours):
            model, watch = network(), EveryStep()
            pruning = MagnitudePruning(schedule=schedule)
            model.fit(*data(), 8, epochs=2, shuffle=False, verbose=0, callbacks=[pruning, watch])
            seen.append(watch.seen)
        assert seen[0] == seen[1]
        assert max(seen[0]) >= 0.5


@pytest.mark.parametrize("sparsity", [0.0, 0.3, 0.5, 0.9, 0.999])
def test_mask_is_that_of_tfmot(sparsity):
    import tensorflow as tf
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl

    weights = np.random.default_rng(1).normal(size=(3, 3, 8, 5)).astype("float32")
    impl = pruning_impl.Pruning(
        lambda: 0, [], lambda step: (True, tf.constant(sparsity)), (1, 1), "AVG"
    )
    impl._step_fn = lambda: 0
    _, expected = impl._update_mask(tf.constant(weights))
    np.testing.assert_array_equal(largest(weights, sparsity), expected.numpy() != 0)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either final_sparsity or schedule"),
        ({"final_sparsity": 1.5}, "final_sparsity must lie"),
        ({"schedule": 3}, "schedule must be callable"),
    ],
)
def test_magnitude_pruning_refuses_wrong_arguments_by_name(arguments, words):
    with pytest.raises(ValueError, match=words):
        MagnitudePruning(**arguments)


def test_exclude_refuses_an_unknown_layer_by_name():
    pruning = MagnitudePruning(0.5, exclude=["nowhere"])
    with pytest.raises(ValueError, match="exclude names no layer with a kernel to prune: nowhere"):
        network().fit(*data(), 8, verbose=0, callbacks=[pruning])
