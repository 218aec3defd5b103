"""TF-MOT is the oracle: same weights, same ranges, same int8; each difference has a name."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import edge
import keras_mobilenet
from edge.tflite.reader import read_graph
from keras_mobilenet.compat.tfmot import CHILD, tfmot_quantize
from keras_mobilenet.quantization.scheme import UnsupportedLayerError

KERNELS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def with_kernel(graph):
    return [op for op in graph.operators if op.opcode in KERNELS]


def steps_of(tensor):
    return np.frombuffer(tensor.data.tobytes(), np.int8).reshape(tensor.shape).astype(int)


@pytest.fixture(
    scope="module",
    params=[(32, 32, 3), pytest.param((33, 32, 3), marks=pytest.mark.exhaustive)],
    ids=["even", "padded"],
)
def both(random_weights, request):
    """MobileNetV1 0.25 with one set of weights and ranges, converted by TF-MOT and by us."""
    model = keras_mobilenet.MobileNetV1(request.param, 0.25, classes=4)
    model.set_weights(random_weights(model))
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (64, *request.param)).astype("float32")
    quantized = tfmot_quantize(model, (images, rng.integers(0, 4, 64)))
    ours, theirs = edge.convert(quantized.model), quantized.tflite
    return quantized.model, read_graph(ours), read_graph(theirs)


@pytest.mark.slow
def test_kernels_scales_and_ranges_are_those_of_tfmot(both):
    _, ours, theirs = both
    pairs = list(zip(with_kernel(ours), with_kernel(theirs), strict=True))
    assert len(pairs) == 28
    differing = total = 0
    for mine, its in pairs:
        assert mine.opcode == its.opcode
        for place, its_place in zip(
            (mine.inputs[0], mine.outputs[0]), (its.inputs[0], its.outputs[0]), strict=True
        ):
            parameters = ours.tensors[place].quantization
            its_parameters = theirs.tensors[its_place].quantization
            np.testing.assert_allclose(parameters.scales, its_parameters.scales, rtol=1e-6)
            assert parameters.zero_points == its_parameters.zero_points
        if mine.opcode == "DEPTHWISE_CONV_2D":
            continue
        kernel, its_kernel = ours.tensors[mine.inputs[1]], theirs.tensors[its.inputs[1]]
        np.testing.assert_allclose(
            kernel.quantization.scales, its_kernel.quantization.scales, rtol=1e-6
        )
        difference = np.abs(steps_of(kernel) - steps_of(its_kernel))
        assert difference.max() <= 1
        differing += np.count_nonzero(difference)
        total += difference.size
    # TF-MOT rounds the kernel before the fold and the converter folds in float32; we fold in
    # double precision and round once. At a tie the last bit decides.
    assert differing <= 1e-4 * total, f"{differing} of {total}"


@pytest.mark.slow
def test_depthwise_kernels_differ_because_tfmot_gives_the_unfolded_kernel_one_scale(both):
    """Rebuilt by that rule, TF-MOT's depthwise weights are met to the bit."""
    model, _, theirs = both
    layer_of = [layer for layer in model.layers if getattr(layer, "is_depthwise", False)]
    depthwise = [op for op in with_kernel(theirs) if op.opcode == "DEPTHWISE_CONV_2D"]
    finer = []
    for layer, its in zip(layer_of, depthwise, strict=True):
        norm = layer.batch_norm
        factor = np.array(norm.gamma) / np.sqrt(np.array(norm.moving_variance) + norm.epsilon)
        kernel = np.array(layer.convolution.kernel)[..., 0]
        step = np.abs(kernel).max() / 127
        tensor = theirs.tensors[its.inputs[1]]
        by_rule = np.round(kernel / step) * step * factor
        stored = steps_of(tensor)[0] * np.array(tensor.quantization.scales)
        # The converter gives each folded channel a scale of its own, but the values stay those of
        # the one scale before the fold.
        np.testing.assert_allclose(stored, by_rule, atol=np.max(tensor.quantization.scales) * 0.51)
        finer.append(np.abs(kernel).max(axis=(0, 1)).mean() / np.abs(kernel).max())
    assert np.mean(finer) < 0.9, "a scale per channel is finer"


def test_layer_without_a_counterpart_is_refused_by_name():
    inputs = keras.Input((8, 8, 4))
    x = layers.SeparableConv2D(4, 3, name="separable")(inputs)
    model = keras.Model(inputs, layers.Flatten()(x))
    with pytest.raises(UnsupportedLayerError, match=r"'separable'.*no counterpart in the bridge"):
        tfmot_quantize(model, (np.zeros((2, 8, 8, 4)), np.zeros(2)))


@pytest.mark.slow
def test_the_process_of_tfmot_ends_with_the_one_that_started_it(tmp_path):
    """It waits for a job that never comes, and nobody holds the other end of its pipe."""
    os.mkfifo(tmp_path / "job.json")
    child_end, our_end = os.pipe()
    os.close(our_end)
    command = [sys.executable, CHILD, tmp_path, str(child_end)]
    done = subprocess.run(command, pass_fds=[child_end], capture_output=True, timeout=120)
    os.close(child_end)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
