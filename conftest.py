"""Where the examples in the docstrings run, and what they find there.

Each has an empty folder of its own. It may name, without making them:

- `graph`, a small int8 network, and its file `model.tflite`;
- `model`, the float Keras model of the same weights, and its file `model.keras`;
- `images`, eight inputs of that model.

An example that needs a tool which is not installed is skipped; in CI it fails.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import functools
import os
import pathlib
import signal
import tempfile

import pytest


def _small_model() -> bytes:
    """A .tflite of an image of 8x8 pixels: convolutions, a residual sum, pooling, two classes."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    from edge.tflite.writer import AlignedBuffer, pack

    rng = np.random.default_rng(0)
    subgraph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [subgraph], [AlignedBuffer()]
    model.operatorCodes, subgraph.tensors, subgraph.operators = [], [], []

    def tensor(name, shape, scales=(), zero_point=0, values=None, axis=0):
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = schema.TensorType.INT8
        if values is not None:
            made.buffer = len(model.buffers)
            buffer = AlignedBuffer()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            if values.dtype == np.int32:
                made.type = schema.TensorType.INT32
        if scales:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = list(scales)
            made.quantization.zeroPoint = [zero_point] * len(scales)
            made.quantization.quantizedDimension = axis
        subgraph.tensors.append(made)
        return len(subgraph.tensors) - 1

    def operator(name, inputs, output, options, **fields):
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        made.opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        for field, value in fields.items():
            setattr(made.builtinOptions, field, value)
        subgraph.operators.append(made)
        return output

    def weights(name, shape, axis, source_scale):
        channels = shape[axis]
        kernel = rng.integers(-127, 128, shape, np.int8)
        bias = rng.integers(-20000, 20000, channels, np.int32)
        scales = [2.0**-9] * channels
        return [
            tensor(f"{name}/kernel", shape, scales, values=kernel, axis=axis),
            tensor(f"{name}/bias", (channels,), [source_scale * 2.0**-9] * channels, values=bias),
        ]

    relu6 = {"fusedActivationFunction": schema.ActivationFunctionType.RELU6}
    square = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    grid = ((2.0**-5,), -128)
    image = tensor("image", (1, 8, 8, 3), (2.0**-7,), 0)
    stem = operator(
        "CONV_2D",
        [image, *weights("stem", (4, 3, 3, 3), 0, 2.0**-7)],
        tensor("stem", (1, 4, 4, 4), *grid),
        "Conv2DOptions",
        **relu6 | square | {"strideW": 2, "strideH": 2},
    )
    depthwise = operator(
        "DEPTHWISE_CONV_2D",
        [stem, *weights("depthwise", (1, 3, 3, 4), 3, 2.0**-5)],
        tensor("depthwise", (1, 4, 4, 4), *grid),
        "DepthwiseConv2DOptions",
        **relu6 | square | {"depthMultiplier": 1},
    )
    pointwise = operator(
        "CONV_2D",
        [depthwise, *weights("pointwise", (4, 1, 1, 4), 0, 2.0**-5)],
        tensor("pointwise", (1, 4, 4, 4), (2.0**-5,), 0),
        "Conv2DOptions",
        **square,
    )
    total = operator(
        "ADD",
        [stem, pointwise],
        tensor("sum", (1, 4, 4, 4), (2.0**-4,), -64),
        "AddOptions",
    )
    pooled = operator(
        "MEAN",
        [total, tensor("axes", (2,), values=np.array([1, 2], np.int32))],
        tensor("pooled", (1, 4), (2.0**-4,), -64),
        "ReducerOptions",
        keepDims=False,
    )
    logits = operator(
        "FULLY_CONNECTED",
        [pooled, *weights("logits", (2, 4), 0, 2.0**-4)],
        tensor("logits", (1, 2), (2.0**-4,), 0),
        "FullyConnectedOptions",
    )
    classes = operator(
        "SOFTMAX",
        [logits],
        tensor("classes", (1, 2), (2.0**-8,), -128),
        "SoftmaxOptions",
        beta=1.0,
    )
    subgraph.inputs, subgraph.outputs = [image], [classes]
    return pack(model)


@functools.cache
def _graph():
    from edge.tflite.reader import read_graph

    return read_graph(_small_model())


@functools.cache
def _model():
    """The network of `_small_model` in Keras, before its weights were rounded."""
    import keras
    from keras import layers

    from edge.debugger.align import int8_kernel

    graph = _graph()
    image = keras.Input((8, 8, 3), name="image")
    stem = layers.Conv2D(4, 3, 2, padding="same", activation="relu6", name="stem")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6", name="depthwise")(stem)
    x = layers.Conv2D(4, 1, name="pointwise")(x)
    x = layers.Add(name="sum")([stem, x])
    x = layers.GlobalAveragePooling2D(name="pooled")(x)
    x = layers.Dense(2, activation="softmax", name="logits")(x)
    model = keras.Model(image, x, name="small")
    for op in graph.operators:
        kernel = int8_kernel(graph, op)
        if kernel is not None:
            layer = model.get_layer(graph.tensors[op.outputs[0]].name)
            bias = graph.tensors[op.inputs[2]]
            # Both formats have the output channels last, int8_kernel has them first.
            layer.set_weights(
                [
                    kernel.T.reshape(layer.get_weights()[0].shape),
                    bias.values() * bias.quantization.scales[0],
                ]
            )
    return model


@functools.cache
def _model_file() -> bytes:
    from edge.converter.keras_files import keras_bytes

    return keras_bytes(_model())


def _images():
    import numpy as np

    return np.random.default_rng(0).uniform(-1, 1, (8, 8, 8, 3)).astype("float32")


VALUES = {"graph": _graph, "model": _model, "images": _images}
FILES = {"model.tflite": lambda: _graph().content, "model.keras": _model_file}


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item):
    """Runs a docstring's examples where they can write files and handle signals."""
    if not isinstance(item, pytest.DoctestItem):
        return (yield)
    from edge.errors import MissingToolError
    from edge.system.signals import SIGNALS

    # None would be a handler that Python did not set, and cannot set again.
    found = {number: signal.getsignal(number) for number in SIGNALS}
    handlers = {number: handler for number, handler in found.items() if handler is not None}
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as folder, contextlib.chdir(folder):
        _stage(item.dtest)
        try:
            return (yield)
        except doctest.UnexpectedException as error:
            missing = error.exc_info[1]
            if isinstance(missing, MissingToolError) and not os.environ.get("CI"):
                pytest.skip(str(missing))
            raise
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)


def _stage(test: doctest.DocTest) -> None:
    """Makes what the examples name, and no more: the Keras model takes seconds."""
    run = [example for example in test.examples if not example.options.get(doctest.SKIP)]
    nodes = [node for example in run for node in ast.walk(ast.parse(example.source))]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    own = {name.id for name in names if isinstance(name.ctx, ast.Store)} | test.globs.keys()
    for name in ({name.id for name in names} - own) & VALUES.keys():
        test.globs[name] = VALUES[name]()
    for name in {node.value for node in nodes if isinstance(node, ast.Constant)} & FILES.keys():
        pathlib.Path(name).write_bytes(FILES[name]())
