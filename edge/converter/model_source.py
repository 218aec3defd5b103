"""Opens what stands for a model: a Keras model, a file, bytes or a graph."""

from __future__ import annotations

import os
from typing import Any

from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph


def read_model(model: Any, representative_data: Any = None) -> Graph:
    """Reads a model of any kind as an int8 graph.

    Args:
        model: A Keras model, a path to a `.keras` or `.tflite` file, a .tflite's bytes, or a
            `Graph`.
        representative_data: For a Keras model that is not quantization-aware, see `edge.convert`.

    Returns:
        The `Graph`.

    Raises:
        EdgeError: If the model cannot be read or converted.

    Example:
        >>> read_model(graph.content).total_macs()
        2568
    """
    if isinstance(model, Graph):
        return model
    if isinstance(model, bytes):
        return read_graph(model)
    if isinstance(model, (str, os.PathLike)) and not os.fspath(model).endswith(".keras"):
        return read_graph(model)
    # TensorFlow takes seconds to import; a .tflite does without.
    from edge.converter.convert import convert

    return read_graph(convert(model, representative_data))


def model_name(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return f"Model {getattr(model, 'name', '')!r}" if hasattr(model, "name") else "The model"
