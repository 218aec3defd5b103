"""Opens what stands for a model: a Keras model, a file, bytes or a graph."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from edge.errors import quoted, readable
from edge.tflite.graph import Graph, Int8Graph
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8
from edge.transforms.int8_ends import with_int8_ends


def read_model(model: Any, representative_dataset: Any = None) -> Int8Graph:
    """Reads a model of any kind as an int8 graph.

    A float32 or uint8 input and output are taken off where they are but a QUANTIZE and a DEQUANTIZE
    around an int8 body; their scales stay those of the body's ends.

    Args:
        model: A Keras model, a path to a `.keras` or `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        representative_dataset: Typical inputs for a Keras model that is not quantization-aware, in
            any form that `edge.convert` takes.

    Returns:
        The `Int8Graph`, which has one int8 input and one int8 output and computes in int8 only.

    Raises:
        EdgeError: If the model cannot be read or converted, or is not an int8 model.

    Example:
        >>> read_model("model.tflite").total_macs()
        2568
    """
    graph = _graph(model, representative_dataset)
    if isinstance(graph, Int8Graph):
        return graph
    body = with_int8_ends(graph)
    checked = require_int8(body, message_name(model))
    return checked if body is graph else dataclasses.replace(checked, original=graph)


def model_name(model: Any) -> str:
    """The name of a model: what a report calls it and what a package is named after.

    Args:
        model: A Keras model, the path of a file, the bytes of a .tflite, or a `Graph`.

    Returns:
        The file's name, the Keras model's name, or `"model"` if it has none.

    Example:
        >>> model_name("models/vww.tflite"), model_name(b"")
        ('vww.tflite', 'model')
    """
    if isinstance(model, (str, os.PathLike)):
        # A file's name is bytes, and need not be text.
        return os.fsencode(pathlib.Path(model).name).decode("utf-8", "replace")
    own = getattr(model, "name", None)
    return own if isinstance(own, str) and own else "model"


def message_name(model: Any) -> str:
    """The words that stand for a model in a message.

    Args:
        model: A Keras model, the path of a file, the bytes of a .tflite, or a `Graph`.

    Returns:
        The path of the file, or the subject of a sentence.

    Example:
        >>> message_name("models/vww.tflite"), message_name(b"")
        ('models/vww.tflite', 'The model')
    """
    if isinstance(model, (str, os.PathLike)):
        return readable(os.fspath(model), 80)
    return f"Model {quoted(model.name)}" if hasattr(model, "name") else "The model"


def _graph(model: Any, representative_dataset: Any) -> Graph:
    if isinstance(model, Graph):
        return model
    if isinstance(model, bytes):
        return read_graph(model)
    if isinstance(model, (str, os.PathLike)) and not os.fspath(model).endswith(".keras"):
        return read_graph(model)
    # TensorFlow takes seconds to import; a .tflite does without.
    from edge.converter.convert import convert

    return read_graph(convert(model, representative_dataset))
