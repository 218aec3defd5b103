"""TFLite Micro's compression on a pruned MobileNet, in the real interpreter."""

import dataclasses

import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.errors import ModelError
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.runtimes.tflm_compression import compress_weights
from edge.tflite.reader import read_graph
from keras_mobilenet.pruning.magnitude import largest


@pytest.fixture(scope="module")
def pruned(random_weights):
    """Nine of ten pointwise weights are zero."""
    pytest.importorskip("tflite_micro")
    model = keras_mobilenet.MobileNetV1((32, 32, 1), 0.25, classes=4)
    model.set_weights(random_weights(model))
    for layer in model.layers:
        if hasattr(layer, "pointwise"):
            kernel = np.array(layer.pointwise.kernel)
            layer.pointwise.kernel.assign(kernel * largest(kernel, 0.9) * 2.0)
    images = np.random.default_rng(0).uniform(-1, 1, (20, 32, 32, 1)).astype("float32")
    return read_graph(edge.convert(model, images))


def test_pruned_mobilenet_computes_the_same_from_lookup_tables(pruned):
    compressed = dataclasses.replace(pruned, content=compress_weights(pruned))
    inputs = np.random.default_rng(1).integers(-128, 128, (10, 32, 32, 1)).astype(np.int8)
    outputs, arena_bytes = run_tflm(compressed, inputs)
    plain_outputs, plain_arena_bytes = run_tflm(pruned, inputs)
    np.testing.assert_array_equal(outputs, plain_outputs)
    np.testing.assert_array_equal(outputs, run_litert(pruned, inputs))
    # Flash gains a little, the arena holds a decoded kernel: this is why export does not do it.
    assert 0.9 < len(compressed.content) / len(pruned.content) < 1.0
    assert arena_bytes > plain_arena_bytes + 25_000


def test_dense_weights_are_refused_because_they_do_not_compress(vww):
    pytest.importorskip("tflite_micro")
    graph = read_graph(vww)
    kernels = [op.inputs[1] for op in graph.operators if op.opcode == "CONV_2D"]
    rng = np.random.default_rng(0)
    noisy = {
        i: dataclasses.replace(
            graph.tensors[i],
            data=rng.integers(-127, 128, graph.tensors[i].element_count).astype(np.int8),
        )
        for i in kernels
    }
    tensors = tuple(noisy.get(t.index, t) for t in graph.tensors)
    with pytest.raises(ModelError, match="prune or cluster the model first"):
        compress_weights(dataclasses.replace(graph, tensors=tensors))


@pytest.mark.parametrize("method", ["HuffmanCompression", "PruningCompression"])
def test_other_compression_methods_of_tflm_are_not_implemented(pruned, method):
    """The day that this fails, there is something to gain."""
    from tflite_micro.tensorflow.lite.micro.compression import compressor, spec
    from tflite_micro.tensorflow.lite.micro.compression.compress import compress

    kernel = next(op.inputs[1] for op in pruned.operators if op.opcode == "CONV_2D")
    tensor = spec.Tensor(subgraph=0, tensor=kernel, compression=[getattr(spec, method)()])
    with pytest.raises(compressor.CompressionError, match="implemented"):
        compress(pruned.content, [tensor])
