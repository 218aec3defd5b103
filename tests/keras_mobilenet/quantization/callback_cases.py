"""Keras's callbacks beside QuantizationAwareTraining: each case trains, converts and compares.

As a program it runs the cases that are its arguments, on the backend that KERAS_BACKEND names.
"""

import itertools
import pathlib
import sys
import tempfile

import keras
import numpy as np

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from keras_mobilenet.quantization.graph_surgery import switch_quantizing
from keras_mobilenet.quantization.transform import is_quantizing

EPOCHS, STEPS = 4, 2
STARTS = {"first": {"start_epoch": 0}, "middle": {"start_epoch": 2}, "step": {"start_step": 5}}
ORDERS = ("before", "after")


def data():
    rng = np.random.default_rng(0)
    shades = rng.uniform(-1, 1, 16)
    noise = rng.uniform(-0.4, 0.4, (16, 8, 8, 1))
    return (noise + shades[:, None, None, None]).astype("float32"), (shades > 0).astype("int32")


def compiled(**options):
    """Two convolutions and a batch normalization, an average, and no dense layer: it rounds once in
    LiteRT and twice in TFLite Micro."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False, name="c")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x))
    x = keras.layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.layers.Flatten()(keras.layers.Conv2D(2, 1)(x))
    model = keras.Model(image, x)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, jit_compile=keras.backend.backend() == "jax")
    return model


class Score(keras.callbacks.Callback):
    """Logs scores that name the best epoch beforehand."""

    def __init__(self, best):
        super().__init__()
        self.best = best

    def on_epoch_end(self, epoch, logs=None):
        logs["score"] = float(epoch == self.best)


class Interrupted(keras.callbacks.Callback):
    """Ends the process, as it were, at the beginning of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def fit(others, start, order, model=None, initial_epoch=0):
    """Trains with the callbacks of a case, which stand before or after ours."""
    model = compiled() if model is None else model
    ours = keras_mobilenet.QuantizationAwareTraining(**STARTS[start])
    callbacks = [*others, ours] if order == "before" else [ours, *others]
    images, labels = data()
    model.fit(
        images,
        labels,
        len(images) // STEPS,
        epochs=EPOCHS,
        initial_epoch=initial_epoch,
        shuffle=False,
        validation_data=(images, labels),
        verbose=0,
        callbacks=callbacks,
    )
    return model


def check(model):
    """The int8 file computes what the model computes, to the bit."""
    graph = read_graph(edge.convert(model))
    stored = quantize_inputs(graph, data()[0])
    by_file = run_reference(graph, stored)
    read, written = graph.input.quantization, graph.output.quantization
    images = (stored.astype("float32") - read.zero_points[0]) * np.float32(read.scales[0])
    by_keras = model.predict(images, verbose=0) / written.scales[0] + written.zero_points[0]
    np.testing.assert_array_equal(np.round(by_keras).reshape(by_file.shape), by_file)
    assert len(np.unique(by_file, axis=0)) > 4, "the outputs tell the inputs apart"


def check_file(path):
    """A model that was saved while it trained: with ranges, from float epochs as well."""
    model = keras.saving.load_model(path)
    if not is_quantizing(model):
        switch_quantizing(model, True)
    check(model)


def stopping(folder, start, order, best):
    stop = keras.callbacks.EarlyStopping(
        "score", mode="max", patience=9, restore_best_weights=True, start_from_epoch=0
    )
    seen = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
    )
    model = compiled()
    fit([Score(best), stop, note], start, order, model)
    for mine, its in zip(model.get_weights(), seen[best], strict=True):
        np.testing.assert_array_equal(mine, its)
    check(model)


def best_checkpoint(folder, start, order, best):
    path = folder / "best.keras"
    save = keras.callbacks.ModelCheckpoint(path, "score", save_best_only=True, mode="max")
    check(fit([Score(best), save], start, order))
    check_file(path)


def every_checkpoint(folder, start, order):
    save = keras.callbacks.ModelCheckpoint(folder / "{epoch}.keras")
    check(fit([save], start, order))
    for epoch in range(EPOCHS):
        loaded = keras.saving.load_model(folder / f"{1 + epoch}.keras")
        assert is_quantizing(loaded) == (start == "first" or epoch >= 2)
        check_file(folder / f"{1 + epoch}.keras")


