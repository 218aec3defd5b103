"""Takes out the channels that are the same for every image, without changing a byte of the output.

Training leaves channels behind whose weights are all zero: after the bias and the activation they
hold one value, whatever the image. What a later layer makes of that value is a constant too, and
goes into its bias. MLPerf Tiny's person detector has hundreds of them, and a network whose channels
were pruned by masks has as many as were pruned. The arithmetic is on integers, so the result is
exact.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.operators import OPERATORS, channel_axis, has_kernel, kernel_of, window_of
from edge.tflite.reference import every_tensor
from edge.tflite.requantization import bias_of, kernel_scales, scale_of, zero_point_of
from edge.tflite.tensors import int4_bytes

CHANNEL_MULTIPLE = 4
"""The kernels of the engine are fastest on whole fours of channels."""


def without_constant_channels(graph: Graph) -> Graph:
    """Makes a smaller graph that computes the same bytes.

    Args:
        graph: An int8 model with one input and one output, of the engine's operators.

    Returns:
        The smaller `Graph`; `content`, and so the SHA-256, stays that of the file it is from.

    Raises:
        ModelError: If the model has an operator that the engine has not.

    Example:
        >>> without_constant_channels(graph).total_macs() == graph.total_macs()  # it has none
        True
    """
    sample = np.full(graph.input.shape, zero_point_of(graph.input), np.int8)
    analysis = _Analysis(graph, every_tensor(graph, sample))
    kept = analysis.kept_channels()
    tensors = list(graph.tensors)
    for tensor, mask in kept.items():
        if not mask.all():
            shape = (*graph.tensors[tensor].shape[:-1], int(mask.sum()))
            tensors[tensor] = dataclasses.replace(graph.tensors[tensor], shape=shape)
    operators = [
        _narrowed(analysis, op, kept, tensors) if has_kernel(op) else op for op in graph.operators
    ]
    return dataclasses.replace(graph, tensors=tuple(tensors), operators=tuple(operators))


class _Analysis:
    """Which channels of each activation are constant, and which ones an output depends on.

    Attributes:
        graph: The model.
        values: The first pixel of each activation, by tensor index, for some image: what a
            constant channel holds for every image.
        constant: Masks of the constant channels, by tensor index.
    """

    def __init__(self, graph: Graph, values: dict[int, np.ndarray]):
        self.graph = graph
        self.values = {t: value.reshape(-1, value.shape[-1])[0] for t, value in values.items()}
        self.constant: dict[int, np.ndarray] = {
            graph.inputs[0]: np.zeros(graph.input.shape[-1], bool)
        }
        for op in graph.operators:
            self.constant[op.outputs[0]] = self._constant_outputs(op)

    def source(self, op: Operator) -> Tensor:
        return self.graph.tensors[op.inputs[0]]

    def computed_inputs(self, op: Operator) -> list[int]:
        return [index for index in op.inputs if not self.graph.tensors[index].is_constant]

    def mixes_channels(self, op: Operator) -> bool:
        """Whether an operator sums over all channels, and can do with fewer of them.

        Not if a kernel is shared by groups of channels, or takes a whole image as one vector.
        """
        if not has_kernel(op) or channel_axis(op) != 0:
            return False
        return kernel_of(self.graph, op).shape[-1] == self.source(op).shape[-1]

    def is_channelwise(self, op: Operator) -> bool:
        """Whether an operator's output channels are its input channels, in the same order."""
        source, output = self.source(op), self.graph.tensors[op.outputs[0]]
        if source.shape[-1] != output.shape[-1]:
            return False
        is_one_pixel = source.element_count == source.shape[-1]
        return OPERATORS[op.opcode].is_channelwise or (op.opcode == "RESHAPE" and is_one_pixel)

    def weights(self, op: Operator) -> np.ndarray:
        """The kernel of an operator that mixes channels, (outputs, taps, inputs)."""
        values = kernel_of(self.graph, op).values().astype(np.int64)
        return values.reshape(len(values), -1, values.shape[-1])

    def vanishing(self, op: Operator) -> np.ndarray:
        """Constant inputs that add the same to every output pixel, at the border as well."""
        source = self.source(op)
        constant = self.constant[source.index]
        if window_of(self.graph, op) == (1, 1) or op.options["padding"] == "VALID":
            return constant
        return constant & (self.values[source.index] == zero_point_of(source))

    def _constant_outputs(self, op: Operator) -> np.ndarray:
        channels = self.graph.tensors[op.outputs[0]].shape[-1]
        if self.mixes_channels(op):
            live = self.weights(op)[:, :, ~self.vanishing(op)]
            return np.asarray(~live.any(axis=(1, 2)))
        if has_kernel(op) and OPERATORS[op.opcode].is_channelwise:
            kernel = kernel_of(self.graph, op).values().reshape(-1, channels)
            repeat = channels // self.source(op).shape[-1]
            return np.asarray(~kernel.any(axis=0) | np.repeat(self.vanishing(op), repeat))
        if not self.is_channelwise(op):
            return np.zeros(channels, bool)
        inputs = [self.constant[index] for index in self.computed_inputs(op)]
        constant = np.asarray(np.stack(inputs).all(axis=0))
        if op.opcode == "PAD":
            source = self.source(op)
            constant = constant & (self.values[source.index] == zero_point_of(source))
        return constant

    def kept_channels(self) -> dict[int, np.ndarray]:
        """Masks of what some output depends on, by tensor; grown from the output until it stays."""
        graph = self.graph
        kept = {t: np.zeros(len(mask), bool) for t, mask in self.constant.items()}
        kept[graph.inputs[0]][:] = True
        kept[graph.outputs[0]][:] = True
        before = -1
        while (now := sum(int(mask.sum()) for mask in kept.values())) != before:
            before = now
            for op in reversed(graph.operators):
                self._keep(op, kept)
            for mask in kept.values():
                _round_up(mask)
        return kept

    def _keep(self, op: Operator, kept: dict[int, np.ndarray]) -> None:
        """Adds what one operator needs for the channels of its output that are kept."""
        output, inputs = op.outputs[0], self.computed_inputs(op)
        if self.is_channelwise(op):
            joined = np.stack([kept[t] for t in (*inputs, output)]).any(axis=0)
            for tensor in (*inputs, output):
                kept[tensor] |= joined
        elif self.mixes_channels(op):
            varying = kept[output] & ~self.constant[output]
            needed = self.weights(op)[varying].any(axis=(0, 1)) & ~self.vanishing(op)
            kept[inputs[0]] |= needed
        else:
            for tensor in (*inputs, output):
                kept[tensor][:] = True


