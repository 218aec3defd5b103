"""Finds, for every operator of an int8 model, the float layers that it stands for.

Names help little: converters cut and join them, and other tools use names of their own. So both
graphs are walked along their tensors, and an operator and its layers must agree in kind, shape,
activation and weights.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from edge.debugger.kernels import int8_kernel, kernel_similarity
from edge.debugger.operator_kinds import (
    ACTIVATION_OPERATORS,
    KINDS,
    MOVING_OPERATORS,
    activation_bounds,
    activation_inputs,
    stays_within,
)
from edge.errors import ModelError
from edge.tflite.graph import Graph, Operator

if TYPE_CHECKING:
    from keras_mobilenet.quantization.decompose import FloatNodes, Node

SMALLEST_SIMILARITY = 0.8
"""The smallest cosine of an int8 kernel and its float kernel; rounding to 3 bits leaves 0.98."""

CERTAIN_SIMILARITY = 0.95
"""The smallest cosine where nothing but the weights says that the two belong together."""


POOLING_KINDS = ("mean", "average_pool", "max_pool")


@dataclasses.dataclass(frozen=True, eq=False)
class AlignedOperator:
    """An operator, and the float nodes that it computes.

    Attributes:
        operator: The index of the operator.
        nodes: The float nodes in call order; empty where the operator only moves values.
        sources: The float tensors that the operator's activation inputs stand for, in its order.
        result: The float tensor that the operator's output stands for.
        layer: The name of the Keras layer.
        bounds: The lowest and the highest real value that the layer's activation allows.
    """

    operator: int
    nodes: tuple[Node, ...]
    sources: tuple[int, ...]
    result: int
    layer: str
    bounds: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Alignment:
    """The operators of an int8 model beside the layers of its float model.

    Attributes:
        pairs: The operators that have float layers, in the operators' order.
        unmatched: A sentence for each operator or layer that has no counterpart.
    """

    pairs: tuple[AlignedOperator, ...]
    unmatched: tuple[str, ...]


def align_operators(graph: Graph, float_graph: FloatNodes) -> Alignment:
    """Finds the float layers of each operator by walking both models along their tensors.

    Args:
        graph: The int8 model.
        float_graph: The nodes of the float model, from `float_nodes`.

    Returns:
        The `Alignment`.

    Raises:
        ModelError: If the two are not the same network with the same weights; the message says
            where they differ.

    Example:
        >>> from keras_mobilenet.quantization.decompose import float_nodes
        >>> align_operators(graph, float_nodes(model)).pairs[0].layer
        'stem'
    """
    return _Aligner(graph, float_graph).alignment()


class _Aligner:
    def __init__(self, graph: Graph, float_graph: FloatNodes):
        self.graph = graph
        self.float_graph = float_graph
        self.readers: dict[int, list[Node]] = {}
        # A reshape changes no value, so its readers are taken to read its input.
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
        self.pairs: list[AlignedOperator] = []
        self.unmatched: list[str] = []

    def _origin(self, tensor: int) -> int:
        while tensor in self.origin:
            tensor = self.origin[tensor]
        return tensor

    def alignment(self) -> Alignment:
        for op in self.graph.operators:
            pair = self._aligned(op)
            if pair is None:
                self.unmatched.append(f"{_call(self.graph, op)} has no layer of the float model.")
                continue
            self.used.update(id(node) for node in pair.nodes)
            self.tensor_of[op.outputs[0]] = pair.result
            self.bounds[pair.result] = pair.bounds
            self.pairs.append(pair)
        if not any(
            int8_kernel(self.graph, self.graph.operators[m.operator]) is not None
            for m in self.pairs
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
        return Alignment(tuple(self.pairs), tuple(self.unmatched))

    def _aligned(self, op: Operator) -> AlignedOperator | None:
        output = self.graph.tensors[op.outputs[0]]
        if output.dtype != "int8" or output.quantization is None or output.shape[:1] != (1,):
            return None
        inputs = activation_inputs(self.graph, op)
        if op.opcode in MOVING_OPERATORS:
            return self._aligned_move(op, inputs)
        kinds = KINDS.get(op.opcode)
        if kinds is None or any(self.graph.tensors[i].dtype != "int8" for i in inputs):
            return None
        if any(index not in self.tensor_of for index in inputs):
            return self._found_by_weights(op)
        sources = tuple(self.tensor_of[index] for index in inputs)
        candidates, reasons = self._candidates(op, kinds, sources)
        while not candidates and self._has_dropped_pooling(inputs[0], sources[0]):
            candidates, reasons = self._candidates(op, kinds, sources)
        if candidates:
            _, nodes = max(candidates, key=lambda pair: pair[0])
            return self._as_pair(op, nodes, sources)
        readers = self.readers.get(sources[0], [])
        if self._may_stay_unmatched(op, readers):
            return None
        raise ModelError(self._difference(op, sources[0], readers, reasons))

    def _candidates(
        self, op: Operator, kinds: tuple[str, ...], sources: tuple[int, ...]
    ) -> tuple[list[tuple[float, tuple[Node, ...]]], list[str]]:
        """The nodes that an operator may compute, how alike the weights are, and why not others."""
        candidates, reasons = [], []
        for start in self._starts(op, kinds, sources):
            nodes = self._chain(op, start)
            reason = self._misfit(op, nodes)
            if reason is None:
                candidates.append((kernel_similarity(self.graph, op, nodes) or 0.0, nodes))
            else:
                reasons.append(reason)
        return candidates, reasons

    def _has_dropped_pooling(self, tensor: int, source: int) -> bool:
        """Looks through a pooling of one pixel, which changes no value: the converter drops it."""
        if self.graph.tensors[tensor].element_count != self.graph.tensors[tensor].shape[-1]:
            return False
        for node in self.readers.get(source, []):
            if node.kind in POOLING_KINDS and id(node) not in self.used:
                self.used.add(id(node))
                self.origin[node.result] = source
                self.readers[source] += self.readers.get(node.result, [])
                return True
        return False

    def _aligned_move(self, op: Operator, inputs: list[int]) -> AlignedOperator | None:
        source = self.tensor_of.get(inputs[0]) if inputs else None
        if source is None:
            return None
        layer = self.maker[source].layer if source in self.maker else "input"
        if op.opcode != "QUANTIZE":
            layer = self.reshapes.get(source, layer)
        return AlignedOperator(
            operator=op.index,
            nodes=(),
            sources=(source,),
            result=source,
            layer=layer,
            bounds=self._bounds_of(source),
        )

    def _starts(
        self, op: Operator, kinds: tuple[str, ...], sources: tuple[int, ...]
    ) -> Iterator[tuple[Node, ...]]:
        """Yields the nodes with which the operator may begin, of all that read its inputs."""
        for node in self.readers.get(sources[0], []):
            if id(node) in self.used:
                continue
            read = [self._origin(source) for source in node.sources]
            # The terms of a sum may come in either order.
            is_fed = sorted(read) == sorted(sources) if node.kind == "add" else read == [*sources]
            if node.kind in kinds and is_fed:
                yield (node,)
            elif node.kind == "pad" and op.options.get("padding") == "SAME":
                # The converter merges a padding layer into an operator with SAME padding.
                for reader in self._sole_reader(node, kinds):
                    yield node, reader

    def _chain(self, op: Operator, start: tuple[Node, ...]) -> tuple[Node, ...]:
        """Adds the batch normalization and the activation that the operator absorbs."""
        nodes = list(start)
        if nodes[-1].weights is not None:
            nodes += self._sole_reader(nodes[-1], ("batch_norm",))
        has_own = any(r.opcode in ("RELU", "RELU6") for r in self.op_readers.get(op.outputs[0], []))
        if op.opcode not in ACTIVATION_OPERATORS and not has_own:
            nodes += self._sole_reader(nodes[-1], ("relu", "relu6"))
        return tuple(nodes)

    def _sole_reader(self, node: Node, kinds: tuple[str, ...]) -> list[Node]:
        readers = self.readers.get(node.result, [])
        is_sole = len(readers) == 1 and node.result != self.result
        return readers if is_sole and readers[0].kind in kinds else []

    def _misfit(self, op: Operator, nodes: tuple[Node, ...]) -> str | None:
        """Says why the operator cannot compute these nodes; None if it can."""
        layer, last = _name(nodes), nodes[-1]
        similarity = kernel_similarity(self.graph, op, nodes)
        if similarity is None:
            return f"layer {layer!r} has a kernel of another shape"
        activation = op.options.get("activation", "NONE")
        if last.kind in ("relu", "relu6") and len(nodes) > 1:
            if not stays_within(
                op, self.graph.tensors[op.outputs[0]], *activation_bounds(last.kind)
            ):
                return f"layer {layer!r} ends with {last.kind}, the operator with {activation}"
        elif activation != "NONE":
            return f"layer {layer!r} has no activation, the operator {activation}"
        if similarity < SMALLEST_SIMILARITY:
            return f"layer {layer!r} has the same shape but other weights (cosine {similarity:.2f})"
        return None

    def _may_stay_unmatched(self, op: Operator, readers: list[Node]) -> bool:
        if any(node.kind == "other" for node in readers):
            return True
        is_last = op.outputs[0] in self.graph.outputs
        return op.opcode == "SOFTMAX" and is_last and not readers

    def _difference(
        self, op: Operator, source: int, readers: list[Node], reasons: list[str]
    ) -> str:
        here = self.maker[source].layer if source in self.maker else "the input"
        after = f"after {here!r}" if source in self.maker else f"at {here}"
        if not reasons:
            names = [f"{node.layer!r} ({node.kind})" for node in readers]
            reasons = [f"the float model has {' and '.join(names) or 'nothing more'} there"]
        return (
            f"The int8 model and the float model differ {after}: {_call(self.graph, op)}, but "
            f"{'; '.join(reasons)}. Give the float model that this .tflite was converted from."
        )

    def _found_by_weights(self, op: Operator) -> AlignedOperator | None:
        """Finds layers by their weights alone, behind an operator without a counterpart."""
        if int8_kernel(self.graph, op) is None:
            return None
        found = []
        for node in self.float_graph.nodes:
            if node.kind in KINDS[op.opcode] and id(node) not in self.used:
                nodes = self._chain(op, (node,))
                similarity = kernel_similarity(self.graph, op, nodes)
                if (
                    similarity is not None
                    and similarity > CERTAIN_SIMILARITY
                    and self._misfit(op, nodes) is None
                ):
                    found.append(nodes)
        if len(found) != 1:
            return None
        sources = tuple(self._origin(source) for source in found[0][0].sources)
        return self._as_pair(op, found[0], sources)

    def _as_pair(
        self, op: Operator, nodes: tuple[Node, ...], sources: tuple[int, ...]
    ) -> AlignedOperator:
        bounds = -math.inf, math.inf
        for node in nodes:
            if node.kind in ("max_pool", "average_pool", "mean", "pad"):
                low, high = self._bounds_of(sources[0])
                bounds = (min(low, 0.0), max(high, 0.0)) if node.kind == "pad" else (low, high)
            else:
                bounds = activation_bounds(node.kind)
        return AlignedOperator(
            operator=op.index,
            nodes=nodes,
            sources=sources,
            result=nodes[-1].result,
            layer=_name(nodes),
            bounds=bounds,
        )

    def _bounds_of(self, tensor: int) -> tuple[float, float]:
        return self.bounds.get(tensor, (-math.inf, math.inf))


def _name(nodes: tuple[Node, ...]) -> str:
    return next((node.layer for node in nodes if node.weights is not None), nodes[0].layer)


def _call(graph: Graph, op: Operator) -> str:
    shape = "x".join(map(str, graph.tensors[op.outputs[0]].shape))
    return f"operator {op.index} is {op.opcode} with output {shape}"
