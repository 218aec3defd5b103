"""model.fit trains float, then with fake quantization, with one callback."""

import keras
import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from keras_mobilenet.quantization.scheme import UnsupportedLayerError
from keras_mobilenet.quantization.transform import (
    is_quantizing,
    model_ranges,
    untrained_ranges,
)


class Stages(keras.callbacks.Callback):
    """Notes after every epoch whether the model computes in int8."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(is_quantizing(self.model))


def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 32)
    shade = labels[:, None, None, None] - 0.5
    return (rng.uniform(-0.4, 0.4, (32, 8, 8, 1)) + shade).astype("float32"), labels


def compiled(optimizer="sgd", make=keras.Model):
    """One block of a MobileNet: what the callback does does not depend on their number."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = keras_mobilenet.SeparableBlock(8, strides=2)(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = make(image, keras.layers.Dense(2, activation="softmax")(x))
    # Not by XLA, which compiles for seconds.
    model.compile(optimizer, "sparse_categorical_crossentropy", jit_compile=False)
    return model


def test_until_the_start_it_trains_as_a_float_model_does():
    """Exact up to the order of sums; the learned scales stay, by weight decay as well."""

    class Weights(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.seen = getattr(self, "seen", [])
            self.seen.append([np.array(weight) for weight in weights])

    plain = compiled(keras.optimizers.AdamW(0.01, weight_decay=0.1))
    plain.fit(*data(), 8, epochs=2, shuffle=False, verbose=0)
    before = [np.array(weight) for weight in plain.weights]
    model, note = compiled(keras.optimizers.AdamW(0.01, weight_decay=0.1)), Weights()
    weights = list(model.weights)
    # The optimizer is built for the float layers, and takes the quantized ones over.
    model.optimizer.build(model.trainable_variables)
    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=2)
    model.fit(*data(), 8, epochs=3, shuffle=False, verbose=0, callbacks=[qat, note])
    for mine, its in zip(note.seen[1], before, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
    factors = [w for w in model.trainable_variables if w.path.endswith("log_factor")]
    assert factors
    assert all(float(factor) == 0.0 for factor in factors)
    assert len(model.optimizer.variables) == 2 + 2 * len(model.trainable_variables)


def test_weights_and_optimizer_have_one_structure_from_first_to_last():
    seen = []

    class Structure(keras.callbacks.Callback):
        def note(self, *_):
            optimizer = self.model.optimizer
            if not optimizer.built:
                optimizer.build(self.model.trainable_variables)
            seen.append([v.path for v in (*self.model.weights, *optimizer.variables)])

        on_train_begin = on_epoch_begin = on_epoch_end = on_train_end = note

    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    compiled("adam").fit(*data(), epochs=2, verbose=0, callbacks=[Structure(), qat])
    assert len(seen) == 6
    assert all(paths == seen[0] for paths in seen)


def test_a_loss_that_jumps_is_said_and_what_to_do():
    class Rising(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["loss"] = 1.0 + 2.5 * epoch

    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    with pytest.warns(UserWarning, match="loss is 3.5 in epoch 1, and was 1 before. Lower the lea"):
        compiled().fit(*data(), epochs=2, verbose=0, callbacks=[Rising(), qat])


def test_fit_that_ends_before_the_start_leaves_a_float_model_with_ranges():
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    model = compiled()
    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=2)
    with pytest.warns(UserWarning, match="fit ended before start_epoch=2"):
        model.fit(*data(), epochs=3, verbose=0, callbacks=[Stop(), qat])
    assert untrained_ranges(model) == []
    assert not is_quantizing(model)
    # What goes on later begins where it should.
    model.fit(*data(), initial_epoch=2, epochs=3, verbose=0, callbacks=[qat])
    assert is_quantizing(model)


def test_a_functional_subclass_trains_by_its_own_step_and_converts():
    """A distillation: the student learns from another network."""
    teacher = compiled()

    class Student(keras.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            seen.append(training)
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            return loss + keras.ops.mean((y_pred - teacher(x)) ** 2)

        def train_step(self, data):
            return super().train_step(data) | {"own": 1.0}

    seen = []
    model = compiled(make=Student)
    qat = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
    history = model.fit(*data(), epochs=2, verbose=0, callbacks=[qat]).history
    assert history["own"] == [1.0, 1.0]
    assert seen
    assert type(model) is Student
    graph = read_graph(edge.convert(model))
    stored = quantize_inputs(graph, data()[0])
    parameters = graph.output.quantization
    by_keras = model.predict(data()[0], verbose=0) / parameters.scales[0]
    assert np.abs(by_keras + parameters.zero_points[0] - run_reference(graph, stored)).max() <= 2


def test_quantization_starts_at_start_epoch_and_the_optimizer_goes_on():
    model, stages = compiled(), Stages()
    optimizer = model.optimizer
    history = model.fit(
        *data(),
        epochs=3,
        verbose=0,
        callbacks=[keras_mobilenet.QuantizationAwareTraining(start_epoch=2), stages],
    ).history
    assert stages.seen == [False, False, True]
    assert len(history["loss"]) == 3
    assert np.isfinite(history["loss"]).all()
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 3, "the optimizer goes on, it does not start anew"
    assert untrained_ranges(model) == []


def test_weights_train_while_quantized():
    model = compiled()
    callback = keras_mobilenet.QuantizationAwareTraining()
    model.fit(*data(), epochs=1, verbose=0, callbacks=[callback])
    # The learned scales wait for their calibration.
    weights = [w for w in model.trainable_weights if not w.path.endswith("log_factor")]
    before = [np.array(weight) for weight in weights]
    model.fit(*data(), epochs=1, verbose=0, callbacks=[callback])
    after = [np.array(weight) for weight in weights]
    assert all((a != b).any() for a, b in zip(before, after, strict=True))


def test_saved_model_reloads_with_its_ranges(tmp_path):
    model = compiled()
    model.fit(*data(), epochs=1, verbose=0, callbacks=[keras_mobilenet.QuantizationAwareTraining()])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert untrained_ranges(again) == []
    np.testing.assert_array_equal(
        model.predict(data()[0], verbose=0), again.predict(data()[0], verbose=0)
    )


def test_quantization_starts_at_start_step_in_the_middle_of_an_epoch():
    seen = []

    class Steps(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(is_quantizing(self.model))

    model, steps = compiled(), Steps()
    qat = keras_mobilenet.QuantizationAwareTraining(start_step=5)
    model.fit(*data(), 8, epochs=2, verbose=0, callbacks=[qat, steps])
    assert seen == [False] * 5 + [True] * 3


def test_batch_norm_and_ranges_freeze_at_their_epochs():
    seen = []

    class Frozen(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            norm = next(w for w in self.model.weights if w.path.endswith("moving_mean"))
            limits = [tuple(map(float, r.limits())) for _, r in model_ranges(self.model)]
            seen.append((np.array(norm).copy(), limits))

    model, frozen = compiled(), Frozen()
    qat = keras_mobilenet.QuantizationAwareTraining(freeze_bn_after=1, freeze_ranges_after=2)
    model.fit(*data(), epochs=4, verbose=0, callbacks=[qat, frozen])
    means, limits = zip(*seen, strict=True)
    assert (means[0] == means[1]).all()
    assert (means[1] == means[3]).all()
    assert limits[0] != limits[1]
    assert limits[1] == limits[2] == limits[3]


def test_statistics_of_an_earlier_training_stay_and_new_ones_follow(tmp_path):
    """A few batches of other data would ruin a network that came trained."""
    model = compiled()
    norms = [layer for layer in model._flatten_layers() if is_batch_norm(layer)]
    norms[0].moving_variance.assign(norms[0].moving_variance * 4)
    before = [np.array(norm.moving_mean) for norm in norms]
    model.fit(*data(), verbose=0, callbacks=[keras_mobilenet.QuantizationAwareTraining()])
    moved = [
        bool((norm.moving_mean != mean).numpy().any())
        for norm, mean in zip(norms, before, strict=True)
    ]
    assert moved == [False, *[True] * (len(norms) - 1)]
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    frozen = [getattr(layer, "is_batch_norm_frozen", None) for layer in again.layers]
    assert frozen.count(True) == 1, "resumed, it goes on as it was"


def is_batch_norm(layer):
    return isinstance(layer, keras.layers.BatchNormalization)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"start_epoch": 1, "start_step": 2}, "not both"),
        ({"start_step": -2}, "start_step must be"),
        ({"ranges": "minmax"}, "ranges must be one of"),
        ({"freeze_bn_after": -1}, "freeze_bn_after must be"),
        ({"freeze_bn_after": "later"}, "freeze_bn_after must be"),
        ({"exclude": "conv1"}, "list of layer names"),
    ],
)
def test_callback_refuses_wrong_arguments_by_name(arguments, words):
    with pytest.raises(ValueError, match=words):
        keras_mobilenet.QuantizationAwareTraining(**arguments)


@pytest.mark.parametrize("start_epoch", [-1, 1.5, True])
def test_callback_refuses_a_start_epoch_that_is_no_epoch(start_epoch):
    with pytest.raises(ValueError, match="start_epoch must be a non-negative integer"):
        keras_mobilenet.QuantizationAwareTraining(start_epoch)


def test_fit_refuses_a_start_past_the_last_epoch():
    with pytest.raises(ValueError, match="start_epoch"):
        compiled().fit(
            *data(),
            epochs=2,
            verbose=0,
            callbacks=[keras_mobilenet.QuantizationAwareTraining(start_epoch=2)],
        )


def test_fit_refuses_an_unsupported_layer_before_the_float_epochs():
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.LayerNormalization(name="norm")(inputs))
    model.compile("adam", "mse")
    stages = Stages()
    with pytest.raises(UnsupportedLayerError, match="norm"):
        model.fit(
            np.ones((4, 8)),
            np.ones((4, 8)),
            epochs=9,
            verbose=0,
            callbacks=[stages, keras_mobilenet.QuantizationAwareTraining(start_epoch=8)],
        )
    assert stages.seen == []
