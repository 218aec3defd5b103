"""What the int8 kernels of each operator take: types, scales, weights, options."""

from __future__ import annotations

import math

import numpy as np

from edge.errors import quoted
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import OperatorRule, kernel_of
from edge.tflite.requantization import (
    add_multipliers,
    bias_of,
    channel_multipliers,
    kernel_scales,
    mean_multiplier,
    quantize_multiplier,
    scale_of,
)
from edge.tflite.tables import FIXED_OUTPUTS, TABLES, table_of

SMALLEST_SCALE, LARGEST_SCALE = 2.0**-66, 2.0**66
"""Beyond these, the scale of an activation says that the network has nothing left to compute."""
MOVED_DTYPES = ("int8", "int16", "uint8", "int32")
"""What QUANTIZE takes and makes."""
SIZE_DTYPES = ("int32", "int64")
"""ADD, MEAN and PAD also compute sizes, which have no scales."""
FINEST_CURVE, COARSEST_CURVE = 2.0**-27, 8.0
"""The scales of inputs of LOGISTIC and TANH that TFLite Micro's fixed point holds."""
WIDEST_INPUT = 255
"""An input beside its zero point."""
BIAS_TOLERANCE = 0.02
"""How far FULLY_CONNECTED lets the scale of a bias be from that of its sums, in output steps.
Source: TFLite's `GetQuantizedConvolutionMultipler`."""


def require_int8_operator(graph: Graph, op: Operator, rule: OperatorRule) -> None:
    """Refuses an operator that its int8 kernel would not take, or would compute differently.

    Args:
        graph: The model, its structure already checked.
        op: One of its operators.
        rule: What the package knows of the operator.

    Raises:
        ValueError: If the kernel would not take it; the message goes on from the operator's name.
        ModelError: If a ratio of scales is beyond 31-bit arithmetic.

    Example:
        >>> from edge.tflite.operators import OPERATORS
        >>> require_int8_operator(graph, graph.operators[0], OPERATORS["CONV_2D"])
    """
    output = graph.tensors[op.outputs[0]]
    if op.opcode == "RESHAPE":
        if graph.tensors[op.inputs[0]].dtype != output.dtype:
            raise ValueError(f"makes {output.dtype} of {graph.tensors[op.inputs[0]].dtype}")
        return
    sources = [
        graph.tensors[index]
        for n, index in enumerate(op.inputs)
        if n != rule.settings and (n == 0 or rule.kernel is None)
    ]
    if all(t.dtype in SIZE_DTYPES and t.quantization is None for t in (*sources, output)):
        return
    dtypes = MOVED_DTYPES if op.opcode == "QUANTIZE" else ("int8",)
    for tensor in (*sources, output):
        _require_activation(tensor, dtypes)
    if all(source.is_constant for source in sources):
        raise ValueError("computes a constant, which the converter should have done")
    if op.options.get("activation") == "OTHER":
        raise ValueError("has a fused activation that int8 kernels lack; use ReLU or ReLU6")
    if rule.kernel is not None:
        _require_kernel(graph, op, graph.tensors[op.inputs[rule.kernel]], rule.channel_axis)
    _require_multipliers(graph, op, rule)


def _require_activation(tensor: Tensor, dtypes: tuple[str, ...]) -> None:
    if tensor.dtype not in dtypes:
        raise ValueError(f"computes in {tensor.dtype}, at tensor {quoted(tensor.name)}, not int8")
    if tensor.quantization is None:
        raise ValueError(f"computes with tensor {quoted(tensor.name)}, which has no scale")
    if tensor.quantization.per_channel:
        count = len(tensor.quantization.scales)
        raise ValueError(f"computes with tensor {quoted(tensor.name)} of {count} scales, not one")
    if not SMALLEST_SCALE <= scale_of(tensor) <= LARGEST_SCALE:
        raise ValueError(
            f"computes with tensor {quoted(tensor.name)} of scale {scale_of(tensor):.3g}: its "
            "values have vanished or exploded. Train the network"
        )
    if tensor.element_count == 0:
        raise ValueError(f"computes with tensor {quoted(tensor.name)}, which has no elements")


def _require_kernel(graph: Graph, op: Operator, kernel: Tensor, channel_axis: int) -> None:
    if not kernel.is_constant or kernel.dtype not in ("int8", "int4"):
        state = "constant" if kernel.is_constant else "computed"
        raise ValueError(f"has {state} weights of {kernel.dtype}, not constant int8 or int4 ones")
    if kernel.quantization is None:
        raise ValueError(f"has weights {quoted(kernel.name)} without a scale")
    if any(kernel.quantization.zero_points):
        point = next(z for z in kernel.quantization.zero_points if z)
        raise ValueError(
            f"has weights {quoted(kernel.name)} with a zero point of {point}; edge runs "
            "weights that are symmetric around 0. Quantize them so"
        )
    if kernel.quantization.per_channel and kernel.quantization.axis != channel_axis:
        raise ValueError(
            f"has scales along axis {kernel.quantization.axis} of its weights, not {channel_axis}"
        )
    if op.options.get("weights_format"):
        raise ValueError("has its weights in a shuffled order")
    if len(op.inputs) > 2:
        _require_bias(graph, op, graph.tensors[op.inputs[2]])


