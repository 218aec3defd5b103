"""TensorFlow's converter as the oracle of ours, and how far apart two of their files are.

TensorFlow's float arithmetic (its reciprocal square roots, its vector units) differs in the last
bit from one machine to the next, and a weight that lies on a rounding boundary then takes the other
step. So the last bits are counted, and bounded, instead of being compared.
"""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pytest
from networks import BY_BOTH_CONVERTERS

from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.graph import Graph, Operator
from edge.tflite.reader import read_graph
from edge.tflite.writer import pack, unpack
from keras_mobilenet.quantization import quantizer
from keras_mobilenet.quantization.fake_quant import rounded_kernel, weight_limits
from keras_mobilenet.quantization.layers import kernel as kernels
from keras_mobilenet.quantization.layers import pooling

IN_CI = ("ds_cnn", "resnet8")
NETWORKS = [
    pytest.param(name, marks=() if name in IN_CI else pytest.mark.exhaustive)
    for name in BY_BOTH_CONVERTERS
]
"""The names of the networks that both converters write: a test's parameters."""

WITH_WEIGHTS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
BOUNDARY = 1e-3
"""So near to the middle between two steps lies a weight that may take either."""


def by_tensorflow(model, samples=None) -> bytes:
    """What TensorFlow's converter makes of a model.

    Args:
        model: A float model; a quantization-aware one without samples.
        samples: What a float model's ranges are found from.

    Returns:
        The .tflite's bytes.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    from keras_mobilenet.quantization.transform import set_exporting

    signature = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="input")
    set_exporting(model, True)
    with _operators_of_tensorflow():
        function = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    set_exporting(model, False)
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    if samples is not None:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
        converter.representative_dataset = lambda: ([sample[np.newaxis]] for sample in samples)
    return converter.convert()


def with_ranges(model, batch=4):
    """The quantization-aware twin of a float network, its ranges set by random images."""
    from keras_mobilenet.quantization.transform import quantize_model

    rng = np.random.default_rng(0)
    twin = quantize_model(model)
    images = rng.uniform(-1, 1, (batch, *model.input_shape[1:])).astype("float32")
    for _ in range(2):
        twin(images, training=True)
    return twin


@contextlib.contextmanager
def _operators_of_tensorflow():
    """Puts the operators into the graph by which the converter knows fake quantization."""
    import tensorflow as tf

    def activation(x, low, high):
        limits = (tf.cast(limit, tf.float32) for limit in (low, high))
        return tf.quantization.fake_quant_with_min_max_vars(x, *limits)

    def kernel(value, axes):
        steps, scale = rounded_kernel(tf.cast(value, tf.float64), axes)
        rounded, limits = tf.cast(steps, tf.float32) * scale, weight_limits(value, axes)
        if axes is None:
            return tf.quantization.fake_quant_with_min_max_vars(
                rounded, -limits, limits, narrow_range=True
            )
        # A depthwise kernel's output channels are its last two axes together.
        limits = tf.reshape(limits, (-1,))
        rounded = tf.reshape(rounded, (*value.shape[:2], -1, limits.shape[0]))
        quantized = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            rounded, -limits, limits, narrow_range=True
        )
        return tf.reshape(quantized, value.shape)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantizer, "fake_quant_activation", activation)
        patch.setattr(pooling, "fake_quant_activation", activation)
        patch.setattr(kernels, "fake_quant_kernel", kernel)
        yield


@dataclasses.dataclass
class Differences:
    """How far apart two files of the same operators are.

    Attributes:
        weights: How many weights there are.
        moved_weights: How many of them differ, each by one step.
        far_weights: How many of those do not lie on a rounding boundary.
        scales: How many scales there are.
        moved_scales: How many of them differ.
        scale_ratio: The largest relative difference of two scales.
        moved_zero_points: How many zero points differ.
        moved_biases: How many biases differ.
        bias_ratio: The largest difference of two biases over what their last float bits allow.
        pairs: The oracle's tensor to each of ours.
    """

    weights: int = 0
    moved_weights: int = 0
    far_weights: int = 0
    scales: int = 0
    moved_scales: int = 0
    scale_ratio: float = 0.0
    moved_zero_points: int = 0
    moved_biases: int = 0
    bias_ratio: float = 0.0
    pairs: dict[int, int] = dataclasses.field(default_factory=dict, repr=False)


def differences(ours: Graph, theirs: Graph, unrounded: dict[str, np.ndarray]) -> Differences:
    """Walks two graphs from their outputs to their inputs, and fails where they are not one.

    Args:
        ours: Our graph, whose operators' outputs are named after the layers.
        theirs: The oracle's; a RESHAPE that ours does without is left out.
        unrounded: By layer, the weights in steps before they are rounded, in TFLite's order.

    Returns:
        The `Differences` of their numbers.
    """
    found = Differences()
    _walk(ours, theirs, (ours.outputs[0], theirs.outputs[0]), found, unrounded)
    kinds = [
        [op.opcode for op in graph.operators if op.opcode != "RESHAPE"] for graph in (ours, theirs)
    ]
    assert sorted(kinds[0]) == sorted(kinds[1])
    assert found.pairs[ours.inputs[0]] == theirs.inputs[0]
    return found


def _walk(ours, theirs, place, found, unrounded) -> None:
    mine, other = (_maker(graph, one) for graph, one in zip((ours, theirs), place, strict=True))
    if other is not None and other.opcode == "RESHAPE" and mine.opcode != "RESHAPE":
        return _walk(ours, theirs, (place[0], other.inputs[0]), found, unrounded)
    if place[0] in found.pairs:
        assert found.pairs[place[0]] == place[1], "a tensor of ours stands for two of theirs"
        return None
    found.pairs[place[0]] = place[1]
    left, right = ours.tensors[place[0]], theirs.tensors[place[1]]
    assert int(np.prod(left.shape)) == int(np.prod(right.shape)), left.name
    _compare_scales(left.quantization, right.quantization, found)
    if mine is None and other is None:
        return None
    assert (mine.opcode, _options(mine)) == (other.opcode, _options(other)), left.name
    for index, pair in enumerate(zip(mine.inputs, other.inputs, strict=True)):
        left, right = ours.tensors[pair[0]], theirs.tensors[pair[1]]
        if not left.is_constant:
            _walk(ours, theirs, pair, found, unrounded)
            continue
        found.pairs[pair[0]] = pair[1]
        if mine.opcode in WITH_WEIGHTS and index == 1:
            _compare_scales(left.quantization, right.quantization, found)
            steps = unrounded[left.name.removesuffix("/kernel")]
            _compare_weights(left.values(), right.values(), steps, found)
        elif mine.opcode in WITH_WEIGHTS:
            _compare_biases(left.values(), right.values(), found)
        else:
            np.testing.assert_array_equal(left.values(), right.values())
    return None


def with_last_bits_of(theirs: Graph, ours: Graph, pairs: dict[int, int]) -> Graph:
    """Our graph with the scales and biases of the oracle, whose last bits are its machine's.

    What is left to differ are operators, weights and zero points.
    """
    model = unpack(ours.content)
    tensors = model.subgraphs[0].tensors
    others = unpack(theirs.content)
    for place, other in pairs.items():
        right = others.subgraphs[0].tensors[other]
        tensors[place].quantization = right.quantization
        if theirs.tensors[other].dtype == "int32":
            model.buffers[tensors[place].buffer].data = others.buffers[right.buffer].data
    return read_graph(pack(model))


def _maker(graph: Graph, tensor: int) -> Operator | None:
    return next((op for op in graph.operators if tensor in op.outputs), None)


def _options(op: Operator) -> list:
    # A pooling of theirs may cut off at 6 what the QUANTIZE after it cuts off anyway.
    left_out = ("activation",) if op.opcode == "MAX_POOL_2D" else ()
    return sorted((name, value) for name, value in op.options.items() if name not in left_out)


def _compare_scales(left, right, found: Differences) -> None:
    if left is right is None:
        return
    assert (left.axis, len(left.scales)) == (right.axis, len(right.scales))
    found.moved_zero_points += sum(
        a != b for a, b in zip(left.zero_points, right.zero_points, strict=True)
    )
    for a, b in zip(left.scales, right.scales, strict=True):
        found.scales += 1
        found.moved_scales += a != b
        found.scale_ratio = max(found.scale_ratio, abs(a / b - 1))


def _compare_weights(left, right, steps, found: Differences) -> None:
    assert left.shape == right.shape == steps.shape
    moved = np.abs(left.astype(int) - right)
    assert moved.max() <= 1
    is_far = np.abs(np.abs(steps - np.floor(steps)) - 0.5) > BOUNDARY
    found.weights += left.size
    found.moved_weights += int((moved > 0).sum())
    found.far_weights += int(((moved > 0) & is_far).sum())


def _compare_biases(left, right, found: Differences) -> None:
    moved = np.abs(left.astype(np.int64) - right)
    found.moved_biases += int((moved > 0).sum())
    # A step where the rounding falls the other way, and what the scales' last bits make of it.
    allowed = 1 + np.abs(left.astype(np.float64)) * 2.0**-21
    found.bias_ratio = max(found.bias_ratio, float((moved / allowed).max()))


COUNT = 50
MOVED_SHARE = 3e-4
"""Of the weights, so many may lie where that arithmetic decides to which step they are rounded."""


def check(ours: Graph, theirs: Graph, twin, last_bits: float) -> Differences:
    """Fails unless two graphs are one but for last bits, and their outputs equal.

    Args:
        ours: Our graph.
        theirs: The oracle's.
        twin: The quantization-aware model that ours was written from.
        last_bits: How far scales may differ, relatively.

    Returns:
        The `Differences`, which are printed as well.
    """
    found = differences(ours, theirs, unrounded_weights(twin))
    inputs = np.random.default_rng(1).integers(-128, 128, (COUNT, *ours.input.shape[1:]), np.int8)
    expected = run_litert(theirs, inputs).astype(int)
    bare = np.abs(run_litert(ours, inputs) - expected)
    print(f"{found}; outputs that differ: {(bare > 0).sum()} of {bare.size}")
    assert found.scale_ratio <= last_bits
    assert found.moved_zero_points == found.far_weights == 0
    assert found.moved_weights <= max(1, found.weights * MOVED_SHARE)
    assert found.bias_ratio <= 1
    same = with_last_bits_of(theirs, ours, found.pairs)
    steps = np.abs(run_litert(same, inputs) - expected)
    if found.moved_weights:
        # A weight that is a step away moves what depends on it by a fraction of a step.
        assert (steps > 1).mean() <= 0.01
    else:
        assert steps.max() == 0
        np.testing.assert_array_equal(run_tflm(same, inputs)[0], run_tflm(theirs, inputs)[0])
    return found


def unrounded_weights(twin) -> dict[str, np.ndarray]:
    """By layer of a quantization-aware model, its weights in steps before they are rounded."""
    return {
        layer.name: _steps(layer)
        for layer in twin.layers
        if hasattr(layer, "convolution") or hasattr(layer, "dense")
    }


def _steps(layer) -> np.ndarray:
    if hasattr(layer, "dense"):
        kernel = np.asarray(layer.dense.kernel).astype(np.float64).T
        return kernel / np.abs(kernel).max() * 127
    kernel = np.asarray(layer.convolution.kernel).astype(np.float64)
    if layer.is_depthwise:
        kernel = kernel.reshape(*kernel.shape[:2], 1, -1)
    if (norm := layer.batch_norm) is not None:
        deviation = np.sqrt(np.asarray(norm.moving_variance).astype(np.float64) + norm.epsilon)
        kernel = kernel / deviation * (np.asarray(norm.gamma) if norm.scale else 1.0)
    steps = kernel / np.abs(kernel).max(axis=(0, 1, 2)) * 127
    return steps.transpose(2, 0, 1, 3) if layer.is_depthwise else steps.transpose(3, 0, 1, 2)
