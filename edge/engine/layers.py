"""From a graph to layers that make rows: one function per operator that the engine has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from edge.engine.network import Layer, Network, Rows
from edge.errors import ModelError, quoted
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import has_kernel, kernel_of, leading_padding, mean_axes, window_of
from edge.tflite.requantization import add_multipliers, scale_of, zero_point_of
from edge.tflite.tables import TABLES

LONGEST_SIDE, LONGEST_STEP = 2**16 - 1, 2**8 - 1
"""What the engine's tables hold of a tensor, and of a stride, a dilation or a padding."""


class UnsupportedOperatorError(ModelError):
    """A model with an operator that the engine has no kernel for."""


def network_of(graph: Graph) -> Network:
    """Reads a graph as layers that make rows; a RESHAPE makes none.

    Args:
        graph: An int8 model with one input and one output, which needs every operator.

    Returns:
        The `Network`.

    Raises:
        UnsupportedOperatorError: If the engine has no kernel for an operator; TFLite Micro may.

    Example:
        >>> len(network_of(graph).layers)
        7
    """
    # Tensors of the same bytes, before and after a RESHAPE.
    same: dict[int, int] = {}
    rows: dict[int, Rows] = {}
    layers: list[Layer] = []
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        inputs = [same.get(t, t) for t in op.inputs if not graph.tensors[t].is_constant]
        if op.opcode == "RESHAPE" and len(inputs) == 1:
            _reshape(graph, op, inputs[0], rows)
            same[output.index] = inputs[0]
            continue
        for tensor in inputs:
            if tensor not in rows:
                rows[tensor] = _rows(graph.tensors[tensor])
        rows[output.index] = _rows(output)
        layers.append(_layer(graph, op, len(layers), inputs, rows))
    last = same.get(graph.outputs[0], graph.outputs[0])
    if not layers or last != layers[-1].output:
        raise UnsupportedOperatorError(
            "The model computes nothing: its output is a constant, or its input as it is."
        )
    return Network(graph=graph, layers=tuple(layers), rows=rows, input=graph.inputs[0], output=last)


def _rows(tensor: Tensor) -> Rows:
    shape = tensor.shape
    if max(shape, default=0) > LONGEST_SIDE:
        raise UnsupportedOperatorError(
            f"Tensor {quoted(tensor.name)} of shape {shape} has a side beyond the engine's "
            "16 bits. Export the model for TFLite Micro instead."
        )
    if len(shape) == 4 and shape[0] == 1:
        return Rows(tensor.index, *shape[1:])
    if len(shape) == 3 and shape[0] == 1:
        # Steps of a sequence, one pixel each.
        return Rows(tensor.index, shape[1], 1, shape[2])
    if shape and tensor.element_count == shape[-1]:
        return Rows(tensor.index, 1, 1, shape[-1])
    raise UnsupportedOperatorError(
        f"Tensor {quoted(tensor.name)} of shape {shape} is neither an image nor a vector: the "
        "engine cannot stream it. Export the model for TFLite Micro instead."
    )


def _reshape(graph: Graph, op: Operator, source: int, rows: dict[int, Rows]) -> None:
    """The bytes stay where they are; only an input may be cut into other rows."""
    target = _rows(graph.tensors[op.outputs[0]])
    if source not in rows and source == graph.inputs[0]:
        rows[source] = dataclasses.replace(target, tensor=source)
    elif target.height > 1 and target.height != rows[source].height:
        raise _unsupported(op, f"from {rows[source].height} rows to {target.height}")


