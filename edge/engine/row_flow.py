"""Which rows of a network are there, which are still needed, and what can be made next."""

from __future__ import annotations

from edge.engine.layers import Layer, Network


class Flow:
    """Which rows are there, which are still needed, and what can be made next.

    Args:
        network: The layers.
        span: Index of the first layer, and of the one after the last.
    """

    def __init__(self, network: Network, span: tuple[int, int]):
        self.network = network
        self.layers = network.layers[span[0] : span[1]]
        self.source = network.input if span[0] == 0 else network.layers[span[0] - 1].output
        self.result = network.layers[span[1] - 1].output
        self.is_streamed = span[0] == 0
        self.height = {t: network.rows[t].height for layer in self.layers for t in layer.inputs}
        self.height[self.result] = network.rows[self.result].height
        self.made = dict.fromkeys(self.height, 0)
        self.next_row = {layer.index: 0 for layer in self.layers}
        self.readers = {
            t: [layer for layer in self.layers if t in layer.inputs] for t in self.height
        }
        if not self.is_streamed:
            self.made[self.source] = self.height[self.source]

    def oldest_needed(self, tensor: int) -> int:
        """The first row of a tensor that some layer has still to read.

        Args:
            tensor: Index of a tensor of the segment.

        Returns:
            Its number: the tensor's height if all have read it, 0 of the result, which stays whole.
        """
        if tensor == self.result:
            return 0
        height = self.height[tensor]
        needed = height
        for layer in self.readers[tensor]:
            row = self.next_row[layer.index]
            if row < self.network.rows[layer.output].height:
                needed = min(needed, layer.first_row(row, height))
        return needed

    def live(self, tensor: int) -> int:
        """How many rows of a tensor some layer has still to read.

        Args:
            tensor: Index of a tensor of the segment.

        Returns:
            Rows made and still needed.
        """
        return max(0, self.made[tensor] - self.oldest_needed(tensor))

    def can_make(self, layer: Layer) -> bool:
        """Whether all is there that a layer's next row needs.

        Args:
            layer: A layer of the segment.

        Returns:
            False as well where the layer is done.
        """
        row = self.next_row[layer.index]
        return row < self.network.rows[layer.output].height and all(
            self.made[t] > layer.last_row(row, self.height[t]) for t in layer.inputs
        )

    def make(self, layer: Layer) -> None:
        """Counts a layer's next row as made.

        Args:
            layer: A layer of the segment whose `can_make` is true.
        """
        self.next_row[layer.index] += 1
        self.made[layer.output] += 1

    def latest_ready(self) -> Layer | None:
        """The deepest layer that can run: rows are used up before new ones are made.

        Returns:
            The layer; None if all wait for the input. Nothing runs before the caller's first row,
            not even a layer whose first rows are padding: that row starts the program.
        """
        if self.is_streamed and self.made[self.source] == 0:
            return None
        return next((layer for layer in reversed(self.layers) if self.can_make(layer)), None)

    @property
    def is_done(self) -> bool:
        """Whether the result is whole."""
        return self.made[self.result] == self.height[self.result]
