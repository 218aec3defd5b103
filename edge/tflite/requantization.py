"""Multipliers, zero points, ranges and biases of the int8 operators."""

from __future__ import annotations

import numpy as np

from edge.errors import ModelError, quoted
from edge.tflite.fixed_point import quantized_multiplier
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import channel_axis, kernel_of

ADD_LEFT_SHIFT = 20


def activation_range(op: Operator, output: Tensor) -> tuple[int, int]:
    """The int8 values that an operator's fused activation lets through.

    Args:
        op: The operator.
        output: The tensor that it makes.

    Returns:
        Lowest and highest value.

    Raises:
        ModelError: If the activation is none that TFLite's int8 kernels fuse.

    Example:
        >>> op = graph.operators[0]
        >>> op.options["activation"], activation_range(op, graph.tensors[op.outputs[0]])
        ('RELU6', (-128, 64))

    Source: TFLite's `CalculateActivationRangeQuantized`.
    """
    activation = op.options.get("activation", "NONE")
    scale, zero_point = scale_of(output), zero_point_of(output)

    def quantized(real: float) -> int:
        # TFLite divides in float32 and rounds half away from zero; `real` is never negative but
        # for RELU_N1_TO_1.
        ratio = float(np.float32(real) / np.float32(scale))
        return zero_point + int(np.copysign(np.floor(abs(ratio) + 0.5), ratio))

    bounds = {
        "NONE": (-128, 127),
        "RELU": (quantized(0.0), 127),
        "RELU6": (quantized(0.0), quantized(6.0)),
        "RELU_N1_TO_1": (quantized(-1.0), quantized(1.0)),
    }
    if activation not in bounds:
        raise ModelError(f"{op.opcode} (operator {op.index}) has an unknown fused activation.")
    low, high = bounds[activation]
    return max(-128, low), min(127, high)


def scale_of(tensor: Tensor) -> float:
    """The one scale of a per-tensor quantized tensor.

    Args:
        tensor: The activation to look at.

    Returns:
        The scale, as the float32 that the file holds.

    Raises:
        ModelError: If the tensor is not quantized.

    Example:
        >>> scale_of(graph.input)
        0.0078125
    """
    return tensor.quantized().scales[0]


def zero_point_of(tensor: Tensor) -> int:
    """The zero point of a per-tensor quantized tensor.

    Args:
        tensor: The activation to look at.

    Returns:
        The zero point.

    Raises:
        ModelError: If the tensor is not quantized.

    Example:
        >>> zero_point_of(graph.output)
        -128
    """
    return tensor.quantized().zero_points[0]


def channel_multipliers(graph: Graph, op: Operator) -> tuple[np.ndarray, np.ndarray]:
    """Multiplier and shift of each output channel of a convolution or FULLY_CONNECTED.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        Two int64 arrays (output channels,).

    Raises:
        ModelError: If a tensor is not quantized.

    Example:
        >>> multipliers, shifts = channel_multipliers(graph, graph.operators[0])
        >>> (multipliers / 2**31).tolist(), shifts.tolist()
        ([0.5, 0.5, 0.5, 0.5], [-10, -10, -10, -10])
    """
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    scales = kernel_scales(graph, op)
    pairs = [quantized_multiplier(scale_of(source) * s / scale_of(output)) for s in scales]
    table = np.array(pairs, np.int64)
    return table[:, 0], table[:, 1]


def kernel_scales(graph: Graph, op: Operator) -> np.ndarray:
    """The scale of each output channel's weights of a convolution or FULLY_CONNECTED.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        float64 array (output channels,); one scale for all stands in every channel.

    Raises:
        ModelError: If the kernel is not quantized.

    Example:
        >>> kernel_scales(graph, graph.operators[0]).tolist()
        [0.001953125, 0.001953125, 0.001953125, 0.001953125]
    """
    kernel = kernel_of(graph, op)
    if kernel.quantization is None:
        raise ModelError(f"Tensor {quoted(kernel.name)} is not quantized.")
    return np.broadcast_to(np.array(kernel.quantization.scales), kernel.shape[channel_axis(op)])


def bias_of(graph: Graph, op: Operator) -> np.ndarray:
    """The bias of a convolution or FULLY_CONNECTED, zeros where it has none.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        int64 array (output channels,).

    Example:
        >>> bias_of(graph, graph.operators[0]).shape
        (4,)
    """
    if len(op.inputs) > 2:
        return graph.tensors[op.inputs[2]].values().astype(np.int64).reshape(-1)
    return np.zeros(graph.tensors[op.outputs[0]].shape[-1], np.int64)


def add_multipliers(graph: Graph, op: Operator) -> list[tuple[int, int]]:
    """Multiplier and shift of both inputs and of the output of ADD.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        Three pairs.

    Example:
        >>> [shift for _, shift in add_multipliers(graph, graph.operators[3])]
        [0, 0, -19]

    Source: TFLite's `add.cc`.
    """
    first, second = (scale_of(graph.tensors[index]) for index in op.inputs)
    widest = 2.0 * max(first, second)
    result = scale_of(graph.tensors[op.outputs[0]])
    ratios = (first / widest, second / widest, widest / (2**ADD_LEFT_SHIFT * result))
    return [quantized_multiplier(ratio) for ratio in ratios]


def quantize_multiplier(graph: Graph, op: Operator) -> tuple[int, int]:
    """Multiplier and shift of QUANTIZE from one int8 tensor to another.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        `(multiplier, shift)`.

    Example:
        >>> from edge.tflite.graph import Quantization
        >>> scales = [Quantization((scale,), (0,), 0) for scale in (0.5, 0.25)]
        >>> tensors = [Tensor(n, "", (1, 4), "int8", q, None) for n, q in enumerate(scales)]
        >>> op = Operator(0, "QUANTIZE", (0,), (1,), {})
        >>> quantize_multiplier(Graph(tuple(tensors), (op,), (0,), (1,), b""), op)
        (1073741824, 2)

    Source: TFLite's `quantize.cc`, the requantization of int8 to int8.
    """
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    return quantized_multiplier(scale_of(source) / scale_of(output))


def mean_multiplier(graph: Graph, op: Operator) -> tuple[int, int]:
    """Multiplier and shift of MEAN, the division by the count taken in.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        `(multiplier, shift)`; the multiplier may be below 2 ** 30.

    Example:
        >>> multiplier, shift = mean_multiplier(graph, graph.operators[4])
        >>> multiplier / 2**31 * 2**shift == 1 / 16  # of 4x4 pixels
        True

    Source: TFLite's `QuantizedMeanOrSum`.
    """
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    count = source.element_count // output.element_count
    multiplier, shift = quantized_multiplier(scale_of(source) / scale_of(output))
    extra = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << extra) // count, shift - extra
