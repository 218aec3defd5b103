"""A graph as layers that make rows: what the streamed schedule and the engine work on."""

from __future__ import annotations

import dataclasses
import functools

from edge.errors import ModelError
from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.operators import leading_padding
from edge.tflite.requantization import zero_point_of

WINDOWED = ("CONV_2D", "DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "MAX_POOL_2D")
LONGEST_SIDE, LONGEST_STEP = 2**16 - 1, 2**8 - 1
"""What the engine's tables hold of a tensor, and of a stride, a dilation or a padding."""

ROW_BY_ROW = ("ADD", "QUANTIZE", "SOFTMAX", "PAD", "MEAN", "FULLY_CONNECTED", *WINDOWED)


class UnsupportedOperatorError(ModelError):
    """A model with an operator that the engine has no kernel for."""


@dataclasses.dataclass(frozen=True)
class Rows:
    """A tensor as rows of bytes.

    Attributes:
        tensor: Index of the tensor.
        height: Number of rows.
        width: Pixels in a row.
        channels: Bytes in a pixel.
    """

    tensor: int
    height: int
    width: int
    channels: int

    @property
    def row_bytes(self) -> int:
        """Size of a row, in bytes."""
        return self.width * self.channels

    @property
    def bytes(self) -> int:
        """Size of all rows, in bytes."""
        return self.height * self.row_bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One operator that makes its output row by row.

    Attributes:
        index: Position among the layers.
        op: The operator.
        inputs: Indices of the tensors that are read, constants left out.
        output: Index of the tensor that is made.
        window: Height and width of what slides over the input, in taps.
        stride: Rows and columns.
        dilation: Rows and columns.
        pad: Rows above and columns to the left that are not there.
        needs_all: Whether the first output needs the whole input, in one piece.
    """

    index: int
    op: Operator
    inputs: tuple[int, ...]
    output: int
    window: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad: tuple[int, int] = (0, 0)
    needs_all: bool = False

    def first_row(self, row: int, height: int) -> int:
        """The first input row that an output row, or a later one, reads.

        Args:
            row: The output row.
            height: Rows of the input.

        Returns:
            The input row, `height` if none.
        """
        if self.needs_all:
            return 0
        return min(height, max(0, row * self.stride[0] - self.pad[0]))

    def last_row(self, row: int, height: int) -> int:
        """The last input row that an output row reads.

        Args:
            row: The output row.
            height: Rows of the input.

        Returns:
            The input row, -1 if it reads only padding.
        """
        if self.needs_all:
            return height - 1
        reach = (self.window[0] - 1) * self.dilation[0]
        return min(height - 1, row * self.stride[0] - self.pad[0] + reach)


@dataclasses.dataclass(frozen=True)
class RowsRead:
    """Which rows of an input each row of a layer's output reads.

    Attributes:
        first: The first input row that an output row, or a later one, reads; by output row. One
            more entry, for a layer that is done, is the height of the input.
        last: The last input row that an output row reads, in the same way.
    """

    first: tuple[int, ...]
    last: tuple[int, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Network:
    """The layers of a graph, reshapes gone.

    Attributes:
        graph: The model.
        layers: In order of execution.
        rows: By tensor index: how each tensor that a layer reads or makes is cut into rows.
        input: Tensor index of the input.
        output: Tensor index of the output.
    """

    graph: Graph
    layers: tuple[Layer, ...]
    rows: dict[int, Rows]
    input: int
    output: int

    @functools.cached_property
    def reads(self) -> dict[tuple[int, int], RowsRead]:
        """By index of a layer and of a tensor that it reads: which of its rows."""
        return {
            (layer.index, tensor): _rows_read(layer, self.rows[tensor], self.rows[layer.output])
            for layer in self.layers
            for tensor in layer.inputs
        }

    @functools.cached_property
    def in_one_piece(self) -> frozenset[int]:
        """The tensors of several rows that a layer needs all at once, one behind the other."""
        return frozenset(
            tensor
            for layer in self.layers
            for tensor in layer.inputs
            if layer.needs_all and self.rows[tensor].height > 1
        )

    def readers(self, tensor: int) -> list[Layer]:
        """The layers that read a tensor.

        Args:
            tensor: Its index.

        Returns:
            In order of execution.
        """
        return [layer for layer in self.layers if tensor in layer.inputs]


def network_of(graph: Graph) -> Network:
    """Reads a graph as layers that make rows.

    Args:
        graph: An int8 model with one input and one output.

    Returns:
        The `Network`.

    Raises:
        UnsupportedOperatorError: If the engine has no kernel for an operator; TFLite Micro may.

    Example:
        >>> len(network_of(graph).layers)
        7
    """
    same: dict[int, int] = {}
    rows: dict[int, Rows] = {}
    layers: list[Layer] = []
    graph_input = graph.inputs[0]
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        if op.opcode == "RESHAPE":
            source = same.get(op.inputs[0], op.inputs[0])
            _reshape(graph, op, source, rows, graph_input)
            same[output.index] = source
            continue
        inputs = tuple(
            same.get(index, index) for index in op.inputs if not graph.tensors[index].is_constant
        )
        for index in inputs:
            rows.setdefault(index, _rows(graph.tensors[index]))
        rows[output.index] = _rows(output)
        layers.append(_layer(graph, op, len(layers), inputs, rows))
    if not layers:
        raise UnsupportedOperatorError(
            "The model computes nothing: it has no operator but RESHAPE."
        )
    last = same.get(graph.outputs[0], graph.outputs[0])
    return Network(graph, tuple(layers), rows, graph_input, last)


def _rows_read(layer: Layer, source: Rows, output: Rows) -> RowsRead:
    return RowsRead(
        (*(layer.first_row(row, source.height) for row in range(output.height)), source.height),
        (*(layer.last_row(row, source.height) for row in range(output.height)), source.height),
    )


def _rows(tensor: Tensor) -> Rows:
    shape = tensor.shape
    if max(shape, default=0) > LONGEST_SIDE:
        raise UnsupportedOperatorError(
            f"Tensor {tensor.name!r} of shape {shape} has a side beyond the engine's 16 bits. "
            "Export the model for TFLite Micro instead."
        )
    if len(shape) == 4 and shape[0] == 1:
        return Rows(tensor.index, *shape[1:])
    if shape and tensor.element_count == shape[-1]:
        return Rows(tensor.index, 1, 1, shape[-1])
    raise UnsupportedOperatorError(
        f"Tensor {tensor.name!r} of shape {shape} is neither an image nor a vector: the engine "
        "cannot stream it. Export the model for TFLite Micro instead."
    )


def _reshape(
    graph: Graph, op: Operator, source: int, rows: dict[int, Rows], graph_input: int
) -> None:
    """The bytes stay where they are; only an input may be cut into other rows."""
    target = _rows(graph.tensors[op.outputs[0]])
    if source not in rows and source == graph_input:
        rows[source] = dataclasses.replace(target, tensor=source)
    elif target.height > 1 and target.height != rows[source].height:
        raise _unsupported(op, f"from {rows[source].height} rows to {target.height}")


def _unsupported(op: Operator, why: str) -> UnsupportedOperatorError:
    return UnsupportedOperatorError(
        f"The engine has no kernel for {op.opcode} (operator {op.index}) {why}. Export the model "
        "for TFLite Micro instead: keras-mobilenet export."
    )


def _layer(
    graph: Graph, op: Operator, index: int, inputs: tuple[int, ...], rows: dict[int, Rows]
) -> Layer:
    if op.opcode not in ROW_BY_ROW:
        raise _unsupported(op, "at all")
    for tensor in (*inputs, op.outputs[0]):
        if graph.tensors[tensor].dtype != "int8":
            raise _unsupported(op, f"on {graph.tensors[tensor].dtype}")
    if len(inputs) != (2 if op.opcode == "ADD" else 1):
        raise _unsupported(op, f"of {len(inputs)} computed inputs")
    source, output = rows[inputs[0]], rows[op.outputs[0]]
    layer = Layer(index, op, inputs, output.tensor)
    if op.opcode in WINDOWED:
        return _windowed(graph, op, layer, source, output)
    if op.opcode == "FULLY_CONNECTED":
        if graph.tensors[op.inputs[1]].shape[1] != source.bytes:
            raise _unsupported(op, "of several rows at once")
        return dataclasses.replace(layer, needs_all=True)
    if op.opcode == "MEAN":
        axes = {int(axis) % 4 for axis in graph.tensors[op.inputs[1]].values().reshape(-1)}
        if len(graph.tensors[op.inputs[0]].shape) != 4 or axes != {1, 2}:
            raise _unsupported(op, f"over axes {sorted(axes)}")
        return dataclasses.replace(
            layer, window=(source.height, source.width), needs_all=source.height > 1
        )
    if op.opcode == "PAD":
        pads = graph.tensors[op.inputs[1]].values().reshape(-1, 2)
        if len(pads) != 4 or pads[[0, 3]].any():
            raise _unsupported(op, "of other than rows and columns")
        points = {zero_point_of(graph.tensors[index]) for index in (op.inputs[0], op.outputs[0])}
        if len(points) > 1:
            raise _unsupported(op, "that changes the zero point")
        return dataclasses.replace(layer, pad=(int(pads[1, 0]), int(pads[2, 0])))
    if op.opcode == "SOFTMAX" and source.height * source.width != 1:
        raise _unsupported(op, "per pixel")
    if op.opcode == "ADD" and any(
        dataclasses.replace(rows[tensor], tensor=-1) != dataclasses.replace(output, tensor=-1)
        for tensor in inputs
    ):
        raise _unsupported(op, "with broadcasting")
    return layer


def _windowed(graph: Graph, op: Operator, layer: Layer, source: Rows, output: Rows) -> Layer:
    if op.opcode.endswith("POOL_2D"):
        window = op.options["filter"]
        if graph.tensors[op.inputs[0]].quantization != graph.tensors[op.outputs[0]].quantization:
            raise _unsupported(op, "that changes the scale")
    else:
        window = graph.tensors[op.inputs[1]].shape[1:3]
        kernel = graph.tensors[op.inputs[1]]
        if kernel.dtype != "int8" or not kernel.is_constant:
            raise _unsupported(op, f"with {kernel.dtype} weights")
        if op.opcode == "CONV_2D" and kernel.shape[3] != source.channels:
            raise _unsupported(op, "in groups")
    shapes = [(1, rows.height, rows.width, rows.channels) for rows in (source, output)]
    pad = leading_padding(shapes[0], shapes[1], window, op)
    if max(*op.options["stride"], *op.options.get("dilation", ()), *pad) > LONGEST_STEP:
        raise _unsupported(op, "with steps beyond 8 bits")
    return dataclasses.replace(
        layer,
        window=(int(window[0]), int(window[1])),
        stride=op.options["stride"],
        dilation=op.options.get("dilation", (1, 1)),
        pad=pad,
    )
