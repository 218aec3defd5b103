"""A model trained with weights of four bits becomes a file of them, and computes the same bytes."""

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.operators import has_int4_kernel, has_kernel, kernel_of
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph

BOARDS = ("qemu-m0plus", "mps2-an386", "mps3-an547")


def model_of_int4():
    """A separable block and a 1x1 convolution, trained on one batch."""
    keras.utils.set_random_seed(0)
    image = keras.Input((12, 12, 3))
    x = layers.Conv2D(8, 3, 2, padding="same", use_bias=False)(image)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = layers.Conv2D(16, 1, activation="relu6")(x)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Flatten()(layers.Conv2D(5, 1)(x))
    return keras_mobilenet.quantize_model(keras.Model(image, x), weight_bits=4)


def test_all_that_run_it_compute_what_keras_predicts(arm_compiler, qemu):
    model = model_of_int4()
    images = np.random.default_rng(0).normal(size=(20, 12, 12, 3)).astype("float32")
    model(images, training=True)
    predicted = model.predict(images, verbose=0)
    graph = read_graph(edge.convert(model))
    weighted = [op for op in graph.operators if has_kernel(op)]
    assert all(has_int4_kernel(graph, op) for op in weighted)
    for op, layer in zip(weighted, model.layers[2:], strict=False):
        if hasattr(layer, "int8_weights"):
            kernel = kernel_of(graph, op)
            np.testing.assert_array_equal(kernel.values(), layer.int8_weights().kernel)
    inputs = to_int8(images, graph.input)
    outputs = run_litert(graph, inputs).reshape(len(images), -1)
    points = graph.output.quantization
    real = (outputs.astype("float32") - points.zero_points[0]) * np.float32(points.scales[0])
    np.testing.assert_array_equal(predicted, real)
    np.testing.assert_array_equal(run_tflm(graph, inputs)[0].reshape(outputs.shape), outputs)
    for name in BOARDS:
        board = find_board(name)
        engine = compile_engine(graph, instruction_set(board))
        assert any("int4" in kernel.name for kernel in engine.kernels)
        emulated = emulate_engine(engine, board, inputs)[0].outputs
        np.testing.assert_array_equal(emulated.reshape(outputs.shape), outputs)


@pytest.mark.parametrize("weight_bits", [8, 4])
def test_the_file_counts_its_bytes(weight_bits):
    image = keras.Input((4, 4, 3))
    x = layers.Conv2D(8, 3)(image)
    model = keras_mobilenet.quantize_model(keras.Model(image, x), weight_bits=weight_bits)
    model(np.ones((2, 4, 4, 3), "float32"), training=True)
    graph = read_graph(edge.convert(model))
    assert kernel_of(graph, graph.operators[0]).bytes == 8 * 27 * weight_bits // 8
