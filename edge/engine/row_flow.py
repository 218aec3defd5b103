"""Which rows of a network are there, which are still needed, and what can be made next."""

from __future__ import annotations

from edge.engine.network import Layer, Network


class RowFlow:
    """The rows of a network's tensors, from a layer on, while they are made and used up.

    Args:
        network: The network.
        first_layer: The index of a layer at which one tensor carries all that is needed.

    Attributes:
        made: The number of rows of each tensor that are there.
        oldest: The first row of each tensor that some layer has still to read: the tensor's height
            if all have read it, 0 of the last one, which stays whole.
    """

    def __init__(self, network: Network, first_layer: int = 0):
        self.layers = network.layers[first_layer:]
        self.is_streamed = first_layer == 0
        before = network.layers[first_layer - 1].output
        self.source = network.input if self.is_streamed else before
        tensors = {t: None for layer in self.layers for t in (*layer.inputs, layer.output)}
        self.height = {t: network.rows[t].height for t in tensors}
        self.made = dict.fromkeys(tensors, 0)
        self.oldest = dict.fromkeys(tensors, 0)
        self.readers = {t: [layer for layer in self.layers if t in layer.inputs] for t in tensors}
        self._first_layer = first_layer
        self._last_read = {
            layer.index: [(t, network.reads[layer.index, t].last) for t in layer.inputs]
            for layer in self.layers
        }
        self._first_read = {
            t: [(reader.output, network.reads[reader.index, t].first) for reader in readers]
            for t, readers in self.readers.items()
        }
        # No layer behind this one can run.
        self._deepest = -1
        if not self.is_streamed:
            self.made[self.source] = self.height[self.source]
            self._deepest = len(self.layers) - 1

    def can_make(self, layer: Layer) -> bool:
        """Whether all is there that a layer's next row needs.

        Args:
            layer: A layer of the network.

        Returns:
            False as well where the layer is done.
        """
        row = self.made[layer.output]
        return all(self.made[tensor] > last[row] for tensor, last in self._last_read[layer.index])

    def latest_ready(self) -> Layer | None:
        """The deepest layer that can run: rows are used up before new ones are made.

        Returns:
            The layer; None if all wait for the input. Nothing runs before the caller's first row,
            not even a layer whose first rows are padding: that row starts the program.
        """
        while self._deepest >= 0:
            layer = self.layers[self._deepest]
            if self.can_make(layer):
                return layer
            self._deepest -= 1
        return None

    def make_row(self, layer: Layer) -> None:
        """Makes a layer's next row.

        Args:
            layer: A layer of the network whose `can_make` is true.
        """
        self.made[layer.output] += 1
        for tensor in layer.inputs:
            self.oldest[tensor] = min(
                first[self.made[output]] for output, first in self._first_read[tensor]
            )
        # Only the layer itself, or who reads the new row, can run now and could not before.
        deepest = max([layer, *self.readers[layer.output]], key=lambda other: other.index)
        self._deepest = deepest.index - self._first_layer

    def await_row(self) -> None:
        """Takes the caller's next row of the input."""
        self.made[self.source] += 1
        self._deepest = len(self.layers) - 1
