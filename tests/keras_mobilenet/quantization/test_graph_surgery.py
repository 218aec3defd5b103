"""A model in training changes its graph and nothing else."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_mobilenet.quantization.graph_surgery import replace_with_quantized, retarget_optimizer


def residual():
    """A network whose twin orders its weights otherwise."""
    inputs = keras.Input((8, 8, 3))
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same")(inputs))
    y = layers.BatchNormalization()(layers.Conv2D(4, 1)(inputs))
    x = layers.ReLU()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))


OPTIMIZERS = [
    keras.optimizers.Adam,
    keras.optimizers.Nadam,
    keras.optimizers.RMSprop,
    keras.optimizers.Lion,
    keras.optimizers.Ftrl,
    lambda: keras.optimizers.SGD(0.01, momentum=0.9, use_ema=True),
    lambda: keras.optimizers.Adam(amsgrad=True, gradient_accumulation_steps=2),
    lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_every_optimizer_keeps_its_state_when_retargeted(make):
    """On variables in another order and one more: the next step is that of an untouched twin."""
    rng = np.random.default_rng(0)
    variables = [
        keras.Variable(rng.normal(size=(3, i + 1)), dtype="float32", name=f"v{i}") for i in range(3)
    ]
    twins = [keras.Variable(np.array(v), dtype="float32", name=v.name) for v in variables]
    touched, untouched = make(), make()
    for step in range(6):
        gradients = [rng.normal(size=v.shape).astype("float32") for v in variables]
        if step == 3:
            new = keras.Variable(np.ones(2), dtype="float32", name="new")
            retarget_optimizer(touched, [variables[2], new, variables[0], variables[1]])
        if step >= 3:
            order = [gradients[2], np.ones(2, "float32"), gradients[0], gradients[1]]
            touched.apply([keras.ops.convert_to_tensor(g) for g in order])
        else:
            touched.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
        untouched.apply([keras.ops.convert_to_tensor(g) for g in gradients], twins)
    for mine, its in zip(variables, twins, strict=True):
        np.testing.assert_allclose(mine, its, rtol=1e-6)


def test_momenta_stay_when_the_twin_orders_its_weights_otherwise():
    model = residual()
    model.compile(keras.optimizers.Adam(), "mse")
    model.fit(np.random.rand(8, 8, 8, 3), np.random.rand(8, 2), verbose=0)
    optimizer = model.optimizer

    def momenta():
        pairs = zip(optimizer._trainable_variables, optimizer._momentums, strict=True)
        return {id(variable): np.array(momentum) for variable, momentum in pairs}

    before, weights = momenta(), [id(v) for v in model.trainable_variables]
    replace_with_quantized(model)
    after = momenta()
    assert [id(v) for v in model.trainable_variables] != weights
    for key in weights:
        np.testing.assert_array_equal(after[key], before[key])
    model.fit(np.random.rand(8, 8, 8, 3), np.random.rand(8, 2), verbose=0)


def test_sequential_model_becomes_a_functional_one_and_saves(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), layers.ReLU()])
    model.extra = "stays"
    replace_with_quantized(model)
    model(np.ones((1, 8, 8, 3)), training=True)
    assert not isinstance(model, keras.Sequential)
    assert model.extra == "stays"
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    x = np.random.rand(2, 8, 8, 3)
    np.testing.assert_array_equal(model(x), again(x))
    assert len(again.trainable_variables) == len(model.trainable_variables) == 3
    model.export(tmp_path / "saved_model", verbose=False)
    served = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_array_equal(model(x), served.serve(x.astype("float32")))


def test_sequential_subclass_with_a_step_of_its_own_is_refused():
    class Own(keras.Sequential):
        def train_step(self, data):
            return super().train_step(data)

    model = Own([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
    with pytest.raises(ValueError, match=r"methods of its own \(train_step\)"):
        replace_with_quantized(model)
    assert type(model) is Own


MIRRORED = """
import os
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import numpy as np
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
import keras_mobilenet
from keras_mobilenet.quantization.transform import model_ranges

images = np.random.default_rng(0).uniform(-1, 1, (32, 8, 8, 3)).astype("float32")
images[::2] *= 3.0  # batches in which the halves differ
labels = np.random.default_rng(1).integers(0, 2, 32)
results = []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        keras.utils.set_random_seed(0)
        inputs = keras.Input((8, 8, 3))
        x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.01, momentum=0.9), loss, jit_compile=False)
    callback = keras_mobilenet.QuantizationAwareTraining(start_epoch=1, ranges="{ranges}")
    model.fit(images, labels, 8, epochs=4, shuffle=False, verbose=0, callbacks=[callback])
    limits = [[float(limit) for limit in r.limits()] for _, r in model_ranges(model)]
    results.append((np.array(limits), model.get_weights()))
(one_limits, one_weights), (two_limits, two_weights) = results
np.testing.assert_allclose(one_limits, two_limits, rtol=1e-3, atol=1e-6)
for one, two in zip(one_weights, two_weights, strict=True):
    np.testing.assert_allclose(one, two, rtol=1e-2, atol=1e-3)
print("equal")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "ranges", ["moving_average", pytest.param("lsq", marks=pytest.mark.exhaustive)]
)
def test_two_mirrored_replicas_train_as_one(ranges):
    """In a process of its own: logical devices are fixed when TensorFlow starts."""
    code = MIRRORED.replace("{ranges}", ranges)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["equal"], done.stderr[-2000:]