def _round_up(mask: np.ndarray) -> None:
    """Fills a mask up to a whole number of fours."""
    missing = -int(mask.sum()) % CHANNEL_MULTIPLE if mask.any() else CHANNEL_MULTIPLE
    mask[np.flatnonzero(~mask)[:missing]] = True


def _narrowed(
    analysis: _Analysis, op: Operator, kept: dict[int, np.ndarray], tensors: list[Tensor]
) -> Operator:
    """An operator on the channels that are left; its new weights go to the end of `tensors`."""
    graph, source, kernel = analysis.graph, analysis.source(op), kernel_of(analysis.graph, op)
    outputs, constant = kept[op.outputs[0]], analysis.constant[op.outputs[0]]
    weights, bias = kernel.values().astype(np.int64), bias_of(graph, op)
    if analysis.mixes_channels(op):
        inputs = kept[source.index]
        offsets = analysis.values[source.index].astype(np.int64) - zero_point_of(source)
        gone = np.where(analysis.constant[source.index] & ~inputs, offsets, 0)
        bias = bias + analysis.weights(op).sum(axis=1) @ gone
        weights = weights[..., inputs]
    by_channel = np.moveaxis(weights, channel_axis(op), 0).copy()
    by_channel[constant] = 0
    weights = np.moveaxis(by_channel[outputs], 0, channel_axis(op))
    scales, bias = _constants_from_bias(analysis, op, bias)
    quantization = Quantization(
        scales=tuple(scales[outputs].tolist()),
        zero_points=(0,) * int(outputs.sum()),
        axis=channel_axis(op),
    )
    first = len(tensors)
    made = _constant_tensor(kernel.name, first, weights.astype(np.int8), quantization)
    if kernel.dtype == "int4":
        made = dataclasses.replace(made, dtype="int4", data=int4_bytes(weights))
    tensors.append(made)
    tensors.append(_constant_tensor("bias", first + 1, bias[outputs].astype(np.int32), None))
    return dataclasses.replace(op, inputs=(source.index, first, first + 1))


def _constants_from_bias(
    analysis: _Analysis, op: Operator, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scales and biases under which each constant channel comes from its bias alone."""
    source, output = analysis.source(op), analysis.graph.tensors[op.outputs[0]]
    constant = analysis.constant[output.index]
    values = analysis.values[output.index].astype(np.int64) - zero_point_of(output)
    scales = kernel_scales(analysis.graph, op).copy()
    # A scale of a quarter: exact, and the bias never out of range.
    scales[constant] = np.float32(scale_of(output) / scale_of(source) / 4)
    return scales, np.where(constant, 4 * values, bias)


def _constant_tensor(
    name: str, index: int, values: np.ndarray, quantization: Quantization | None
) -> Tensor:
    return Tensor(
        index=index,
        name=name,
        shape=values.shape,
        dtype=str(values.dtype),
        quantization=quantization,
        data=np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8),
    )
