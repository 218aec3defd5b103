"""Int8 operators of one input as tables: what each of the 256 values becomes, byte for byte."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edge.errors import ModelError
from edge.tflite.fixed_point import (
    divide_by_power,
    quantized_multiplier,
    requantize,
)
from edge.tflite.graph import Graph, Operator
from edge.tflite.requantization import scale_of, zero_point_of

FIXED_OUTPUTS = {"SOFTMAX": (1 / 256, -128), "LOGISTIC": (1 / 256, -128), "TANH": (1 / 128, 0)}
"""The scale and zero point that an operator's kernels make, whatever the file says."""


def table_of(graph: Graph, op: Operator) -> np.ndarray:
    """Tabulates an int8 operator of one input.

    Args:
        graph: The model.
        op: One of its operators, which `TABLES` knows.

    Returns:
        int8 array, (256,): what becomes of -128 to 127, as LiteRT's reference kernels compute it.

    Raises:
        ModelError: If a ratio of scales is beyond what the kernels compute.

    Example:
        >>> from edge.tflite.graph import Quantization, Tensor
        >>> scales = [Quantization((0.1,), (0,), 0), Quantization((1 / 256,), (-128,), 0)]
        >>> tensors = [Tensor(n, "", (1, 4), "int8", q, None) for n, q in enumerate(scales)]
        >>> op = Operator(0, "LOGISTIC", (0,), (1,), {})
        >>> table_of(Graph(tuple(tensors), (op,), (0,), (1,), b""), op)[[0, 128, 255]]
        array([-128,    0,  127], dtype=int8)

    Source: TFLite's kernels: `PopulateLookupTable` of LOGISTIC and TANH, `leaky_relu.h`,
        `hard_swish.h`, `QuantizedReluX`. TFLite Micro computes LOGISTIC and TANH in fixed point: of
        12,000 tables of random scales 12 differed from LiteRT's, by a step in one or two values.
    """
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    steps = np.arange(-128, 128, dtype=np.int64) - zero_point_of(source)
    values = TABLES[op.opcode](steps, scale_of(source), scale_of(output), op)
    return np.clip(values + zero_point_of(output), -128, 127).astype(np.int8)


def _logistic(steps: np.ndarray, scale: float, output_scale: float, op: Operator) -> np.ndarray:
    # In float32 but for the exponential, of which each library has its own last bit.
    x = _real(steps, scale)
    with np.errstate(over="ignore"):
        power = np.exp(-x.astype(np.float64)).astype(np.float32)
    return _rounded(np.float32(1) / (np.float32(1) + power) * np.float32(256))


def _tanh(steps: np.ndarray, scale: float, output_scale: float, op: Operator) -> np.ndarray:
    return _rounded(np.tanh(_real(steps, scale).astype(np.float64)) * 128)


def _real(steps: np.ndarray, scale: float) -> np.ndarray:
    return np.float32(scale) * steps.astype(np.float32)


def _rounded(values: np.ndarray) -> np.ndarray:
    """To nearest, ties away from zero."""
    return np.copysign(np.floor(np.abs(values.astype(np.float64)) + 0.5), values).astype(np.int64)


def _leaky_relu(steps: np.ndarray, scale: float, output_scale: float, op: Operator) -> np.ndarray:
    alpha = np.float32(op.options["alpha"])
    ratio = np.float32(scale) / np.float32(output_scale)
    below = np.float32(scale) * alpha / np.float32(output_scale)
    multiplier, shift = quantized_multiplier(float(abs(below)))
    negative = requantize(steps, multiplier, shift) * (-1 if below < 0 else 1)
    return np.where(steps >= 0, requantize(steps, *quantized_multiplier(float(ratio))), negative)


def _relu(steps: np.ndarray, scale: float, output_scale: float, op: Operator) -> np.ndarray:
    # In float32, as the kernel divides.
    ratio = np.float32(scale) / np.float32(output_scale)
    values = np.maximum(requantize(steps, *quantized_multiplier(float(ratio))), 0)
    if op.opcode == "RELU":
        return values
    return np.minimum(values, math.floor(float(np.float32(6) / np.float32(output_scale)) + 0.5))


def _hard_swish(steps: np.ndarray, scale: float, output_scale: float, op: Operator) -> np.ndarray:
    fine_scale = np.float32(1 / 128) * np.float32(scale)
    multiplier, shift = _multiplier_16(fine_scale / np.float32(output_scale))
    gate_multiplier, gate_shift = _multiplier_16(fine_scale / np.float32(3 / 32768))
    if shift > 0:
        raise ModelError(
            f"A HARD_SWISH from scale {scale:g} to {output_scale:g}: the output's is far too fine."
        )
    fine = steps * 128
    gate = _saturated_16(fine << max(gate_shift - 1, 0))
    gate = _high_multiply_16(gate, gate_multiplier)
    if gate_shift > 0:
        gate = _saturated_16(gate * 2)
    gate = divide_by_power(gate, max(-gate_shift, 0))
    gate = (gate + 2**15) >> 1
    product = gate * _high_multiply_16(fine, multiplier)
    # Here the kernel cuts off where everywhere else it rounds.
    cut = np.sign(product) * (np.abs(product) >> 15)
    return divide_by_power(cut, -shift)


def _multiplier_16(ratio: np.float32) -> tuple[int, int]:
    multiplier, shift = quantized_multiplier(float(ratio))
    return min((multiplier + 2**15) >> 16, 2**15 - 1), shift


def _saturated_16(values: np.ndarray) -> np.ndarray:
    return np.clip(values, -(2**15), 2**15 - 1)


def _high_multiply_16(values: np.ndarray, multiplier: int) -> np.ndarray:
    product = values * multiplier
    nudged = product + np.where(product >= 0, 2**14, 1 - 2**14)
    return np.sign(nudged) * (np.abs(nudged) >> 15)


Tabulate = Callable[[np.ndarray, float, float, Operator], np.ndarray]

TABLES: dict[str, Tabulate] = {
    "HARD_SWISH": _hard_swish,
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _logistic,
    "RELU": _relu,
    "RELU6": _relu,
    "TANH": _tanh,
}
"""By TFLite's name: the input beside its zero point to the output before its own is added."""
