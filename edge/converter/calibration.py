"""The ranges of a network's tensors, found by computing it in float on typical inputs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.converter.range_choice import HISTOGRAM_METHODS, averaged_extremes, chosen_range
from edge.errors import ConversionError

METHODS = ("min_max", "moving_average", *HISTOGRAM_METHODS)
"""How a range follows from what a tensor holds: see `edge.convert`."""

BATCH = 32
"""So many inputs are computed at once: more take memory, and no less time."""

BINS = 2048

NEARLY_EMPTY = 1e-6
"""A narrower range is widened: a layer whose outputs are all zero has none."""


@dataclasses.dataclass(eq=False)
class Observed:
    """A range, and the tensor that sets it.

    Attributes:
        name: The name of the layer that writes the tensor.
        range: The `QuantizationRange`.
        tensor: The identity of the tensor.
        is_input: Whether it is the network's input, whose extremes are kept: pixels have bounds.
        sums: The identity of the sum that TensorFlow's calibrator finds in the tensor's place.
        lows: The smallest value of each input so far, and 0.
        highs: The largest, likewise.
        counts: How often a value fell into each bin of the range.
    """

    name: str
    range: Any
    tensor: int
    is_input: bool
    sums: int | None = None
    lows: list[np.ndarray] = dataclasses.field(default_factory=list)
    highs: list[np.ndarray] = dataclasses.field(default_factory=list)
    counts: np.ndarray | None = None

    def extremes(self) -> tuple[float, float]:
        """Finds the smallest and the largest value of all inputs.

        Returns:
            `(low, high)`, which holds 0.
        """
        return float(np.concatenate(self.lows).min()), float(np.concatenate(self.highs).max())


def calibrate(twin: Any, samples: np.ndarray, method: str = "min_max") -> None:
    """Sets the ranges of a quantization-aware model that was not trained.

    The network is computed in float, batch by batch, with the functions of Keras's backend.

    Args:
        twin: What `keras_mobilenet.quantize_model` makes of a float model.
        samples: Typical inputs, a float32 array of shape (samples, *input shape).
        method: One of `METHODS`.

    Raises:
        ConversionError: If a tensor holds NaN or infinity.

    Example:
        >>> import keras, keras_mobilenet
        >>> inputs = keras.Input((2,))
        >>> twin = keras_mobilenet.quantize_model(keras.Model(inputs, keras.layers.ReLU()(inputs)))
        >>> calibrate(twin, np.array([[-1.0, 2.0], [0.5, 5.1]], "float32"))
        >>> [round(layer.output_range.scale_and_zero_point()[0], 4) for layer in twin.layers[1:]]
        [0.0239, 0.02]
    """
    from keras_mobilenet.quantization.decompose import float_nodes
    from keras_mobilenet.quantization.float_graph import flat_calls

    calls, source, result = flat_calls(twin)
    graph = float_nodes(twin)
    observed = {one.tensor: one for one in _observed(calls, source)}
    for tensor, values in _tensors(graph, samples):
        if tensor in observed:
            _see_extremes(observed[tensor], values)
    if method == "min_max":
        _see_sums_in_place(observed, calls, source, result)
    if method in HISTOGRAM_METHODS:
        for tensor, values in _tensors(graph, samples):
            if tensor in observed:
                _count(observed[tensor], values)
    for one in observed.values():
        one.range.set_limits(*_limits(one, method))


def _observed(calls: list, source: int) -> Iterator[Observed]:
    for call in calls:
        tensor_range = getattr(call.layer, "output_range", None)
        if tensor_range is None or tensor_range.leader() is not tensor_range:
            continue
        is_input = call.sources == (source,) and type(call.layer).__name__ == "QuantizedTensor"
        tensor = source if is_input else call.result
        yield Observed(call.layer.name, tensor_range, tensor, is_input)


def _tensors(graph: Any, samples: np.ndarray) -> Iterator[tuple[int, Any]]:
    """Every tensor of every batch, each let go when nobody reads it any more."""
    from keras import ops

    last = {one: place for place, node in enumerate(graph.nodes) for one in node.sources}
    with _without_gradients():
        for start in range(0, len(samples), BATCH):
            values = {graph.source: ops.convert_to_tensor(samples[start : start + BATCH])}
            yield graph.source, values[graph.source]
            for place, node in enumerate(graph.nodes):
                made = node.compute(*(values[one] for one in node.sources))
                yield node.result, made
                values[node.result] = made
                for one in set(node.sources):
                    if last[one] == place:
                        del values[one]


def _without_gradients() -> contextlib.AbstractContextManager:
    """torch keeps every tensor for gradients that nobody asks for."""
    import keras

    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _see_extremes(one: Observed, values: Any) -> None:
    from keras import ops

    axes = tuple(range(1, len(values.shape)))
    low, high = (ops.convert_to_numpy(find(values, axis=axes)) for find in (ops.min, ops.max))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ConversionError(
            f"Layer {one.name!r} computes NaN or infinity from the representative data: train the "
            "model, or look at its weights."
        )
    one.lows.append(np.minimum(low, 0.0))
    one.highs.append(np.maximum(high, 0.0))


def _see_sums_in_place(
    observed: dict[int, Observed], calls: list, source: int, result: int
) -> None:
    """Widens the ranges of sums' inputs as TensorFlow's calibrator does.

    TensorFlow Lite adds in place: the sum takes the memory of its first input that nobody else
    reads, and the calibrator looks at a kernel's inputs once more after it has run.
    """
    readers = [one for call in calls for one in call.sources]
    for call in calls:
        if type(call.layer).__name__ != "QuantizedAdd" or call.result == result:
            continue
        shape = call.layer.output.shape
        free = (
            one
            for one, tensor in zip(call.sources, call.layer.input, strict=True)
            if readers.count(one) == 1 and one != source and tensor.shape == shape
        )
        place = observed.get(next(free, 0))
        total = observed.get(call.result)
        if place is not None and total is not None:
            place.lows += total.lows
            place.highs += total.highs


def _count(one: Observed, values: Any) -> None:
    from keras import ops

    low, high = one.extremes()
    if one.counts is None:
        one.counts = np.zeros(BINS, np.int64)
    if high > low:
        steps = (ops.convert_to_numpy(values).ravel() - low) * (BINS / (high - low))
        places = np.minimum(steps.astype(np.int32), BINS - 1)
        one.counts += np.bincount(places, minlength=BINS)


def _limits(one: Observed, method: str) -> tuple[float, float]:
    low, high = one.extremes()
    if method == "moving_average" and not one.is_input:
        low, high = averaged_extremes(np.concatenate(one.lows), np.concatenate(one.highs))
    if one.counts is not None and not one.is_input:
        low, high = chosen_range(one.counts, low, high, method)
    is_empty = high - low < NEARLY_EMPTY
    # As TensorFlow's converter widens it, at both ends.
    return (low - NEARLY_EMPTY, high + NEARLY_EMPTY) if is_empty else (low, high)