def _unsupported(op: Operator, why: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(
        f"The engine has no kernel for {op.opcode} (operator {op.index}) {why}. Export the model "
        "for TFLite Micro instead: keras-mobilenet export."
    )


def _layer(
    graph: Graph, op: Operator, index: int, inputs: Sequence[int], rows: dict[int, Rows]
) -> Layer:
    if op.opcode not in LAYERS:
        raise _unsupported(op, "at all")
    for tensor in (*inputs, op.outputs[0]):
        if graph.tensors[tensor].dtype != "int8":
            raise _unsupported(op, f"on {graph.tensors[tensor].dtype}")
    layer = Layer(index=index, op=op, inputs=tuple(inputs), output=op.outputs[0])
    if not inputs or graph.tensors[op.inputs[0]].is_constant:
        raise _unsupported(op, "of a constant")
    if has_kernel(op):
        _require_weights(graph, op)
    if op.opcode != "FULLY_CONNECTED":
        _require_own_rows(graph, op, inputs, rows)
    return LAYERS[op.opcode](graph, layer, [rows[tensor] for tensor in inputs], rows[layer.output])


def _require_weights(graph: Graph, op: Operator) -> None:
    kernel = kernel_of(graph, op)
    if kernel.dtype not in ("int8", "int4") or not kernel.is_constant:
        raise _unsupported(
            op, f"with {kernel.dtype} weights" if kernel.is_constant else "with computed weights"
        )
    if kernel.quantization is not None and any(kernel.quantization.zero_points):
        raise _unsupported(op, "with a zero point of its weights")


def _require_own_rows(
    graph: Graph, op: Operator, inputs: Sequence[int], rows: dict[int, Rows]
) -> None:
    """Behind a RESHAPE the rows are those of the tensor before it: only a vector is any shape."""
    computed = [index for index in op.inputs if not graph.tensors[index].is_constant]
    for stated, tensor in zip(computed, inputs, strict=True):
        if dataclasses.replace(_rows(graph.tensors[stated]), tensor=tensor) != rows[tensor]:
            raise _unsupported(op, "on the rows that a RESHAPE makes")


def _only(layer: Layer, sources: Sequence[Rows]) -> Rows:
    """The rows that an operator of one computed input reads."""
    if len(sources) != 1:
        raise _unsupported(layer.op, f"of {len(sources)} computed inputs")
    return sources[0]


def _add(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    if len(sources) != 2:
        raise _unsupported(layer.op, f"of {len(sources)} computed inputs")
    if any(dataclasses.replace(source, tensor=output.tensor) != output for source in sources):
        raise _unsupported(layer.op, "with broadcasting")
    if any(shift > 0 for _, shift in add_multipliers(graph, layer.op)):
        # LiteRT's ADD shifts to the right only.
        raise _unsupported(
            layer.op, f"with an output scale of {scale_of(graph.tensors[layer.output]):g}"
        )
    return layer


def _convolution(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    source = _only(layer, sources)
    if layer.op.opcode == "CONV_2D" and kernel_of(graph, layer.op).shape[3] != source.channels:
        raise _unsupported(layer.op, "in so many groups")
    return _windowed(layer, window_of(graph, layer.op), source, output)


def _fully_connected(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    if kernel_of(graph, layer.op).shape[1] != _only(layer, sources).bytes:
        raise _unsupported(layer.op, "of several rows at once")
    return dataclasses.replace(layer, needs_all=True)


def _mean(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    source = _only(layer, sources)
    axes = mean_axes(graph, layer.op)
    if len(graph.tensors[layer.op.inputs[0]].shape) != 4 or axes != (1, 2):
        raise _unsupported(layer.op, f"over axes {list(axes)}")
    window = (source.height, source.width)
    return dataclasses.replace(layer, window=window, needs_all=source.height > 1)


def _pad(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    op, _ = layer.op, _only(layer, sources)
    pads = graph.tensors[op.inputs[1]].values().reshape(-1, 2)
    if len(pads) != 4 or pads[[0, 3]].any():
        raise _unsupported(op, "of other than rows and columns")
    points = {zero_point_of(graph.tensors[index]) for index in (op.inputs[0], op.outputs[0])}
    if len(points) > 1:
        raise _unsupported(op, "that changes the zero point")
    return dataclasses.replace(layer, pad=(int(pads[1, 0]), int(pads[2, 0])))


def _pool(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    op, source = layer.op, _only(layer, sources)
    if graph.tensors[op.inputs[0]].quantization != graph.tensors[op.outputs[0]].quantization:
        raise _unsupported(op, "that changes the scale")
    return _windowed(layer, window_of(graph, op), source, output)


def _pixelwise(graph: Graph, layer: Layer, sources: Sequence[Rows], output: Rows) -> Layer:
    _only(layer, sources)
    return layer


def _windowed(layer: Layer, window: Sequence[int], source: Rows, output: Rows) -> Layer:
    op = layer.op
    shapes = [(1, rows.height, rows.width, rows.channels) for rows in (source, output)]
    pad = leading_padding(shapes[0], shapes[1], window, op)
    dilation = op.options.get("dilation", (1, 1))
    if max(*op.options["stride"], *dilation, *pad) > LONGEST_STEP:
        raise _unsupported(op, "with steps beyond 8 bits")
    return dataclasses.replace(
        layer,
        window=(int(window[0]), int(window[1])),
        stride=op.options["stride"],
        dilation=dilation,
        pad=pad,
    )


MakeLayer = Callable[[Graph, Layer, Sequence[Rows], Rows], Layer]

LAYERS: dict[str, MakeLayer] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "PAD": _pad,
    "QUANTIZE": _pixelwise,
    "SOFTMAX": _pixelwise,
    **dict.fromkeys(TABLES, _pixelwise),
}
"""By operator: what completes its layer from the rows that it reads and makes, or refuses it."""
