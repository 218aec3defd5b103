"""Cross-layer equalization: evens out the weight ranges of a kernel's channels before int8."""

from __future__ import annotations

import dataclasses
import itertools

import keras
import numpy as np
from keras import layers

from keras_mobilenet.quantization.float_graph import read_float_graph
from keras_mobilenet.quantization.scheme import Role, activation_of, role_of

ROUNDS = 20
"""Equalizing one pair unsettles its neighbours: chains of layers even out step by step."""

LARGEST_FACTOR = 2.0**10
"""One round scales a channel by at most this factor, or its inverse."""


@dataclasses.dataclass(frozen=True)
class _Unit:
    """A convolution with its batch normalization, and whether its output may be scaled."""

    convolution: keras.layers.Layer
    batch_norm: keras.layers.Layer | None
    can_scale: bool

    @property
    def is_depthwise(self) -> bool:
        return isinstance(self.convolution, layers.DepthwiseConv2D)

    def _fold_factor(self) -> np.ndarray | float:
        """What folding multiplies each output channel's weights with, its sign left out."""
        norm = self.batch_norm
        if norm is None:
            return 1.0
        deviation = np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
        return np.abs(np.asarray(norm.gamma)) / deviation

    def output_ranges(self) -> np.ndarray:
        """The largest folded weight of each output channel."""
        kernel = np.abs(np.asarray(self.convolution.kernel))
        axes = (0, 1, 3) if self.is_depthwise else (0, 1, 2)
        return kernel.max(axis=axes) * self._fold_factor()

    def input_ranges(self) -> np.ndarray:
        """The largest folded weight that reads each input channel."""
        if self.is_depthwise:
            return self.output_ranges()
        kernel = np.abs(np.asarray(self.convolution.kernel))
        return (kernel * self._fold_factor()).max(axis=(0, 1, 3))

    def scale_output(self, factors: np.ndarray) -> None:
        if self.batch_norm is not None:
            _multiply(self.batch_norm.gamma, factors)
            _multiply(self.batch_norm.beta, factors)
            return
        shape = (-1, 1) if self.is_depthwise else (-1,)
        _multiply(self.convolution.kernel, factors.reshape(shape))
        if self.convolution.use_bias:
            _multiply(self.convolution.bias, factors)

    def scale_input(self, factors: np.ndarray) -> None:
        _multiply(self.convolution.kernel, factors.reshape(-1, 1))


def equalize_weights(model: keras.Model) -> int:
    """Moves scale between neighbouring layers until their channels' weight ranges agree.

    `relu(s * x) = s * relu(x)`: what one layer's output channel gains, the next layer's kernel
    gives back. The network computes the same; kernels that share one int8 scale, as under
    per-tensor quantization, lose far less to rounding. ReLU6 has a fixed corner: pairs around it
    are left alone, as are outputs that several layers read. The model's own weights are changed.

    Args:
        model: A built float model, functional or Sequential.

    Returns:
        The number of neighbouring pairs that were evened out.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model's graph is hidden.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)),
        ...     layers.Conv2D(2, 1, use_bias=False), layers.ReLU(), layers.Conv2D(1, 1)])
        >>> first, _, last = model.layers
        >>> _ = first.kernel.assign([[[[1.0, 100.0]]]])
        >>> _ = last.kernel.assign([[[[1.0], [0.01]]]])
        >>> equalize_weights(model)
        1
        >>> np.round(np.array(first.kernel).ravel(), 3).tolist()
        [1.0, 1.0]

    Source: arXiv 1906.04721, section 4.1.
    """
    pairs = _pairs(model)
    for _ in range(ROUNDS):
        for before, after in pairs:
            written, read = before.output_ranges(), after.input_ranges()
            is_alive = (written > 0) & (read > 0)
            factors = np.sqrt(np.where(is_alive, read, 1.0) / np.where(is_alive, written, 1.0))
            factors = np.clip(factors, 1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
            before.scale_output(factors)
            after.scale_input(1.0 / factors)
    return len(pairs)


def _multiply(variable, factors) -> None:
    variable.assign(np.asarray(variable) * factors)


def _pairs(model: keras.Model) -> list[tuple[_Unit, _Unit]]:
    graph = read_float_graph(model)
    readers: dict[int, int] = {graph.result: 1}
    for group in graph.groups:
        for source in group.calls[0].sources:
            readers[source] = readers.get(source, 0) + 1
    made: dict[int, _Unit] = {}
    pairs = []
    for group in graph.groups:
        units = _units(group.layers)
        (source, *_), result = group.calls[0].sources, group.calls[-1].result
        if not units:
            # Padding and dropout pass every channel on as it is.
            passes = type(group.layers[0]) in (layers.ZeroPadding2D, layers.Dropout)
            if passes and source in made and readers[source] == 1:
                made[result] = made[source]
            continue
        if source in made and readers[source] == 1:
            pairs.append((made[source], units[0]))
        pairs += itertools.pairwise(units)
        made[result] = units[-1]
    return [(before, after) for before, after in pairs if before.can_scale]


def _units(members: tuple) -> list[_Unit]:
    first, *rest = members
    role = role_of(first)
    if role is Role.BLOCK:
        return [_unit(*stage) for stage in first.fusable_stages()]
    if role is Role.CONVOLUTION:
        return [_unit(first, *rest)]
    return []


def _unit(convolution, *rest) -> _Unit:
    norm = next((layer for layer in rest if isinstance(layer, layers.BatchNormalization)), None)
    activations = {activation_of(layer) for layer in (convolution, *rest) if layer is not norm}
    can_scale = (
        activations <= {"linear", "relu"}
        and (norm is None or (norm.scale and norm.center))
        and getattr(convolution, "depth_multiplier", 1) == 1
        and getattr(convolution, "groups", 1) == 1
    )
    return _Unit(convolution, norm, can_scale)
