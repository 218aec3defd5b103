"""Finds, for every operator of an int8 model, the float layers that it stands for.

Names help little: converters cut and join them, and other tools have names of their own. So both
graphs are walked along their tensors, and a pair must agree in kind, shape, activation and weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from edge.errors import ModelError
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.requantization import activation_range, scale_of, zero_point_of

if TYPE_CHECKING:
    from keras_mobilenet.quantization.decompose import FloatNodes, Node

KINDS = {
    "CONV_2D": ("convolution", "depthwise", "dense"),
    "DEPTHWISE_CONV_2D": ("depthwise", "convolution"),
    "FULLY_CONNECTED": ("dense", "convolution"),
    "ADD": ("add",),
    "CONCATENATION": ("concatenate",),
    "MEAN": ("mean", "average_pool"),
    "AVERAGE_POOL_2D": ("average_pool", "mean"),
    "MAX_POOL_2D": ("max_pool",),
    "REDUCE_MAX": ("max_pool",),
    "PAD": ("pad",),
    "PADV2": ("pad",),
    "RELU": ("relu", "relu6"),
    "RELU6": ("relu6",),
    "HARD_SWISH": ("hard_swish",),
    "SOFTMAX": ("softmax",),
}
"""Kinds of float nodes by operator, the usual one first."""

MOVES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "QUANTIZE")
"""Operators that change no real value."""

ALONE = ("RELU", "RELU6", "HARD_SWISH")
"""Activations that are operators of their own."""

ALIKE = 0.8
"""Smallest cosine of an int8 kernel and its float kernel. Rounding to 3 bits leaves 0.98."""

CERTAIN = 0.95
"""The same where weights alone make the pair."""


@dataclasses.dataclass(frozen=True, eq=False)
class Match:
    """An operator, and the float nodes that it computes.

    Attributes:
        operator: Index of the operator.
        nodes: In call order; empty where the operator only moves values.
        sources: The float tensors that the operator's activations stand for, in its order.
        result: The float tensor that its output stands for.
        layer: Name of the Keras layer.
        bounds: The real values that the float result cannot leave, by its activation.
    """

    operator: int
    nodes: tuple[Node, ...]
    sources: tuple[int, ...]
    result: int
    layer: str
    bounds: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Matching:
    """What belongs together in two models.

    Attributes:
        matches: In the operators' order.
        unmatched: A sentence for each operator or layer that has no partner.
    """

    matches: tuple[Match, ...]
    unmatched: tuple[str, ...]


def activation_inputs(graph: Graph, op: Operator) -> list[int]:
    """The inputs of an operator that are no constants.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        Tensor indices, in the operator's order.

    Example:
        >>> activation_inputs(graph, graph.operators[3])
        [3, 9]
    """
    return [index for index in op.inputs if not graph.tensors[index].is_constant]


def int8_kernel(graph: Graph, op: Operator) -> np.ndarray | None:
    """The real weights of an operator.

    Args:
        graph: The model.
        op: The operator.

    Returns:
        float64 array (output channels, weights of one); None where it has no kernel.

    Example:
        >>> int8_kernel(graph, graph.operators[0]).shape
        (4, 27)
    """
    if op.opcode not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
        return None
    tensor = graph.tensors[op.inputs[1]]
    if not tensor.is_constant or tensor.dtype != "int8" or tensor.quantization is None:
        return None
    axis = 3 if op.opcode == "DEPTHWISE_CONV_2D" else 0
    flat = np.moveaxis(tensor.values(), axis, 0).reshape(tensor.shape[axis], -1)
    scales, zero_points = tensor.quantization.scales, tensor.quantization.zero_points
    return (flat - np.reshape(zero_points, (-1, 1)).astype(np.float64)) * np.reshape(
        scales, (-1, 1)
    )


def folded_kernel(nodes: tuple[Node, ...]) -> np.ndarray | None:
    """The kernel of nodes with the batch normalization after it taken in.

    Args:
        nodes: Of one match.

    Returns:
        Float array (output channels, weights of one); None where there is no kernel.

    Example:
        >>> from keras_mobilenet.quantization.decompose import float_nodes
        >>> matching = match_operators(graph, float_nodes(model))
        >>> folded_kernel(matching.matches[0].nodes).shape
        (4, 27)
    """
    kernel = None
    for node in nodes:
        if node.weights is None:
            continue
        if node.kind != "batch_norm":
            kernel = node.weights
        elif kernel is not None:
            kernel = kernel * node.weights.reshape(-1, 1)
    return kernel


def match_operators(graph: Graph, float_graph: FloatNodes) -> Matching:
    """Walks an int8 model and a float one along their tensors.

    Args:
        graph: The int8 model.
        float_graph: The float model, taken apart.

    Returns:
        The `Matching`.

    Raises:
        ModelError: If the two are not the same network with the same weights; says where they part.

    Example:
        >>> from keras_mobilenet.quantization.decompose import float_nodes
        >>> match_operators(graph, float_nodes(model)).matches[0].layer
        'stem'
    """
    return _Walk(graph, float_graph).matching()


class _Walk:
    def __init__(self, graph: Graph, float_graph: FloatNodes):
        self.graph = graph
        self.float_graph = float_graph
        self.readers: dict[int, list[Node]] = {}
        # A reshape moves no value: what reads its result reads what it reads.
        self.origin: dict[int, int] = {}
        self.reshapes: dict[int, str] = {}
        for node in float_graph.nodes:
            sources = [self._origin(source) for source in node.sources]
            if node.kind == "reshape":
                self.origin[node.result] = sources[0]
                self.reshapes[sources[0]] = node.layer
                continue
            for source in dict.fromkeys(sources):
                self.readers.setdefault(source, []).append(node)
        self.result = self._origin(float_graph.result)
        self.maker = {node.result: node for node in float_graph.nodes}
        self.op_readers: dict[int, list[Operator]] = {}
        for op in graph.operators:
            for index in op.inputs:
                self.op_readers.setdefault(index, []).append(op)
        self.tensor_of = {graph.inputs[0]: float_graph.source}
        self.bounds: dict[int, tuple[float, float]] = {}
        self.used: set[int] = set()
        self.matches: list[Match] = []
        self.unmatched: list[str] = []

    def _origin(self, tensor: int) -> int:
        return self.origin.get(tensor, tensor)

    def matching(self) -> Matching:
        for op in self.graph.operators:
            match = self._match(op)
            if match is None:
                self.unmatched.append(f"{_call(self.graph, op)} has no layer of the float model.")
                continue
            self.used.update(id(node) for node in match.nodes)
            self.tensor_of[op.outputs[0]] = match.result
            self.bounds[match.result] = match.bounds
            self.matches.append(match)
        if not any(
            int8_kernel(self.graph, self.graph.operators[m.operator]) is not None
            for m in self.matches
        ):
            raise ModelError(
                "The int8 model and the float model have no layer in common: "
                + " ".join(self.unmatched[:1])
            )
        for node in self.float_graph.nodes:
            if node.kind != "reshape" and id(node) not in self.used:
                self.unmatched.append(
                    f"Layer {node.layer!r} ({node.kind}) has no operator of the int8 model."
                )
        return Matching(tuple(self.matches), tuple(self.unmatched))

    def _match(self, op: Operator) -> Match | None:
        output = self.graph.tensors[op.outputs[0]]
        if output.dtype != "int8" or output.quantization is None or output.shape[:1] != (1,):
            return None
        inputs = activation_inputs(self.graph, op)
        if op.opcode in MOVES:
            return self._moved(op, inputs)
        kinds = KINDS.get(op.opcode)
        if kinds is None or any(self.graph.tensors[i].dtype != "int8" for i in inputs):
            return None
        if any(index not in self.tensor_of for index in inputs):
            return self._found_by_weights(op)
        sources = tuple(self.tensor_of[index] for index in inputs)
        readers = self.readers.get(sources[0], [])
        fitting, reasons = [], []
        for start in self._starts(op, kinds, sources):
            nodes = self._chain(op, start)
            reason = self._misfit(op, nodes)
            if reason is None:
                fitting.append((_likeness(self.graph, op, nodes) or 0.0, nodes))
            else:
                reasons.append(reason)
        if fitting:
            _, nodes = max(fitting, key=lambda pair: pair[0])
            return self._as_match(op, nodes, sources)
        if self._may_lack_a_partner(op, readers):
            return None
        raise ModelError(self._parting(op, sources[0], readers, reasons))

    def _moved(self, op: Operator, inputs: list[int]) -> Match | None:
        source = self.tensor_of.get(inputs[0]) if inputs else None
        if source is None:
            return None
        layer = self.maker[source].layer if source in self.maker else "input"
        if op.opcode != "QUANTIZE":
            layer = self.reshapes.get(source, layer)
        return Match(op.index, (), (source,), source, layer, self._bounds_of(source))

    def _starts(
        self, op: Operator, kinds: tuple[str, ...], sources: tuple[int, ...]
    ) -> Iterator[tuple[Node, ...]]:
        """What the operator may begin with, of all that reads its inputs."""
        for node in self.readers.get(sources[0], []):
            if id(node) in self.used:
                continue
            read = [self._origin(source) for source in node.sources]
            # The order of a sum's terms is free.
            is_fed = sorted(read) == sorted(sources) if node.kind == "add" else read == [*sources]
            if node.kind in kinds and is_fed:
                yield (node,)
            elif node.kind == "pad" and op.options.get("padding") == "SAME":
                # The converter takes a padding in where the operator's own is the same.
                for reader in self._sole_reader(node, kinds):
                    yield node, reader

    def _chain(self, op: Operator, start: tuple[Node, ...]) -> tuple[Node, ...]:
        """The nodes, and what the operator takes in after them."""
        nodes = list(start)
        if nodes[-1].weights is not None:
            nodes += self._sole_reader(nodes[-1], ("batch_norm",))
        has_own = any(r.opcode in ALONE for r in self.op_readers.get(op.outputs[0], []))
        if op.opcode not in ALONE and not has_own:
            nodes += self._sole_reader(nodes[-1], ("relu", "relu6"))
        return tuple(nodes)

    def _sole_reader(self, node: Node, kinds: tuple[str, ...]) -> list[Node]:
        readers = self.readers.get(node.result, [])
        is_sole = len(readers) == 1 and node.result != self.result
        return readers if is_sole and readers[0].kind in kinds else []

    def _misfit(self, op: Operator, nodes: tuple[Node, ...]) -> str | None:
        """Why the operator cannot be these nodes."""
        layer, last = _name(nodes), nodes[-1]
        likeness = _likeness(self.graph, op, nodes)
        if likeness is None:
            return f"layer {layer!r} has a kernel of another shape"
        activation = op.options.get("activation", "NONE")
        if last.kind in ("relu", "relu6") and len(nodes) > 1:
            if not _is_within(op, self.graph.tensors[op.outputs[0]], *_bounds(last.kind)):
                return f"layer {layer!r} ends with {last.kind}, the operator with {activation}"
        elif activation != "NONE":
            return f"layer {layer!r} has no activation, the operator {activation}"
        if likeness < ALIKE:
            return (
                f"layer {layer!r} has the same shape but other weights (cosine {likeness:.2f}): "
                "the .tflite was made from another training, or from another layer"
            )
        return None

    def _may_lack_a_partner(self, op: Operator, readers: list[Node]) -> bool:
        if any(node.kind == "other" for node in readers):
            return True
        is_last = op.outputs[0] in self.graph.outputs
        return op.opcode == "SOFTMAX" and is_last and not readers

    def _parting(self, op: Operator, source: int, readers: list[Node], reasons: list[str]) -> str:
        here = self.maker[source].layer if source in self.maker else "the input"
        after = f"after {here!r}" if source in self.maker else f"at {here}"
        if not reasons:
            names = [f"{node.layer!r} ({node.kind})" for node in readers]
            reasons = [f"the float model has {' and '.join(names) or 'nothing more'} there"]
        return (
            f"The int8 model and the float model part {after}: {_call(self.graph, op)}, but "
            f"{'; '.join(reasons)}. Give the float model that this .tflite was converted from."
        )

    def _found_by_weights(self, op: Operator) -> Match | None:
        """After an operator without a partner, only equal weights make a pair."""
        if int8_kernel(self.graph, op) is None:
            return None
        found = []
        for node in self.float_graph.nodes:
            if node.kind in KINDS[op.opcode] and id(node) not in self.used:
                nodes = self._chain(op, (node,))
                likeness = _likeness(self.graph, op, nodes)
                if likeness is not None and likeness > CERTAIN and self._misfit(op, nodes) is None:
                    found.append(nodes)
        if len(found) != 1:
            return None
        sources = tuple(self._origin(source) for source in found[0][0].sources)
        return self._as_match(op, found[0], sources)

    def _as_match(self, op: Operator, nodes: tuple[Node, ...], sources: tuple[int, ...]) -> Match:
        bounds = -math.inf, math.inf
        for node in nodes:
            if node.kind in ("max_pool", "average_pool", "mean", "pad"):
                low, high = self._bounds_of(sources[0])
                bounds = (min(low, 0.0), max(high, 0.0)) if node.kind == "pad" else (low, high)
            else:
                bounds = _bounds(node.kind)
        return Match(op.index, nodes, sources, nodes[-1].result, _name(nodes), bounds)

    def _bounds_of(self, tensor: int) -> tuple[float, float]:
        return self.bounds.get(tensor, (-math.inf, math.inf))


def _name(nodes: tuple[Node, ...]) -> str:
    return next((node.layer for node in nodes if node.weights is not None), nodes[0].layer)


def _bounds(kind: str) -> tuple[float, float]:
    bounds = {
        "relu": (0.0, math.inf),
        "relu6": (0.0, 6.0),
        "softmax": (0.0, 1.0),
        "hard_swish": (-0.375, math.inf),
    }
    return bounds.get(kind, (-math.inf, math.inf))


def _is_within(op: Operator, output: Tensor, low: float, high: float) -> bool:
    """Whether an operator's output stays within real bounds, by its clamp or by its grid."""
    scale, zero_point = scale_of(output), zero_point_of(output)
    lowest, highest = ((q - zero_point) * scale for q in activation_range(op, output))
    return lowest >= low - 0.51 * scale and highest <= high + 0.51 * scale


def _likeness(graph: Graph, op: Operator, nodes: tuple[Node, ...]) -> float | None:
    """Cosine of the two kernels, 1 where there is none, None if their shapes differ."""
    theirs, ours = int8_kernel(graph, op), folded_kernel(nodes)
    if theirs is None or ours is None:
        return 1.0 if theirs is None and ours is None else None
    if theirs.shape != ours.shape:
        return None
    products, norms = (
        (theirs * ours).sum(axis=1),
        [np.sqrt((kernel**2).sum(axis=1)) for kernel in (theirs, ours)],
    )
    if not norms[0].any() or not norms[1].any():
        return 1.0 if norms[0].any() == norms[1].any() else 0.0
    whole = products.sum() / (np.linalg.norm(norms[0]) * np.linalg.norm(norms[1]))
    # One channel with large weights must not speak for all others, nor against them.
    is_alive = (norms[0] > 0) & (norms[1] > 0)
    each = products[is_alive] / (norms[0] * norms[1])[is_alive]
    return float(max(whole, np.median(each)) if len(each) else whole)


def _call(graph: Graph, op: Operator) -> str:
    shape = "x".join(map(str, graph.tensors[op.outputs[0]].shape))
    return f"operator {op.index} is {op.opcode} with output {shape}"
