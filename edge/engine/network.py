"""A network as layers that make rows: what the schedule and the kernels work on."""

from __future__ import annotations

import dataclasses
import functools

from edge.tflite.graph import Graph, Operator


@dataclasses.dataclass(frozen=True)
class Rows:
    """A tensor as rows of bytes.

    Attributes:
        tensor: The index of the tensor.
        height: The number of rows.
        width: The number of pixels in a row.
        channels: The number of bytes in a pixel.
    """

    tensor: int
    height: int
    width: int
    channels: int

    @property
    def row_bytes(self) -> int:
        """The size of a row, in bytes."""
        return self.width * self.channels

    @property
    def bytes(self) -> int:
        """The size of all rows, in bytes."""
        return self.height * self.row_bytes


@dataclasses.dataclass(frozen=True, eq=False)
class Layer:
    """One operator that makes its output row by row.

    Attributes:
        index: The position among the layers.
        op: The operator.
        inputs: The indices of the tensors that are read, constants left out.
        output: The index of the tensor that is made.
        window: The height and width of what slides over the input, in taps.
        stride: The rows and columns from one place of the window to the next.
        dilation: The rows and columns from one tap to the next.
        pad: The rows above and columns to the left that are not there.
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
            height: The number of rows of the input.

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
            height: The number of rows of the input.

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
        layers: The layers in order of execution.
        rows: How each tensor that a layer reads or makes is cut into rows, by tensor index.
        input: The tensor index of the input.
        output: The tensor index of the output.
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
            tensor: The tensor's index.

        Returns:
            The layers in order of execution.
        """
        return [layer for layer in self.layers if tensor in layer.inputs]


def _rows_read(layer: Layer, source: Rows, output: Rows) -> RowsRead:
    return RowsRead(
        (*(layer.first_row(row, source.height) for row in range(output.height)), source.height),
        (*(layer.last_row(row, source.height) for row in range(output.height)), source.height),
    )
