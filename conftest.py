"""Where the examples in the docstrings run, and what they find there.

Each has an empty folder of its own. It may name, without making them:

- `graph`, a small int8 network, and its file `model.tflite`;
- `model`, the float Keras model of the same weights, and its file `model.keras`;
- `images`, eight inputs of that model;
- `port`, a serial port with a board behind it that answers as its firmware does, `link`, which is
  open to it, and `device`, what it told of itself.

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


@functools.cache
def _graph():
    from networks import small_tflite

    from edge.tflite.reader import read_graph

    return read_graph(small_tflite())


@functools.cache
def _model():
    """The network of `small_tflite` in Keras, before its weights were rounded."""
    import keras
    from keras import layers

    from edge.debugger.kernels import int8_kernel

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


OPEN = contextlib.ExitStack()
"""What stays open until the process ends."""


@functools.cache
def _port():
    from serial_boards import SpokenBoard

    return SpokenBoard(_graph()).port


@functools.cache
def _link():
    from edge.firmware.serial_link import open_link

    return OPEN.enter_context(open_link(_port()))


VALUES = {
    "graph": _graph,
    "model": _model,
    "images": _images,
    "port": _port,
    "link": _link,
    "device": lambda: _link().about(),
}
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
