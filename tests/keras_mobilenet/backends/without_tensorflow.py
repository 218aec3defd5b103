"""What a user of another backend does, without TensorFlow: train, convert, build, run, compare.

Run by test_backends.py, in a process of its own where TensorFlow is missing; KERAS_BACKEND names
the backend. Prints the SHA-256 of the file that the saved model becomes.
"""

import hashlib
import pathlib
import sys

import keras
import numpy as np
from keras import layers

import edge
import keras_mobilenet
from edge.deploy.verify import quantize_inputs
from edge.deploy.verify_engine import verify_engine
from edge.runtimes.interpreters import run_litert
from edge.tflite.reader import read_graph

SAVED = pathlib.Path(__file__).parent.parent / "saved" / "quantized.keras"
SIDE, COUNT = 12, 48


def network():
    """All kinds of layers that requantize; no Dense, which LiteRT rounds once and others twice."""
    image = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(8, 3, strides=2, use_bias=False)(image)
    stem = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(stem)
    x = layers.Activation("hard_swish")(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Conv2D(8, 1, use_bias=False, name="pointwise")(x))
    x = layers.ReLU()(layers.Add()([stem, x]))
    x = layers.AveragePooling2D(2)(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return keras.Model(image, layers.Flatten()(layers.Conv2D(4, 1)(x)))


def train(model):
    """Two float epochs, four quantization-aware ones, validated after each; learns four shades."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, COUNT)
    images = (
        rng.uniform(-0.5, 0.5, (COUNT, SIDE, SIDE, 3)) + (labels[:, None, None, None] - 1.5) / 3
    )
    images = images.astype("float32")
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.5  # a few steps must do
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(5e-3), loss, metrics=["accuracy"])
    callback = keras_mobilenet.QuantizationAwareTraining(
        start_epoch=2, freeze_bn_after=2, weight_bits={"pointwise": 4}
    )
    history = model.fit(
        images,
        labels,
        4,
        epochs=8,
        verbose=0,
        callbacks=[callback],
        validation_data=(images, labels),
    ).history
    assert history["loss"][-1] < history["loss"][0]
    return images, history["val_accuracy"][-1], labels


def main():
    model = network()
    images, accuracy, labels = train(model)
    assert any(
        float(keras.ops.convert_to_numpy(layer.output_range.log_factor)) != 0.0
        for layer in model.layers
        if getattr(getattr(layer, "output_range", None), "learns_step", False)
    ), "scales are learned"
    content = edge.convert(model)
    graph = read_graph(content)
    assert [tensor.dtype for tensor in graph.tensors].count("int4") == 1
    stored = quantize_inputs(graph, images)
    by_litert = run_litert(graph, stored)
    inputs, outputs = graph.input.quantization, graph.output.quantization
    exact = (stored.astype("float32") - inputs.zero_points[0]) * np.float32(inputs.scales[0])
    by_keras = np.round(model.predict(exact, verbose=0) / np.float32(outputs.scales[0]))
    np.testing.assert_array_equal(by_keras + outputs.zero_points[0], by_litert)
    assert len(np.unique(by_litert, axis=0)) > 5, "the outputs tell the inputs apart"
    assert abs(accuracy - (by_litert.argmax(axis=-1) == labels).mean()) < 0.05
    assert verify_engine(content, stored, boards=[]).is_equal
    saved = edge.convert(keras.saving.load_model(SAVED))
    assert not any(name.startswith("tensorflow.") for name in sys.modules)
    print(hashlib.sha256(saved).hexdigest())


if __name__ == "__main__":
    main()
