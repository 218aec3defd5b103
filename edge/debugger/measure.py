"""Measures the quantization noise of an int8 model, as a whole and operator by operator."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge.debugger.align import AlignedOperator
from edge.debugger.operator_kinds import activation_inputs
from edge.errors import ModelError
from edge.runtimes.interpreters import run_litert_tensors
from edge.system import signals
from edge.tflite.graph import Graph, Tensor
from edge.tflite.quantize import real_range, to_int8, to_real
from edge.tflite.requantization import scale_of
from edge.transforms.isolate_operators import operators_apart

if TYPE_CHECKING:
    from keras_mobilenet.quantization.decompose import FloatNodes

Floats = dict[int, np.ndarray]


def powers(signal: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Computes the power of a signal and the power of the noise on it.

    Args:
        signal: The exact values, a float array of any shape.
        noisy: The values with noise, a float array of the same shape.

    Returns:
        A float64 array: `[sum(signal ** 2), sum((noisy - signal) ** 2)]`.

    Example:
        >>> powers(np.array([3.0, 4.0]), np.array([3.0, 4.5])).tolist()
        [25.0, 0.25]
    """
    signal = np.asarray(signal, np.float64)
    return np.array([(signal**2).sum(), ((noisy - signal) ** 2).sum()])


def decibel(signal: float, noise: float) -> float:
    """Expresses the ratio of two powers in decibels.

    Args:
        signal: The power of the signal.
        noise: The power of the noise.

    Returns:
        The ratio in dB: infinity without noise, minus infinity without signal.

    Example:
        >>> decibel(25.0, 0.25)
        20.0
    """
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


class NoiseSums:
    """Sums over all inputs, from which the error of one layer is computed.

    Attributes:
        whole: The powers of the float tensor and of the whole int8 network's noise on it.
        own: The powers of the layer's exact output and of the noise that this layer alone adds.
        input_noise: The part of the layer's own noise that comes from rounding its input.
        output_noise: The part that comes from rounding and clipping its output.
        saturated: The number of values that are clipped.
        input_peaks: The largest magnitude in each channel of the float input.
    """

    def __init__(self) -> None:
        self.whole = np.zeros(2)
        self.own = np.zeros(2)
        self.input_noise = self.output_noise = 0.0
        self.saturated = self.count = 0
        self.low, self.high = 127, -128
        self.input_peaks = np.zeros(1)

    def observe(self, q: np.ndarray) -> None:
        """Counts the values of an int8 tensor and keeps their extremes.

        Args:
            q: The values, an int8 array of any shape.
        """
        self.count += q.size
        self.low, self.high = min(self.low, int(q.min())), max(self.high, int(q.max()))

    @property
    def saturation_rate(self) -> float:
        """The share of values that are clipped, 0 to 1."""
        return self.saturated / self.count

    @property
    def range_use(self) -> float:
        """The share of the 256 int8 values between the smallest and the largest one observed."""
        return (self.high - self.low + 1) / 256

    @property
    def weight_noise(self) -> float:
        """The part of the own noise that neither the input nor the output explains."""
        return max(0.0, float(self.own[1]) - self.input_noise - self.output_noise)