def _require_bias(graph: Graph, op: Operator, bias: Tensor) -> None:
    if bias.dtype != "int32" or not bias.is_constant:
        state = "constant" if bias.is_constant else "computed"
        raise ValueError(f"has a {state} bias of {bias.dtype}, not a constant one of int32")
    if bias.quantization is None:
        return
    if any(bias.quantization.zero_points):
        raise ValueError(f"has a bias {quoted(bias.name)} with a zero point, which must be 0")
    if op.opcode != "FULLY_CONNECTED" or bias.quantization.per_channel:
        return
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    scales = kernel_scales(graph, op)
    gap = abs(scale_of(source) * float(scales[0]) - bias.quantization.scales[0])
    if len(set(scales.tolist())) == 1 and gap / scale_of(output) > BIAS_TOLERANCE:
        raise ValueError(
            f"has a bias of scale {bias.quantization.scales[0]:.3g}, not that of its input times "
            f"its weights, {scale_of(source) * float(scales[0]):.3g}"
        )


def _require_multipliers(graph: Graph, op: Operator, rule: OperatorRule) -> None:
    if rule.kernel is not None:
        _require_scaled_sums(graph, op)
    elif op.opcode == "ADD":
        first, second = (scale_of(graph.tensors[index]) for index in op.inputs)
        # The kernel shifts its inputs to the left by 20 bits, so the output takes at most 2**20.
        if 2 * max(first, second) >= 2**20 * scale_of(graph.tensors[op.outputs[0]]):
            raise ValueError("has an output whose scale is a million times finer than its inputs'")
        add_multipliers(graph, op)
    elif op.opcode == "MEAN":
        mean_multiplier(graph, op)
    elif op.opcode == "QUANTIZE":
        quantize_multiplier(graph, op)
    elif op.opcode == "SOFTMAX":
        _require_softmax(graph, op)
    elif op.opcode in TABLES:
        _require_fixed_output(graph, op)
        scale = scale_of(graph.tensors[op.inputs[0]])
        if op.opcode in FIXED_OUTPUTS and not FINEST_CURVE <= scale < COARSEST_CURVE:
            raise ValueError(
                f"has an input of scale {scale:.3g}: its values have vanished or exploded. Train "
                "the network"
            )
        table_of(graph, op)


def _require_scaled_sums(graph: Graph, op: Operator) -> None:
    multipliers, shifts = channel_multipliers(graph, op)
    if op.opcode != "FULLY_CONNECTED":
        return
    # LiteRT scales in double precision: what leaves 32 bits then is another number on each machine.
    weights = np.abs(kernel_of(graph, op).values().astype(np.int64)).sum(axis=1)
    sums = np.minimum(np.abs(bias_of(graph, op)) + WIDEST_INPUT * weights, 2**31)
    if (sums * (multipliers * 2.0 ** (shifts - 31)) > 2**31).any():
        raise ValueError(
            "has biases or weights whose sums leave 32 bits when they are scaled: its output's "
            "scale is far too fine. Train the network"
        )


def _require_softmax(graph: Graph, op: Operator) -> None:
    beta = op.options.get("beta", 1.0)
    if not (math.isfinite(beta) and beta > 0):
        raise ValueError(f"has a beta of {beta}, which must be positive")
    if beta * scale_of(graph.tensors[op.inputs[0]]) * 2**26 <= 1:
        # TFLite's kernels, large and small, abort.
        raise ValueError(
            f"has a beta of {beta:.3g} at an input of scale "
            f"{scale_of(graph.tensors[op.inputs[0]]):.3g}, which makes all its outputs equal"
        )
    _require_fixed_output(graph, op)


def _require_fixed_output(graph: Graph, op: Operator) -> None:
    """Refuses another scale of the output than the one that the kernel makes."""
    fixed = FIXED_OUTPUTS.get(op.opcode)
    output = graph.tensors[op.outputs[0]]
    if fixed is None or output.quantization is None:
        return
    scale, point = fixed
    if abs(scale_of(output) / scale - 1) > 1e-3 or output.quantization.zero_points != (point,):
        raise ValueError(
            f"has an output of scale {scale_of(output):.3g}, not 1/{round(1 / scale)} from zero "
            f"point {point}"
        )
