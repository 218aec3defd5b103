"""Runs a .tflite on LiteRT's reference kernels and on TFLite Micro, each in a child process."""

from __future__ import annotations

import importlib.util
import pathlib
import re
import tempfile
from collections.abc import Sequence

import numpy as np

from edge.errors import EdgeError, MissingToolError
from edge.system.subprocesses import run_child
from edge.tflite.ends import file_inputs, int8_outputs
from edge.tflite.graph import Graph, Int8Graph

MODEL_FILE = "model.tflite"
INPUTS_FILE = "inputs.npy"
OUTPUTS_FILE = "outputs.npy"
TENSORS_FILE = "tensors.npy"
ARENA_FILE = "arena_bytes.txt"

ARENA_RESERVE_BYTES = 8 << 20
"""The room for TFLite Micro's own structures, beside all activations at once."""


class InterpreterError(EdgeError):
    """An interpreter refused the model, or crashed on it."""


def run_litert(graph: Graph, inputs: np.ndarray) -> np.ndarray:
    """Runs a model on LiteRT's reference kernels, which define the right result.

    A file with float32 or uint8 ends runs as it is: its inputs are made of `inputs`, and its
    outputs turned back.

    Args:
        graph: An int8 model with one input and one output.
        inputs: An int8 array of shape (count, *input shape without the batch).

    Returns:
        The outputs, an int8 array of shape (count, output elements).

    Raises:
        InterpreterError: If LiteRT refuses the model, or a file's DEQUANTIZE does not what its
            scale says.

    Example:
        >>> run_litert(graph, np.zeros((1, 8, 8, 3), "int8"))
        array([[ 113, -113]], dtype=int8)
    """
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = _job(graph, inputs, pathlib.Path(name))
        if isinstance(graph, Int8Graph) and graph.original is not None:
            (folder / MODEL_FILE).write_bytes(graph.original.content)
            np.save(folder / INPUTS_FILE, file_inputs(graph, inputs))
        run_child("edge.runtimes.litert_child", folder, InterpreterError, "LiteRT")
        outputs = np.load(folder / OUTPUTS_FILE)
    if not isinstance(graph, Int8Graph):
        return outputs
    try:
        return int8_outputs(graph, outputs)
    except ValueError as error:
        raise InterpreterError(
            f"LiteRT dequantizes otherwise than the file says: {error}."
        ) from error


def run_litert_tensors(
    graph: Graph, inputs: np.ndarray, tensors: Sequence[int]
) -> list[np.ndarray]:
    """Runs a model on LiteRT's reference kernels and returns tensors from inside the network.

    Args:
        graph: An int8 model with one input or several.
        inputs: An int8 array of shape (count, elements of all inputs together), in which the inputs
            follow one another.
        tensors: The indices of the int8 tensors to return.

    Returns:
        One int8 array of shape (count, *shape of the tensor without the batch) for each of
        `tensors`.

    Raises:
        InterpreterError: If LiteRT refuses the model.

    Example:
        >>> logits = graph.operators[5].outputs[0]
        >>> run_litert_tensors(graph, np.zeros((1, 8 * 8 * 3), "int8"), [logits])
        [array([[35, -9]], dtype=int8)]
    """
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        (folder / MODEL_FILE).write_bytes(graph.content)
        np.save(folder / INPUTS_FILE, inputs)
        np.save(folder / TENSORS_FILE, np.array(tensors, np.int64))
        run_child("edge.runtimes.litert_child", folder, InterpreterError, "LiteRT")
        kept = np.load(folder / OUTPUTS_FILE)
    found = [graph.tensors[index] for index in tensors]
    ends = np.cumsum([tensor.element_count for tensor in found])
    parts = np.split(kept, ends[:-1], axis=1)
    return [
        part.reshape(len(inputs), *tensor.shape[tensor.shape[:1] == (1,) :])
        for part, tensor in zip(parts, found, strict=True)
    ]


def run_tflm(graph: Graph, inputs: np.ndarray) -> tuple[np.ndarray, int]:
    """Runs a model on TFLite Micro, compiled for this machine.

    Args:
        graph: An int8 model with one input and one output.
        inputs: An int8 array of shape (count, *input shape without the batch).

    Returns:
        The outputs, an int8 array of shape (count, output elements), and the size of the tensor
        arena in bytes in this 64-bit build, never less than on a Cortex-M with the same kernels.

    Raises:
        InterpreterError: If TFLite Micro refuses the model or aborts.
        MissingToolError: If the package `tflite-micro` is not installed.

    Example:
        >>> outputs, arena_bytes = run_tflm(graph, np.zeros((1, 8, 8, 3), "int8"))
        >>> outputs
        array([[ 113, -113]], dtype=int8)
    """
    if importlib.util.find_spec("tflite_micro") is None:
        raise MissingToolError(
            "TFLite Micro is not installed: pip install 'keras-mobilenet[tflm]' (x86-64 Linux)."
        )
    activations = sum(tensor.bytes for tensor in graph.tensors if not tensor.is_constant)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = _job(graph, inputs, pathlib.Path(name))
        arena_bytes = (activations // 16) * 16 + ARENA_RESERVE_BYTES
        (folder / ARENA_FILE).write_text(str(arena_bytes))
        said = run_child("edge.runtimes.tflm_child", folder, InterpreterError, "TFLite Micro")
        found = re.search(r"Arena allocation total (\d+) bytes", said)
        if found is None:
            raise InterpreterError("TFLite Micro did not report its arena.")
        return np.load(folder / OUTPUTS_FILE), int(found.group(1))


def _job(graph: Graph, inputs: np.ndarray, folder: pathlib.Path) -> pathlib.Path:
    expected = graph.input.shape[1:]
    if inputs.dtype != np.int8 or inputs.shape[1:] != expected or len(inputs) == 0:
        raise InterpreterError(
            f"Inputs must be int8 of shape {('count', *expected)}, got {inputs.dtype} "
            f"{inputs.shape}."
        )
    (folder / MODEL_FILE).write_bytes(graph.content)
    np.save(folder / INPUTS_FILE, inputs)
    return folder
