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
from edge.tflite.reference import every_tensor
from edge.tflite.requantization import bias_of, scale_of, zero_point_of

CHANNELWISE = ("DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D", "ADD", "QUANTIZE", "MEAN")
MIXING = ("CONV_2D", "FULLY_CONNECTED")
CHANNEL_MULTIPLE = 4
"""What the kernels like."""


def without_constant_channels(graph: Graph) -> Graph:
    """A smaller graph that computes the same bytes.

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
    operators = [_narrowed(analysis, op, kept, tensors) for op in graph.operators]
    return dataclasses.replace(graph, tensors=tuple(tensors), operators=tuple(operators))


class _Analysis:
    """Which channels are constant, and which ones somebody needs."""

    def __init__(self, graph: Graph, values: dict[int, np.ndarray]):
        self.graph = graph
        self.values = {t: value.reshape(-1, value.shape[-1])[0] for t, value in values.items()}
        self.constant: dict[int, np.ndarray] = {
            graph.inputs[0]: np.zeros(graph.input.shape[-1], bool)
        }
        for op in graph.operators:
            self.constant[op.outputs[0]] = self._constant_outputs(op)

    def vanishing(self, op: Operator) -> np.ndarray:
        """Constant inputs that add the same to every output pixel, at the border as well."""
        source = self.graph.tensors[op.inputs[0]]
        constant = self.constant[source.index]
        window = self.graph.tensors[op.inputs[1]].shape[1:3] if "CONV" in op.opcode else (1, 1)
        if tuple(window) == (1, 1) or op.options["padding"] == "VALID":
            return constant
        return constant & (self.values[source.index] == zero_point_of(source))

    def reads_vector(self, op: Operator) -> bool:
        """Whether FULLY_CONNECTED reads one pixel, so that its inputs are channels."""
        kernel = self.graph.tensors[op.inputs[1]].shape
        return kernel[-1] == self.graph.tensors[op.inputs[0]].shape[-1]

    def weights(self, op: Operator) -> np.ndarray:
        """Of a mixing operator: (outputs, taps, inputs)."""
        values = self.graph.tensors[op.inputs[1]].values().astype(np.int64)
        return values.reshape(len(values), -1, values.shape[-1])

    def is_channelwise(self, op: Operator) -> bool:
        """Whether an operator's output channels are its input channels."""
        source, output = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.outputs[0]]
        return source.shape[-1] == output.shape[-1] and (
            op.opcode in CHANNELWISE
            or op.opcode == "PAD"
            or (op.opcode == "RESHAPE" and source.element_count == source.shape[-1])
        )

    def mixes_channels(self, op: Operator) -> bool:
        """Whether an operator can do with fewer of its input channels."""
        if op.opcode == "FULLY_CONNECTED":
            return self.reads_vector(op)
        source = self.graph.tensors[op.inputs[0]]
        return op.opcode == "CONV_2D" and self.weights(op).shape[2] == source.shape[-1]

    def _constant_outputs(self, op: Operator) -> np.ndarray:
        channels = self.graph.tensors[op.outputs[0]].shape[-1]
        if self.mixes_channels(op):
            live = self.weights(op)[:, :, ~self.vanishing(op)]
            return np.asarray(~live.any(axis=(1, 2)))
        if op.opcode == "DEPTHWISE_CONV_2D":
            kernel = self.graph.tensors[op.inputs[1]].values().reshape(-1, channels)
            repeat = channels // self.graph.tensors[op.inputs[0]].shape[-1]
            return np.asarray(~kernel.any(axis=0) | np.repeat(self.vanishing(op), repeat))
        if not self.is_channelwise(op):
            return np.zeros(channels, bool)
        sources = [i for i in op.inputs if not self.graph.tensors[i].is_constant]
        constant = np.asarray(np.stack([self.constant[i] for i in sources]).all(axis=0))
        if op.opcode == "PAD":
            source = self.graph.tensors[op.inputs[0]]
            constant = constant & (self.values[source.index] == zero_point_of(source))
        return constant

    def kept_channels(self) -> dict[int, np.ndarray]:
        """By tensor: what some output depends on. Grows from the output to a fixed point."""
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
        output = op.outputs[0]
        sources = [i for i in op.inputs if not self.graph.tensors[i].is_constant]
        if self.is_channelwise(op):
            # Inputs and output have the same channels, in the same order.
            joined = np.stack([kept[t] for t in (*sources, output)]).any(axis=0)
            for tensor in (*sources, output):
                kept[tensor] |= joined
        elif self.mixes_channels(op):
            varying = kept[output] & ~self.constant[output]
            needed = self.weights(op)[varying].any(axis=(0, 1)) & ~self.vanishing(op)
            kept[sources[0]] |= needed
        else:
            for tensor in (*sources, output):
                kept[tensor][:] = True


def _round_up(mask: np.ndarray) -> None:
    """Fills a mask up to a whole number of fours."""
    missing = -int(mask.sum()) % CHANNEL_MULTIPLE if mask.any() else CHANNEL_MULTIPLE
    mask[np.flatnonzero(~mask)[:missing]] = True


def _narrowed(
    analysis: _Analysis, op: Operator, kept: dict[int, np.ndarray], tensors: list[Tensor]
) -> Operator:
    """An operator on the channels that are left; its new weights go to the end of `tensors`."""
    graph = analysis.graph
    if op.opcode not in (*MIXING, "DEPTHWISE_CONV_2D"):
        return op
    source, kernel, output = (graph.tensors[i] for i in (op.inputs[0], op.inputs[1], op.outputs[0]))
    outputs = kept[output.index]
    weights, bias = kernel.values().astype(np.int64), bias_of(graph, op)
    constant = analysis.constant[output.index]
    if op.opcode == "DEPTHWISE_CONV_2D":
        weights = np.where(constant, 0, weights)[..., outputs]
        axis = 3
    else:
        if analysis.mixes_channels(op):
            inputs = kept[source.index]
            offset = analysis.values[source.index].astype(np.int64) - zero_point_of(source)
            gone = np.where(analysis.constant[source.index] & ~inputs, offset, 0)
            bias = bias + analysis.weights(op).sum(axis=1) @ gone
            weights = weights[..., inputs]
        weights = np.where(constant.reshape(-1, *[1] * (weights.ndim - 1)), 0, weights)[outputs]
        axis = 0
    assert kernel.quantization is not None, "an int8 kernel has scales"
    scales = np.broadcast_to(np.array(kernel.quantization.scales), len(outputs)).copy()
    # A constant comes from its bias alone, by a scale of a quarter: exact, and never out of range.
    values = analysis.values[output.index].astype(np.int64) - zero_point_of(output)
    bias = np.where(constant, 4 * values, bias)
    scales[constant] = np.float32(scale_of(output) / scale_of(source) / 4)
    scales = scales[outputs]
    quantization = Quantization(tuple(scales.tolist()), (0,) * len(scales), axis)
    first = len(tensors)
    tensors.append(_constant_tensor(kernel.name, first, weights.astype(np.int8), quantization))
    tensors.append(_constant_tensor("bias", first + 1, bias[outputs].astype(np.int32), None))
    return dataclasses.replace(op, inputs=(source.index, first, first + 1))


def _constant_tensor(
    name: str, index: int, values: np.ndarray, quantization: Quantization | None
) -> Tensor:
    data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    return Tensor(index, name, values.shape, str(values.dtype), quantization, data)
