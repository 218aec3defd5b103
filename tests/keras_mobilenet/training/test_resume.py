"""A training that was killed goes on from its checkpoint as if nothing had happened."""

import functools
import json
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import json
import os
import signal
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import numpy as np
import tensorflow as tf

import keras_mobilenet
from keras_mobilenet.pruning import MagnitudePruning, PolynomialDecay
from keras_mobilenet.pruning.magnitude import prunable_kernels
from keras_mobilenet.quantization.transform import model_ranges

checkpoint, initial_epoch, killed_at, unit, ranges = sys.argv[1:]
initial_epoch, killed_at = int(initial_epoch), int(killed_at)
tf.config.experimental.enable_op_determinism()
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
images = rng.uniform(-1, 1, (64, 16, 16, 1)).astype("float32")
labels = rng.integers(0, 2, 64)

if initial_epoch:
    model = keras.saving.load_model(checkpoint)
else:
    inputs = keras.Input((16, 16, 1))
    x = keras_mobilenet.SeparableBlock(16, alpha=1.0)(inputs)
    y = keras_mobilenet.SeparableBlock(16, alpha=1.0)(x)
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Add()([x, y]))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)

class Told(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_end(self, epoch, logs=None):
        masks = {
            name: np.flatnonzero(np.array(kernel) == 0).tolist()
            for name, kernel in prunable_kernels(self.model).items()
        }
        limits = [[float(limit) for limit in r.limits()] for _, r in model_ranges(self.model)]
        iterations = int(self.model.optimizer.iterations)
        print(json.dumps([epoch, logs["loss"], iterations, masks, limits]), flush=True)

start = {"start_step": 20} if unit == "steps" else {"start_epoch": 2}
after = 16 if unit == "steps" else 3
callbacks = [
    MagnitudePruning(schedule=PolynomialDecay(0.0, 0.8, 4, 44, frequency=3)),
    keras_mobilenet.QuantizationAwareTraining(
        **start, ranges=ranges, freeze_bn_after=after, freeze_ranges_after=after
    ),
    Told(),
    keras.callbacks.ModelCheckpoint(checkpoint),
]
model.fit(
    images, labels, 8, epochs=7, initial_epoch=initial_epoch, shuffle=False, verbose=0,
    callbacks=callbacks,
)
"""


def run(checkpoint, initial_epoch, killed_at, *variant):
    arguments = [str(checkpoint), str(initial_epoch), str(killed_at), *variant]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The run that was left alone, once for each variant."""

    @functools.cache
    def run_whole(*variant):
        done, expected = run(tmp_path_factory.mktemp("whole") / "model.keras", 0, 0, *variant)
        assert done.returncode == 0, done.stderr[-1000:]
        return expected

    return run_whole


EPOCHS, STEPS = ("epochs", "moving_average"), ("steps", "lsq")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "killed_in_epoch"),
    [
        pytest.param(EPOCHS, 1, marks=pytest.mark.exhaustive),
        pytest.param(STEPS, 3, marks=pytest.mark.exhaustive),
        pytest.param(STEPS, 5, marks=pytest.mark.exhaustive),
    ],
)
def test_killed_training_resumes_with_its_losses_masks_ranges_and_schedule(
    tmp_path, uninterrupted, variant, killed_in_epoch
):
    """Killed before the start of int8, while pruning goes on, and with ranges frozen."""
    expected = uninterrupted(*variant)
    assert len(expected) == 7
    assert expected[-1][4], "ranges are told"
    checkpoint = tmp_path / "killed.keras"
    killed, before = run(checkpoint, 0, 8 * killed_in_epoch + 4, *variant)
    assert killed.returncode == -signal.SIGKILL
    assert len(before) == killed_in_epoch
    resumed, after = run(checkpoint, killed_in_epoch, 0, *variant)
    assert resumed.returncode == 0, resumed.stderr[-1000:]
    assert before + after == expected
