"""Estimates the cycles of a layer from its shape, by figures fitted to traced layers.

A trace of a network takes seconds; this takes none. `benchmarks/layer_cycles.py` traced networks of
the family on every core, fitted `layer_cycles.toml` to their layers, and wrote into it how far the
estimates of other networks, left out of the fit, were from their traces.
"""

from __future__ import annotations

import functools
import pathlib
import tomllib
from collections.abc import Sequence
from typing import NamedTuple

from edge.catalog.boards import Board, built_core
from edge.engine.network import Layer, Network, Rows

TABLE = pathlib.Path(__file__).parent / "layer_cycles.toml"


class LayerShape(NamedTuple):
    """What the cycles of a layer depend on.

    Attributes:
        source: The height, width and channels of its input.
        output: The height, width and channels of its output.
        window: The height and width of its window.
        stride: The columns from window to window.
        words: The words of weights that it reads for each pixel.
    """

    source: tuple[int, int, int]
    output: tuple[int, int, int]
    window: tuple[int, int]
    stride: int
    words: int

    @staticmethod
    def of(network: Network, layer: Layer, words: int) -> LayerShape:
        """Reads the shape of a layer.

        Args:
            network: The network.
            layer: One of its layers.
            words: The number of words that its kernel's weights take.

        Returns:
            The shape.
        """
        source, output = network.rows[layer.inputs[0]], network.rows[layer.output]
        return LayerShape(
            source=(source.height, source.width, source.channels),
            output=(output.height, output.width, output.channels),
            window=layer.window,
            stride=layer.stride[1],
            words=words,
        )

    def features(self, kernel: str) -> list[int]:
        """Lists what the cycles grow with.

        Args:
            kernel: The name of the kernel.

        Returns:
            Numbers: of rows, pixels, outputs and products, by the kind of kernel.

        Example:
            >>> LayerShape((1, 1, 10), (1, 1, 10), (1, 1), 1, 256).features("softmax")
            [1, 10]
        """
        rows, width, channels = self.output
        pixels = rows * width
        taps = self.window[0] * self.window[1]
        if kernel.startswith("conv"):
            is_wide = taps > 1
            gathered = pixels * is_wide * taps * self.source[2]
            runs = pixels * is_wide * self.window[0]
            return [rows, pixels * channels, pixels * self.words, gathered, runs]
        if kernel.startswith("depthwise"):
            made = [rows, pixels, rows * channels, pixels * channels]
            return [*made, pixels * channels * taps, rows * channels * taps]
        if kernel == "mean":
            return [1, self.source[2], self.source[0] * self.source[1] * self.source[2]]
        return [rows, pixels * channels]


def family(kernel: str, stride: int) -> str:
    """Names the layers that one set of figures is for.

    Args:
        kernel: The name of the kernel.
        stride: The columns from window to window.

    Returns:
        The kernel's name; with the stride where the code depends on it.

    Example:
        >>> family("depthwise_dsp", 2)
        'depthwise_dsp-2'
    """
    return f"{kernel}-{stride}" if kernel in ("depthwise_dsp", "depthwise_3x3_mve") else kernel


def cycles_of(board: Board, kernel: str, shape: LayerShape) -> float | None:
    """Estimates the cycles of a layer.

    Args:
        board: The board.
        kernel: The name of the layer's kernel.
        shape: The layer's shape.

    Returns:
        The middle of the bounds, memory without waiting; None where no such layer was traced.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> shape = LayerShape((8, 8, 16), (8, 8, 32), (1, 1), 1, 384)
        >>> 50_000 < cycles_of(find_board("nucleo-f446re"), "conv_4_dsp", shape) < 200_000
        True
    """
    figures = _figures(built_core(board)).get(family(kernel, shape.stride))
    return None if figures is None else _sum(shape.features(kernel), figures)


def input_cycles(board: Board, rows: Rows) -> float | None:
    """Estimates the cycles to receive the rows of the input.

    Args:
        board: The board.
        rows: The input.

    Returns:
        The cycles; None where the board's core was not traced.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> input_cycles(find_board("nucleo-f446re"), Rows(0, 32, 32, 3)) > 1000
        True
    """
    figures = _figures(built_core(board)).get("input")
    return None if figures is None else _sum([rows.height, rows.bytes], figures)


def errors_of(board: Board) -> tuple[float, float] | None:
    """How far estimates were from the traces of networks that were left out of the fit.

    Args:
        board: The board.

    Returns:
        The median and the largest relative error of a whole network; None where the core was not
        traced.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> median, largest = errors_of(find_board("nucleo-f446re"))
        >>> 0 < median < 0.05 < largest < 0.25
        True
    """
    found = _figures(built_core(board)).get("errors")
    return None if found is None else (found[0], found[1])


@functools.cache
def _figures(core: str) -> dict[str, list[float]]:
    return tomllib.loads(TABLE.read_text("utf-8")).get(core, {})


def _sum(features: Sequence[int], figures: Sequence[float]) -> float:
    return sum(count * each for count, each in zip(features, figures, strict=True))
