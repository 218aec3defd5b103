"""Every operator of the engine in NumPy, on exact integers: the oracle of the emitted kernels.

It only runs models. Nothing that it judges imports from here but to run one.

Source: TensorFlow Lite's reference kernels, kernels/internal/reference/integer_ops.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edge.errors import ModelError
from edge.tflite.fixed_point import (
    divide_by_power,
    exp_table,
    high_multiply,
    reciprocal,
    requantize,
    requantize_once,
    wrapped,
)
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import kernel_of, mean_axes, padding_of, window_of
from edge.tflite.requantization import (
    ADD_LEFT_SHIFT,
    activation_range,
    add_multipliers,
    bias_of,
    channel_multipliers,
    mean_multiplier,
    quantize_multiplier,
    scale_of,
    zero_point_of,
)
from edge.tflite.tables import TABLES, table_of

Values = dict[int, np.ndarray]

LARGEST_SUM = 2**31 - 1
"""What the sum of SOFTMAX holds, an int32 number."""


def run_reference(graph: Graph, inputs: np.ndarray) -> np.ndarray:
    """Runs an int8 model one operator after the other.

    Args:
        graph: An int8 model with one input and one output.
        inputs: An int8 array, (count, *input shape without the batch).

    Returns:
        An int8 array, (count, output elements): what LiteRT's reference kernels compute.

    Raises:
        ModelError: If the model has an operator that is not implemented.

    Example:
        >>> run_reference(graph, np.zeros((1, 8, 8, 3), "int8"))
        array([[ 113, -113]], dtype=int8)
    """
    return np.stack([every_tensor(graph, one)[graph.outputs[0]].reshape(-1) for one in inputs])


def every_tensor(graph: Graph, sample: np.ndarray) -> Values:
    """Computes all activations of one inference.

    Args:
        graph: An int8 model with one input and one output.
        sample: An int8 array of the input's shape without the batch.

    Returns:
        int8 arrays by tensor index.

    Raises:
        ModelError: If the model has an operator that is not implemented.

    Example:
        >>> every_tensor(graph, np.zeros((8, 8, 3), "int8"))[3].shape
        (1, 4, 4, 4)
    """
    values: Values = {graph.inputs[0]: sample.reshape(graph.input.shape)}
    for op in graph.operators:
        compute = KERNELS.get(op.opcode)
        if compute is None:
            raise ModelError(f"{op.opcode} (operator {op.index}) is not implemented.")
        output = graph.tensors[op.outputs[0]]
        values[output.index] = compute(graph, op, values).astype(np.int8).reshape(output.shape)
    return values


def _convolution(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    kernel = kernel_of(graph, op).values().astype(np.int64)
    windows = _windows(graph, op, values)
    # A kernel of fewer channels than the image sees a group of them for each group of outputs.
    groups = windows.shape[-1] // kernel.shape[3]
    windows = windows.reshape(*windows.shape[:4], groups, -1)
    kernel = kernel.reshape(groups, -1, *kernel.shape[1:])
    total = np.einsum("hwyxgc,goyxc->hwgo", windows, kernel)
    return _requantized(graph, op, total.reshape(*total.shape[:2], -1))


def _depthwise(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    kernel = kernel_of(graph, op).values().astype(np.int64)[0]
    windows = _windows(graph, op, values)
    repeated = np.repeat(windows, kernel.shape[2] // windows.shape[-1], axis=-1)
    return _requantized(graph, op, np.einsum("hwyxc,yxc->hwc", repeated, kernel))


def _fully_connected(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    kernel = kernel_of(graph, op).values().astype(np.int64)
    x = values[source.index].astype(np.int64).reshape(-1, kernel.shape[1]) - zero_point_of(source)
    total = wrapped(x @ kernel.T + bias_of(graph, op))
    multiplier, shift = channel_multipliers(graph, op)
    columns = [
        requantize_once(total[:, c], int(multiplier[c]), int(shift[c]))
        for c in range(total.shape[1])
    ]
    return _clipped(op, output, np.stack(columns, axis=1))


def _requantized(graph: Graph, op: Operator, total: np.ndarray) -> np.ndarray:
    multiplier, shift = channel_multipliers(graph, op)
    output = graph.tensors[op.outputs[0]]
    total = wrapped(total + bias_of(graph, op))
    return _clipped(op, output, requantize(total, multiplier, shift))


def _average_pool(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    ones = {op.inputs[0]: np.ones(graph.tensors[op.inputs[0]].shape, np.int64)}
    count = _windows(graph, op, ones, pad_value=0, offset=0).sum(axis=(2, 3))
    total = _windows(graph, op, values, pad_value=0, offset=0).sum(axis=(2, 3))
    # Rounded to nearest, ties away from zero.
    mean = np.sign(total) * ((np.abs(total) + count // 2) // count)
    return _clamped(op, graph.tensors[op.outputs[0]], mean)


def _max_pool(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    windows = _windows(graph, op, values, pad_value=-128, offset=0)
    return _clamped(op, graph.tensors[op.outputs[0]], windows.max(axis=(2, 3)))


def _mean(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    centred = values[source.index].astype(np.int64) - zero_point_of(source)
    total = centred.sum(axis=mean_axes(graph, op))
    return _clipped(op, output, requantize(total, *mean_multiplier(graph, op)))


def _add(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    *pairs, (multiplier, shift) = add_multipliers(graph, op)
    terms = [
        requantize(
            (values[index].astype(np.int64) - zero_point_of(graph.tensors[index]))
            << ADD_LEFT_SHIFT,
            *pair,
        )
        for index, pair in zip(op.inputs, pairs, strict=True)
    ]
    total = terms[0] + terms[1]
    return _clipped(op, graph.tensors[op.outputs[0]], requantize(total, multiplier, shift))


def _pad(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    source = graph.tensors[op.inputs[0]]
    pads = graph.tensors[op.inputs[1]].values().reshape(-1, 2)
    return np.pad(values[source.index], pads, constant_values=zero_point_of(source))


def _reshape(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    return values[op.inputs[0]]


def _quantize(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    centred = values[source.index].astype(np.int64) - zero_point_of(source)
    return _clipped(op, output, requantize(centred, *quantize_multiplier(graph, op)))


def _softmax(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    source = graph.tensors[op.inputs[0]]
    table = exp_table(scale_of(source), op.options.get("beta", 1.0))
    rows = values[source.index].astype(np.int64).reshape(-1, source.shape[-1])
    exps = table[rows.max(axis=1, keepdims=True) - rows]
    # LiteRT's own kernel aborts at 512 equal logits, where every output is less than half a step.
    sums = np.minimum(divide_by_power(exps, 12).sum(axis=1), LARGEST_SUM)
    outputs = []
    for row, total in zip(exps, sums, strict=True):
        factor, bits = reciprocal(int(total))
        scaled = divide_by_power(high_multiply(factor, row), bits + 23)
        outputs.append(np.where(row == 0, -128, np.clip(scaled - 128, -128, 127)))
    return np.stack(outputs)


def _tabulated(graph: Graph, op: Operator, values: Values) -> np.ndarray:
    return table_of(graph, op)[values[op.inputs[0]].astype(np.int64) + 128]


def _windows(
    graph: Graph,
    op: Operator,
    values: Values,
    *,
    pad_value: int | None = None,
    offset: int | None = None,
) -> np.ndarray:
    """What the window sees, (height, width, window height, window width, channels), centred."""
    source, output = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
    zero_point, size = zero_point_of(source), window_of(graph, op)
    strides, dilations = op.options["stride"], op.options.get("dilation", (1, 1))
    image = values[source.index][0].astype(np.int64)
    before = padding_of(graph, op)
    after = [
        max(0, (out - 1) * stride + (taps - 1) * dilation + 1 - pad - extent)
        for out, stride, taps, dilation, pad, extent in zip(
            output.shape[1:3], strides, size, dilations, before, image.shape, strict=False
        )
    ]
    fill = zero_point if pad_value is None else pad_value
    pads = (*zip(before, after, strict=True), (0, 0))
    image = np.pad(image, pads, constant_values=fill) - (zero_point if offset is None else offset)
    rows = np.arange(output.shape[1])[:, None] * strides[0] + np.arange(size[0]) * dilations[0]
    columns = np.arange(output.shape[2])[:, None] * strides[1] + np.arange(size[1]) * dilations[1]
    return image[rows[:, None, :, None], columns[None, :, None, :]]


def _clipped(op: Operator, output: Tensor, value: np.ndarray) -> np.ndarray:
    return _clamped(op, output, wrapped(value + zero_point_of(output)))


def _clamped(op: Operator, output: Tensor, value: np.ndarray) -> np.ndarray:
    return np.clip(value, *activation_range(op, output))


KERNELS: dict[str, Callable[[Graph, Operator, Values], np.ndarray]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "MAX_POOL_2D": _max_pool,
    "MEAN": _mean,
    "ADD": _add,
    "PAD": _pad,
    "RESHAPE": _reshape,
    "QUANTIZE": _quantize,
    "SOFTMAX": _softmax,
    **dict.fromkeys(TABLES, _tabulated),
}
"""One function per operator of the engine, by TFLite's name."""