class Measurement:
    """Runs an int8 model beside its float model and sums up the noise of every operator.

    Args:
        graph: The int8 model.
        float_graph: The nodes of the float model, from `float_nodes`.
        pairs: The operators and their float layers, from `align_operators`.

    Attributes:
        sums: The sums of each operator, by its index.
        input_sums: The sums of the model's input.
        agreeing: The number of inputs for which the largest output is the same.
    """

    def __init__(self, graph: Graph, float_graph: FloatNodes, pairs: tuple[AlignedOperator, ...]):
        self.graph = graph
        self.float_graph = float_graph
        self.pairs = pairs
        self.apart = operators_apart(graph, [pair.operator for pair in pairs])
        self.input_sums = NoiseSums()
        self.sums = {pair.operator: NoiseSums() for pair in pairs}
        self.agreeing = 0

    def output_tensor(self, pair: AlignedOperator) -> Tensor:
        """Returns the int8 tensor that an operator writes.

        Args:
            pair: One of the aligned operators.

        Returns:
            The operator's output tensor.
        """
        return self.graph.tensors[self.graph.operators[pair.operator].outputs[0]]

    def add(self, samples: np.ndarray) -> None:
        """Runs a block of inputs through both models and adds its noise to the sums.

        Args:
            samples: A float32 array of shape (inputs, *input shape without the batch).

        Raises:
            ModelError: If a float layer and its operator write tensors of different shapes.
            InterpreterError: If LiteRT refuses the model.
        """
        steps = self._add_input(samples)
        tensors = [self.output_tensor(pair) for pair in self.pairs]
        wanted = [*(tensor.index for tensor in tensors), self.graph.output.index]
        *through, result = run_litert_tensors(self.graph, steps.reshape(len(steps), -1), wanted)
        floats = self._floats(samples)
        self._count_agreement(floats[self.float_graph.result], result)
        for pair, tensor, q in zip(self.pairs, tensors, through, strict=True):
            sums = self.sums[pair.operator]
            sums.whole += powers(self._expected(pair, floats, q), to_real(q, tensor))
            sums.observe(q)
            sums.saturated += _saturated(q, tensor, pair.bounds)
        self._add_own(floats, len(samples))

    def _add_input(self, samples: np.ndarray) -> np.ndarray:
        tensor, sums = self.graph.input, self.input_sums
        steps = to_int8(samples, tensor)
        sums.observe(steps)
        sums.whole += powers(samples, to_real(steps, tensor))
        # Pixels reach both ends of the int8 range, so only values beyond it count as clipped.
        (lowest, highest), half = real_range(tensor), 0.51 * scale_of(tensor)
        sums.saturated += int(((samples < lowest - half) | (samples > highest + half)).sum())
        return steps

    def _floats(self, samples: np.ndarray) -> Floats:
        values = {self.float_graph.source: samples}
        with signals.in_native_code():
            for node in self.float_graph.nodes:
                made = node.compute(*(values[source] for source in node.sources))
                values[node.result] = np.asarray(made)
        return values

    def _count_agreement(self, expected: np.ndarray, result: np.ndarray) -> None:
        ours, theirs = (values.reshape(len(result), -1) for values in (expected, result))
        if ours.shape != theirs.shape:
            raise ModelError(
                f"The float model writes {ours.shape[1]} values, the int8 model "
                f"{theirs.shape[1]}: they are not the same network."
            )
        self.agreeing += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())

    def _expected(self, pair: AlignedOperator, floats: Floats, q: np.ndarray) -> np.ndarray:
        """Gives the float tensor the operator's shape, where only sides of length 1 differ."""
        expected = floats[pair.result]
        ours, theirs = ([n for n in shape[1:] if n != 1] for shape in (expected.shape, q.shape))
        if expected.size != q.size or (pair.nodes and ours != theirs):
            op = self.graph.operators[pair.operator]
            raise ModelError(
                f"The int8 model and the float model differ at layer {pair.layer!r}: it writes "
                f"{expected.shape[1:]}, operator {op.index} ({op.opcode}) {q.shape[1:]}."
            )
        return expected.reshape(q.shape)

    def _add_own(self, floats: Floats, count: int) -> None:
        """Runs every operator alone, on its float input rounded to int8."""
        inputs: list[list[tuple[Tensor, np.ndarray, np.ndarray]]] = []
        for pair in self.pairs:
            op = self.graph.operators[pair.operator]
            tensors = [self.graph.tensors[index] for index in activation_inputs(self.graph, op)]
            reals = [
                floats[source].reshape(count, *tensor.shape[1:])
                for source, tensor in zip(pair.sources, tensors, strict=True)
            ]
            steps = [to_int8(real, tensor) for real, tensor in zip(reals, tensors, strict=True)]
            inputs.append(list(zip(tensors, reals, steps, strict=True)))
        row = [q.reshape(count, -1) for parts in inputs for _, _, q in parts]
        outputs = run_litert_tensors(self.apart, np.concatenate(row, axis=1), self.apart.outputs)
        for pair, parts, q in zip(self.pairs, inputs, outputs, strict=True):
            sums, tensor = self.sums[pair.operator], self.output_tensor(pair)
            first = np.abs(parts[0][1])
            peaks = first.reshape(-1, first.shape[-1]).max(axis=0)
            sums.input_peaks = np.maximum(sums.input_peaks, peaks)
            # What the input's range clips is the error of the layer that made it.
            clipped = [np.clip(real, *real_range(source)) for source, real, _ in parts]
            exact = _compute(pair, clipped, floats).reshape(q.shape)
            rounded = [to_real(stored, source) for source, _, stored in parts]
            quantized = _compute(pair, rounded, floats).reshape(q.shape)
            sums.own += powers(exact, to_real(q, tensor))
            sums.input_noise += powers(exact, quantized)[1]
            sums.output_noise += powers(quantized, to_real(to_int8(quantized, tensor), tensor))[1]


def _compute(pair: AlignedOperator, arrays: list[np.ndarray], floats: Floats) -> np.ndarray:
    if not pair.nodes:
        return arrays[0]
    # The float model may reshape this value before the node, where the operator does not.
    x = [
        array.reshape(floats[source].shape)
        for array, source in zip(arrays, pair.nodes[0].sources, strict=True)
    ]
    with signals.in_native_code():
        for node in pair.nodes:
            x = [node.compute(*x)]
        return np.asarray(x[0])


def _saturated(q: np.ndarray, tensor: Tensor, bounds: tuple[float, float]) -> int:
    """Counts values at -128 and 127, except at an end where the activation itself clamps."""
    (lowest, highest), step = real_range(tensor), 1.01 * scale_of(tensor)
    count = 0
    if lowest > bounds[0] + step:
        count += int((q == -128).sum())
    if highest < bounds[1] - step:
        count += int((q == 127).sum())
    return count
