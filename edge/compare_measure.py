"""Runs an int8 model and its float network, whole and layer by layer, and adds up what differs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ModelError
from edge.graph import Graph, Tensor
from edge.grid import real_range, to_int8, to_real
from edge.interpreters import run_litert_tensors
from edge.match import Match, activation_inputs
from edge.operators_apart import operators_apart
from edge.reference import scale_of

if TYPE_CHECKING:
    from keras_mobilenet.quantization.float_nodes import FloatNodes


class _Sums:
    """What one tensor's figures are made of, added up over all inputs."""

    def __init__(self, channels: int = 0):
        self.whole = np.zeros(2)
        self.own = np.zeros(2)
        self.input_noise = self.weight_noise = self.output_noise = 0.0
        self.saturated = self.count = 0
        self.low, self.high = 127, -128
        self.input_peaks = np.zeros(channels)

    def observe(self, q: np.ndarray, tensor: Tensor, bounds: tuple[float, float]) -> None:
        lowest, highest = (_real(np.int64(end), tensor) for end in (-128, 127))
        # An end of the grid within a step of the activation's own clamp is where it clamps.
        step = 1.01 * scale_of(tensor)
        if lowest > bounds[0] + step:
            self.saturated += int((q == -128).sum())
        if highest < bounds[1] - step:
            self.saturated += int((q == 127).sum())
        self.count += q.size
        self.low, self.high = min(self.low, int(q.min())), max(self.high, int(q.max()))

    @property
    def saturation_rate(self) -> float:
        return self.saturated / self.count

    @property
    def range_use(self) -> float:
        return (self.high - self.low + 1) / 256


