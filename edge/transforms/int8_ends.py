"""Takes a model's float32 and uint8 ends off, so that int8 goes in and int8 comes out."""

from __future__ import annotations

from edge.tflite.ends import FLIPPED_BITS
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.reader import read_graph
from edge.tflite.writer import pack, unpack


def with_int8_ends(graph: Graph) -> Graph:
    """Makes the int8 body of a model a model of its own.

    A QUANTIZE at the input and a DEQUANTIZE or QUANTIZE at the output are taken off, where they
    are no more than a scale and a zero point (float32) or a flip of the top bit (uint8).

    Args:
        graph: The model.

    Returns:
        The `Graph` between the ends, its tensors where they were; the same object if there is
        nothing to take off.

    Example:
        >>> with_int8_ends(graph) is graph
        True

    Source: TFLite's `AffineQuantize`, `Dequantize` and `Requantize` of the reference kernels.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return graph
    first, last = _first(graph), _last(graph)
    removed = {op.index for op in (first, last) if op is not None}
    if not removed:
        return graph
    source = graph.input.index if first is None else first.outputs[0]
    result = graph.output.index if last is None else last.inputs[0]
    model = unpack(graph.content)
    (subgraph,) = model.subgraphs
    subgraph.operators = [op for n, op in enumerate(subgraph.operators) if n not in removed]
    subgraph.inputs, subgraph.outputs = [source], [result]
    for signature in model.signatureDefs or ():
        # A signature names the tensors of the ends.
        for ends, index in ((signature.inputs, source), (signature.outputs, result)):
            for end in ends or ():
                end.tensorIndex = index
    return read_graph(pack(model))


def _first(graph: Graph) -> Operator | None:
    """The operator that makes int8 of the file's input, and is all that reads it."""
    readers = [op for op in graph.operators if graph.input.index in op.inputs]
    if len(readers) != 1 or readers[0].opcode != "QUANTIZE":
        return None
    return readers[0] if _is_an_end(graph, readers[0], graph.input) else None


def _last(graph: Graph) -> Operator | None:
    """The operator that makes the file's output of int8."""
    for op in graph.operators:
        if graph.output.index in op.outputs and op.opcode in ("DEQUANTIZE", "QUANTIZE"):
            if any(graph.output.index in other.inputs for other in graph.operators):
                return None
            return op if _is_an_end(graph, op, graph.output) else None
    return None


def _is_an_end(graph: Graph, op: Operator, end: Tensor) -> bool:
    """Whether an operator knows no more than the scale and zero point of its int8 tensor."""
    if len(op.inputs) != 1 or len(op.outputs) != 1:
        return False
    index = op.outputs[0] if op.inputs[0] == end.index else op.inputs[0]
    body = graph.tensors[index]
    if body.shape != end.shape:
        return False
    if body.dtype != "int8" or body.quantization is None or body.is_constant:
        return False
    if end.dtype == "float32":
        return True
    if end.dtype != "uint8" or end.quantization is None:
        return False
    points = tuple(point + FLIPPED_BITS for point in body.quantization.zero_points)
    return (end.quantization.scales, end.quantization.zero_points) == (
        body.quantization.scales,
        points,
    )
