"""Runs an int8 model and its float network, whole and operator by operator, and adds up."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge.debugger.align import Match, activation_inputs
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
    """The power of a signal, and of what was done to it.

    Args:
        signal: Float array.
        noisy: What became of it, of the same shape.

    Returns:
        float64 array: `[sum(signal ** 2), sum((noisy - signal) ** 2)]`.

    Example:
        >>> powers(np.array([3.0, 4.0]), np.array([3.0, 4.5])).tolist()
        [25.0, 0.25]
    """
    signal = np.asarray(signal, np.float64)
    return np.array([(signal**2).sum(), ((noisy - signal) ** 2).sum()])


def decibel(signal: float, noise: float) -> float:
    """A ratio of powers.

    Args:
        signal: Power of the signal.
        noise: Power of the noise.

    Returns:
        In dB; infinite without noise, minus infinite without signal.

    Example:
        >>> decibel(25.0, 0.25)
        20.0
    """
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


class Sums:
    """What one tensor's figures are made of, added up over all inputs.

    Attributes:
        whole: Powers of the float tensor, and of the int8 network's noise on it.
        own: Powers of the layer's output on its rounded input, and of the noise of this layer.
        input_noise: The part of the own noise that comes from rounding the input.
        output_noise: The part that comes from rounding and clipping the output.
        saturated: Number of values that are clipped.
        input_peaks: Largest float value of each channel of the input.
    """

    def __init__(self) -> None:
        self.whole = np.zeros(2)
        self.own = np.zeros(2)
        self.input_noise = self.output_noise = 0.0
        self.saturated = self.count = 0
        self.low, self.high = 127, -128
        self.input_peaks = np.zeros(1)

    def observe(self, q: np.ndarray) -> None:
        """Takes in int8 values.

        Args:
            q: int8 array.
        """
        self.count += q.size
        self.low, self.high = min(self.low, int(q.min())), max(self.high, int(q.max()))

    @property
    def saturation_rate(self) -> float:
        """Share of values that are clipped."""
        return self.saturated / self.count

    @property
    def range_use(self) -> float:
        """Share of the 256 steps between the smallest and the largest value."""
        return (self.high - self.low + 1) / 256

    @property
    def weight_noise(self) -> float:
        """The part of the own noise that comes from the operator itself."""
        return max(0.0, float(self.own[1]) - self.input_noise - self.output_noise)


class Measurement:
    """The figures of all matched operators.

    Args:
        graph: The int8 model.
        float_graph: The float model, taken apart.
        matches: What belongs together.

    Attributes:
        sums: By operator index.
        input_sums: Of the model's input.
        agreeing: Number of inputs with the same largest output.
    """

    def __init__(self, graph: Graph, float_graph: FloatNodes, matches: tuple[Match, ...]):
        self.graph = graph
        self.float_graph = float_graph
        self.matches = matches
        self.apart = operators_apart(graph, [match.operator for match in matches])
        self.input_sums = Sums()
        self.sums = {match.operator: Sums() for match in matches}
        self.agreeing = 0

    def output_tensor(self, match: Match) -> Tensor:
        """What a match's operator writes.

        Args:
            match: One of the matches.

        Returns:
            The tensor.
        """
        return self.graph.tensors[self.graph.operators[match.operator].outputs[0]]

    def add(self, samples: np.ndarray) -> None:
        """Runs a block of inputs.

        Args:
            samples: float32 array, (inputs, *input shape without the batch).

        Raises:
            ModelError: If a float layer and its operator write tensors of different shapes.
            InterpreterError: If LiteRT refuses the model.
        """
        steps = self._add_input(samples)
        tensors = [self.output_tensor(match) for match in self.matches]
        wanted = [*(tensor.index for tensor in tensors), self.graph.output.index]
        *through, result = run_litert_tensors(self.graph, steps.reshape(len(steps), -1), wanted)
        floats = self._floats(samples)
        self._count_agreement(floats[self.float_graph.result], result)
        for match, tensor, q in zip(self.matches, tensors, through, strict=True):
            sums = self.sums[match.operator]
            sums.whole += powers(self._expected(match, floats, q), to_real(q, tensor))
            sums.observe(q)
            sums.saturated += _saturated(q, tensor, match.bounds)
        self._add_own(floats, len(samples))

    def _add_input(self, samples: np.ndarray) -> np.ndarray:
        tensor, sums = self.graph.input, self.input_sums
        steps = to_int8(samples, tensor)
        sums.observe(steps)
        sums.whole += powers(samples, to_real(steps, tensor))
        # Pixels fill their grid to its ends: only what lies beyond is lost.
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

    def _expected(self, match: Match, floats: Floats, q: np.ndarray) -> np.ndarray:
        """The float tensor in the operator's shape, where only sides of one differ."""
        expected = floats[match.result]
        ours, theirs = ([n for n in shape[1:] if n != 1] for shape in (expected.shape, q.shape))
        if expected.size != q.size or (match.nodes and ours != theirs):
            op = self.graph.operators[match.operator]
            raise ModelError(
                f"The int8 model and the float model part at layer {match.layer!r}: it writes "
                f"{expected.shape[1:]}, operator {op.index} ({op.opcode}) {q.shape[1:]}."
            )
        return expected.reshape(q.shape)

    def _add_own(self, floats: Floats, count: int) -> None:
        """Every operator on its own float input."""
        inputs: list[list[tuple[Tensor, np.ndarray, np.ndarray]]] = []
        for match in self.matches:
            op = self.graph.operators[match.operator]
            tensors = [self.graph.tensors[index] for index in activation_inputs(self.graph, op)]
            reals = [
                floats[source].reshape(count, *tensor.shape[1:])
                for source, tensor in zip(match.sources, tensors, strict=True)
            ]
            steps = [to_int8(real, tensor) for real, tensor in zip(reals, tensors, strict=True)]
            inputs.append(list(zip(tensors, reals, steps, strict=True)))
        row = [q.reshape(count, -1) for parts in inputs for _, _, q in parts]
        outputs = run_litert_tensors(self.apart, np.concatenate(row, axis=1), self.apart.outputs)
        for match, parts, q in zip(self.matches, inputs, outputs, strict=True):
            sums, tensor = self.sums[match.operator], self.output_tensor(match)
            first = np.abs(parts[0][1])
            peaks = first.reshape(-1, first.shape[-1]).max(axis=0)
            sums.input_peaks = np.maximum(sums.input_peaks, peaks)
            # What the input's grid cuts off is the fault of the layer before.
            clipped = [np.clip(real, *real_range(source)) for source, real, _ in parts]
            exact = _compute(match, clipped, floats).reshape(q.shape)
            rounded = [to_real(stored, source) for source, _, stored in parts]
            on_grid = _compute(match, rounded, floats).reshape(q.shape)
            sums.own += powers(exact, to_real(q, tensor))
            sums.input_noise += powers(exact, on_grid)[1]
            sums.output_noise += powers(on_grid, to_real(to_int8(on_grid, tensor), tensor))[1]


def _compute(match: Match, arrays: list[np.ndarray], floats: Floats) -> np.ndarray:
    if not match.nodes:
        return arrays[0]
    # The operator may read what a reshape of the float model has not touched yet.
    x = [
        array.reshape(floats[source].shape)
        for array, source in zip(arrays, match.nodes[0].sources, strict=True)
    ]
    with signals.in_native_code():
        for node in match.nodes:
            x = [node.compute(*x)]
        return np.asarray(x[0])


def _saturated(q: np.ndarray, tensor: Tensor, bounds: tuple[float, float]) -> int:
    """Values at the ends of the grid, but for an end where the activation itself clamps."""
    (lowest, highest), step = real_range(tensor), 1.01 * scale_of(tensor)
    count = 0
    if lowest > bounds[0] + step:
        count += int((q == -128).sum())
    if highest < bounds[1] - step:
        count += int((q == 127).sum())
    return count
