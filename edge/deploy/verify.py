"""Proves that TFLite Micro computes what LiteRT's reference kernels compute, byte for byte."""

from __future__ import annotations

import dataclasses
import math
import os

import numpy as np

from edge.errors import EdgeError
from edge.runtimes.interpreters import InterpreterError, run_litert, run_tflm
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.graph import Graph
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8

MOST_INPUT_BYTES = 1 << 30
"""Inputs lie in memory and in a file, here and in each interpreter."""


@dataclasses.dataclass(frozen=True)
class Verification:
    """The outcome of running both on the same inputs.

    Attributes:
        input_count: Number of inputs.
        equal_count: Inputs on which all output bytes agree.
        max_difference: Largest difference of two output bytes, in steps of the output's scale.
        outputs: LiteRT's outputs, int8, (count, output elements).
        host_arena_bytes: TFLite Micro's arena in its 64-bit build on this machine.
    """

    input_count: int
    equal_count: int
    max_difference: int
    outputs: np.ndarray
    host_arena_bytes: int

    @property
    def is_equal(self) -> bool:
        """Whether all bytes of all outputs agree."""
        return self.equal_count == self.input_count

    def sentence(self) -> str:
        """The outcome in one line.

        Returns:
            A sentence for a report.

        Example:
            >>> Verification(9, 9, 0, np.zeros((9, 1), "int8"), 0).sentence()
            'LiteRT reference == TFLM on 9 of 9 inputs'
        """
        line = f"LiteRT reference == TFLM on {self.equal_count} of {self.input_count} inputs"
        return line if self.is_equal else f"{line}; largest difference {self.max_difference} LSB"


def verify(
    model: str | os.PathLike | bytes | Graph,
    inputs: np.ndarray | None = None,
    count: int = 100,
    seed: int = 0,
) -> Verification:
    """Runs an int8 .tflite on LiteRT's reference kernels and on TFLite Micro.

    Args:
        model: A path, the file's bytes, or a `Graph`.
        inputs: int8 array, (count, *input shape without the batch); random bytes if None.
        count: How many random inputs.
        seed: Of the random inputs.

    Returns:
        The `Verification`.

    Raises:
        EdgeError: If the model is not a pure int8 .tflite, if an interpreter refuses it, or if
            TFLite Micro is not installed.

    Example:
        >>> verify("model.tflite").sentence()
        'LiteRT reference == TFLM on 100 of 100 inputs'
    """
    graph = model if isinstance(model, Graph) else read_graph(model)
    where = os.fspath(model) if isinstance(model, (str, os.PathLike)) else "The model"
    require_tflm_operators(graph, where)
    require_int8(graph, where)
    if inputs is None:
        inputs = random_inputs(graph, count, seed)
    expected = run_litert(graph, inputs)
    actual, arena_bytes = run_tflm(graph, inputs)
    difference = np.abs(expected.astype(np.int32) - actual.astype(np.int32))
    return Verification(
        len(inputs),
        int((difference.max(axis=1) == 0).sum()),
        int(difference.max()),
        expected,
        arena_bytes,
    )


def verify_plan(before: Graph, after: Graph, count: int = 20, seed: int = 0) -> int:
    """Proves on real TFLite Micro that a memory plan changes no byte of the output.

    Args:
        before: A model.
        after: The same model with a memory plan.
        count: How many random inputs.
        seed: Of the random inputs.

    Returns:
        `count`.

    Raises:
        InterpreterError: If an output differs.
        MissingToolError: If TFLite Micro is not installed.

    Example:
        >>> from edge.memory.offline_plan import planned_model
        >>> verify_plan(graph, planned_model(graph).graph)
        20
    """
    inputs = random_inputs(before, count, seed)
    expected, _ = run_tflm(before, inputs)
    actual, _ = run_tflm(after, inputs)
    if not np.array_equal(expected, actual):
        wrong = int((expected != actual).any(axis=1).sum())
        raise InterpreterError(
            f"With this memory plan TFLite Micro computes other bytes on {wrong} of {count} inputs."
        )
    return count


def random_inputs(graph: Graph, count: int, seed: int) -> np.ndarray:
    """Random bytes for a model to read.

    Args:
        graph: The model.
        count: How many inputs.
        seed: The same seed gives the same bytes.

    Returns:
        int8 array, (count, *input shape without the batch).

    Raises:
        EdgeError: If they are too many for this machine's memory.

    Example:
        >>> random_inputs(graph, 20, seed=0).shape
        (20, 8, 8, 3)
    """
    shape = (count, *graph.input.shape[1:])
    if math.prod(shape) > MOST_INPUT_BYTES:
        raise EdgeError(
            f"{count:,} inputs of {math.prod(shape[1:]):,} bytes are too many; at most "
            f"{MOST_INPUT_BYTES // math.prod(shape[1:]):,}."
        )
    generator = np.random.default_rng(seed)
    inputs = np.empty(shape, np.int8)
    for one in inputs:
        # One at a time: NumPy draws eight bytes for each.
        one[...] = generator.integers(-128, 128, one.shape)
    return inputs


def quantize_inputs(graph: Graph, inputs: np.ndarray) -> np.ndarray:
    """Turns a model's float inputs into its int8 inputs.

    Args:
        graph: The model.
        inputs: Float array, (count, *input shape without the batch).

    Returns:
        int8 array of the same shape: `round(inputs / scale) + zero_point`, clipped.

    Example:
        >>> quantize_inputs(graph, np.full((1, 8, 8, 3), 0.5))[0, 0, 0]
        array([64, 64, 64], dtype=int8)

    Source: the TFLite 8-bit quantization specification.
    """
    return to_int8(inputs, graph.input)