class _Measurement:
    """Runs both models, whole and layer by layer, and adds up."""

    def __init__(self, graph: Graph, float_graph: FloatNodes, matches: tuple[Match, ...]):
        self.graph = graph
        self.float_graph = float_graph
        self.matches = matches
        self.apart = operators_apart(graph, [match.operator for match in matches])
        self.input_sums = _Sums()
        self.sums = {
            match.operator: _Sums(self._input_tensors(match)[0].shape[-1]) for match in matches
        }
        self.agreeing = 0

    def _input_tensors(self, match: Match) -> list[Tensor]:
        op = self.graph.operators[match.operator]
        return [self.graph.tensors[index] for index in activation_inputs(self.graph, op)]

    def _output_tensor(self, match: Match) -> Tensor:
        return self.graph.tensors[self.graph.operators[match.operator].outputs[0]]

    def add(self, samples: np.ndarray) -> None:
        """Runs one block of inputs."""
        first = self.graph.input
        steps = _steps(samples, first)
        self.input_sums.observe(steps, first, (-math.inf, math.inf))
        self.input_sums.whole += _powers(samples, _real(steps, first))
        outputs = [self._output_tensor(match) for match in self.matches]
        wanted = [tensor.index for tensor in outputs] + [self.graph.output.index]
        *through, result = run_litert_tensors(self.graph, steps.reshape(len(steps), -1), wanted)
        floats = self._floats(samples)
        self._count_agreement(floats[self.float_graph.result], result)
        for match, tensor, q in zip(self.matches, outputs, through, strict=True):
            expected = _shaped(floats[match.result], q, match, self.graph)
            sums = self.sums[match.operator]
            sums.observe(q, tensor, match.bounds)
            sums.whole += _powers(expected, _real(q, tensor))
        self._add_own(floats, len(samples))

    def _floats(self, samples: np.ndarray) -> dict[int, np.ndarray]:
        values = {self.float_graph.source: samples}
        for node in self.float_graph.nodes:
            values[node.result] = np.asarray(
                node.compute(*(values[source] for source in node.sources))
            )
        return values

    def _count_agreement(self, expected: np.ndarray, result: np.ndarray) -> None:
        count = len(result)
        ours, theirs = expected.reshape(count, -1), result.reshape(count, -1)
        if ours.shape != theirs.shape:
            raise ModelError(
                f"The float model writes {ours.shape[1]} values, the int8 model "
                f"{theirs.shape[1]}: they are not the same network."
            )
        self.agreeing += int((ours.argmax(axis=1) == theirs.argmax(axis=1)).sum())

    def _add_own(self, floats: dict[int, np.ndarray], count: int) -> None:
        rounded: dict[int, list[np.ndarray]] = {}
        for match in self.matches:
            rounded[match.operator] = [
                _steps(floats[source].reshape(count, *tensor.shape[1:]), tensor)
                for source, tensor in zip(match.sources, self._input_tensors(match), strict=True)
            ]
        together = [q.reshape(count, -1) for parts in rounded.values() for q in parts]
        made = run_litert_tensors(self.apart, np.concatenate(together, axis=1), self.apart.outputs)
        for match, q in zip(self.matches, made, strict=True):
            sums, output = self.sums[match.operator], self._output_tensor(match)
            tensors = self._input_tensors(match)
            cut, coarse = [], []
            for source, tensor, steps in zip(
                match.sources, tensors, rounded[match.operator], strict=True
            ):
                lowest, highest = (_real(np.int64(end), tensor) for end in (-128, 127))
                cut.append(np.clip(floats[source].reshape(steps.shape), lowest, highest))
                coarse.append(_real(steps, tensor))
            peaks = np.abs(cut[0]).reshape(-1, cut[0].shape[-1]).max(axis=0)
            sums.input_peaks = np.maximum(sums.input_peaks, peaks)
            exact = self._compute(match, cut, floats).reshape(q.shape)
            on_grid = self._compute(match, coarse, floats).reshape(q.shape)
            best = _real(_steps(on_grid, output), output)
            real = _real(q, output)
            sums.own += _powers(exact, real)
            sums.input_noise += _powers(exact, on_grid)[1]
            sums.output_noise += _powers(on_grid, best)[1]
            sums.weight_noise += _powers(best, real)[1]

    def _compute(
        self, match: Match, arrays: list[np.ndarray], floats: dict[int, np.ndarray]
    ) -> np.ndarray:
        if not match.nodes:
            return arrays[0]
        # The operator may read what a reshape of the float model has not touched yet.
        x = [
            array.reshape(floats[source].shape)
            for array, source in zip(arrays, match.nodes[0].sources, strict=True)
        ]
        for node in match.nodes:
            x = [node.compute(*x)]
        return np.asarray(x[0])

    def layer(self, match: Match) -> LayerError:
        op, sums = self.graph.operators[match.operator], self.sums[match.operator]
        noises = {
            "weights": sums.weight_noise,
            "input": sums.input_noise,
            "output": sums.output_noise,
        }
        return LayerError(
            op.index,
            op.opcode,
            self._output_tensor(match).name,
            match.layer,
            _decibel(*sums.whole),
            sums.saturation_rate,
            sums.range_use,
            _decibel(*sums.own),
            max(noises, key=lambda cause: noises[cause]),
        )

    def input_error(self) -> LayerError:
        sums = self.input_sums
        noise_db = _decibel(*sums.whole)
        return LayerError(
            *(-1, "INPUT", self.graph.input.name, "input"),
            *(noise_db, sums.saturation_rate, sums.range_use, noise_db),
        )

    def finding(self, match: Match, layer: LayerError) -> Finding:
        op = self.graph.operators[match.operator]
        kernel = folded_kernel(match.nodes)
        rounded = int8_kernel(self.graph, op)
        weights = None if kernel is None or rounded is None else (kernel, rounded)
        per_channel = False
        if weights is not None:
            quantization = self.graph.tensors[op.inputs[1]].quantization
            per_channel = quantization is not None and quantization.per_channel
        makers = {m.result: m.layer for m in self.matches}
        return Finding(
            layer,
            makers.get(match.sources[0], "input"),
            weights,
            per_channel,
            self.sums[match.operator].input_peaks,
            _real(np.int64(-128), self._output_tensor(match)),
            _real(np.int64(127), self._output_tensor(match)),
        )


def _shaped(expected: np.ndarray, q: np.ndarray, match: Match, graph: Graph) -> np.ndarray:
    """The float tensor in the operator's shape, where only sides of one differ."""
    ours = [side for side in expected.shape[1:] if side != 1]
    theirs = [side for side in q.shape[1:] if side != 1]
    if (ours != theirs and match.nodes) or expected.size != q.size:
        op = graph.operators[match.operator]
        raise ModelError(
            f"The int8 model and the float model part at layer {match.layer!r}: it writes "
            f"{expected.shape[1:]}, operator {op.index} ({op.opcode}) {q.shape[1:]}."
        )
    return expected.reshape(q.shape)