def backup(folder, start, order, interrupted):
    """Interrupted and resumed in a new process, as it were: it ends as if nothing had been."""
    expected = fit([], start, order)
    restore = keras.callbacks.BackupAndRestore(folder / "backup")
    try:
        fit([Interrupted(interrupted), restore], start, order)
        raise AssertionError("it was not interrupted")
    except KeyboardInterrupt:
        pass
    resumed = fit([keras.callbacks.BackupAndRestore(folder / "backup")], start, order)
    assert int(resumed.optimizer.iterations) == EPOCHS * STEPS
    for mine, its in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
    check(resumed)


def resume(folder, start, order, epochs):
    """Saved after some epochs and loaded again: it goes on as if nothing had been."""
    expected = fit([keras.callbacks.ModelCheckpoint(folder / "{epoch}.keras")], start, order)
    resumed = keras.saving.load_model(folder / f"{epochs}.keras")
    fit([], start, order, resumed, initial_epoch=epochs)
    for mine, its in zip(resumed.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-4, atol=1e-5)
    check(resumed)


def csv(folder, start, order):
    check(fit([keras.callbacks.CSVLogger(folder / "log.csv")], start, order))
    lines = (folder / "log.csv").read_text().splitlines()
    assert len(lines) == 1 + EPOCHS
    assert np.isfinite([[float(x) for x in line.split(",")] for line in lines[1:]]).all()


def tensorboard(folder, start, order):
    board = keras.callbacks.TensorBoard(folder / "board", histogram_freq=1)
    check(fit([board], start, order))
    assert any((folder / "board" / "train").iterdir())


def ema(folder, start, order):
    model = compiled(use_ema=True, ema_momentum=0.5)
    check(fit([keras.callbacks.SwapEMAWeights(swap_on_epoch=True)], start, order, model))


def plateau(folder, start, order):
    plateau = keras.callbacks.ReduceLROnPlateau("score", 0.5, patience=1, mode="max")
    model = fit([Score(0), plateau], start, order)
    assert float(model.optimizer.learning_rate) < 0.05
    check(model)


def schedule(folder, start, order):
    model = fit([keras.callbacks.LearningRateScheduler(lambda e, rate: rate / 2)], start, order)
    assert np.isclose(float(model.optimizer.learning_rate), 0.05 / 2**EPOCHS)
    check(model)


def nan(folder, start, order):
    model = fit([keras.callbacks.TerminateOnNaN()], start, order)
    assert int(model.optimizer.iterations) == EPOCHS * STEPS
    check(model)


def magnitude(folder, start, order):
    pruning = keras_mobilenet.MagnitudePruning(0.5, exclude=["c"])
    model = fit([pruning], start, order, compiled(use_ema=True, ema_momentum=0.5))
    zeros = sorted(float((np.array(w) == 0).mean()) for w in model.weights if len(w.shape) == 4)
    assert zeros == [0.0, 0.5]
    check(model)


def channel(folder, start, order):
    pruning = keras_mobilenet.ChannelPruning(target_macs=0.6, end_epoch=1, multiple_of=1)
    check(fit([pruning], start, order))
    assert pruning.pruned_model.count_params() < compiled().count_params()
    check(pruning.pruned_model)


CALLBACKS = {
    "stopping_early": lambda *case: stopping(*case, 1),
    "stopping_late": lambda *case: stopping(*case, 2),
    "best_early": lambda *case: best_checkpoint(*case, 1),
    "best_late": lambda *case: best_checkpoint(*case, 2),
    "every_checkpoint": every_checkpoint,
    "backup_1": lambda *case: backup(*case, 1),
    "backup_2": lambda *case: backup(*case, 2),
    "backup_3": lambda *case: backup(*case, 3),
    "resume_1": lambda *case: resume(*case, 1),
    "resume_2": lambda *case: resume(*case, 2),
    "resume_3": lambda *case: resume(*case, 3),
    "csv": csv,
    "tensorboard": tensorboard,
    "ema": ema,
    "plateau": plateau,
    "schedule": schedule,
    "nan": nan,
    "magnitude": magnitude,
    "channel": channel,
}

CASES = ["-".join(case) for case in itertools.product(CALLBACKS, STARTS, ORDERS)]


def run(case):
    """Runs one case by its name."""
    name, start, order = case.split("-")
    with tempfile.TemporaryDirectory() as folder:
        CALLBACKS[name](pathlib.Path(folder), start, order)
    keras.backend.clear_session()


if __name__ == "__main__":
    for case in sys.argv[1:]:
        run(case)
        print("passed", case, flush=True)
