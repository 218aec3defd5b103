"""The ranges of a network's tensors, found by computing it in float on typical inputs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
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


@dataclasses.dataclass(frozen=True)
class Calls:
    """A model's calls in topological order.

    Attributes:
        calls: Each layer with the identities of the tensors that it reads and writes.
        source: The identity of the model's input.
        result: The identity of the model's output.
    """

    calls: list
    source: int
    result: int


@dataclasses.dataclass(eq=False)
class Observed:
    """A range, and the tensor that sets it.

    Attributes:
        name: The name of the layer that writes the tensor.
        range: The `QuantizationRange`.
        tensor: The identity of the tensor.
        is_input: Whether it is the network's input, whose extremes are kept: pixels have bounds.
        lows: The smallest value of each input, or 0.
        highs: The largest, likewise.
        counts: How often a value fell into each bin of the range.
    """

    name: str
    range: Any
    tensor: int
    is_input: bool
    lows: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    highs: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(1))
    counts: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(BINS, np.int64))

    @property
    def leads(self) -> bool:
        """Whether the range is the tensor's own; what is concatenated follows another."""
        return self.range.leader() is self.range

    def extremes(self) -> tuple[float, float]:
        """Finds the smallest and the largest value of all inputs.

        Returns:
            `(low, high)`, which holds 0.
        """
        return float(self.lows.min()), float(self.highs.max())


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
    from keras_mobilenet.quantization.float_graph import flat_calls
    from keras_mobilenet.quantization.transform import set_quantizing

    network = Calls(*flat_calls(twin))
    observed = list(_observed(network))
    set_quantizing(twin, False)
    with _without_gradients():
        _see_extremes(network, observed, samples)
        if method in HISTOGRAM_METHODS:
            _count(network, {one.tensor: one for one in observed if one.leads}, samples)
    set_quantizing(twin, True)
    if method == "min_max":
        _see_sums_in_place(network, {one.tensor: one for one in observed})
    for one in observed:
        if one.leads:
            one.range.set_limits(*_limits(one, method))


def _observed(network: Calls) -> Iterator[Observed]:
    from keras_mobilenet.quantization.layers.curve import QuantizedCurve

    for call in network.calls:
        tensor_range = getattr(call.layer, "output_range", None)
        # TFLite fixes the ranges of sigmoid and tanh.
        if tensor_range is not None and not isinstance(call.layer, QuantizedCurve):
            is_input = call.sources == (network.source,)
            yield Observed(call.layer.name, tensor_range, call.result, is_input)


def _tensors(network: Calls, batch: Any) -> Iterator[tuple[int, Any]]:
    """Every tensor of a batch, let go when nobody reads it any more."""
    last = {one: place for place, call in enumerate(network.calls) for one in call.sources}
    values = {network.source: batch}
    for place, call in enumerate(network.calls):
        inputs = [values[one] for one in call.sources]
        made = call.layer(inputs if len(inputs) > 1 else inputs[0], training=False)
        yield call.result, made
        values[call.result] = made
        for one in set(call.sources):
            if last[one] == place:
                del values[one]


def _without_gradients() -> contextlib.AbstractContextManager:
    """torch keeps every tensor for gradients that nobody asks for."""
    import keras

    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


def _see_extremes(network: Calls, observed: list[Observed], samples: np.ndarray) -> None:
    from keras import ops

    wanted = {one.tensor: place for place, one in enumerate(observed)}

    def extremes(batch: Any) -> Any:
        """As (lowest and highest, tensors, inputs), tensors in the order of `observed`."""
        found: list[Any] = [None] * len(wanted)
        for tensor, values in _tensors(network, batch):
            if tensor in wanted:
                axes = tuple(range(1, len(values.shape)))
                low, high = ops.min(values, axis=axes), ops.max(values, axis=axes)
                found[wanted[tensor]] = ops.stack([low, high])
        return ops.stack(found, axis=1)

    compute = _compiled(extremes)
    batches = map(ops.convert_to_tensor, _equal_batches(samples))
    seen = [ops.convert_to_numpy(compute(batch)) for batch in batches]
    limits = np.concatenate(seen, axis=2)[:, :, : len(samples)]
    for one, (lows, highs) in zip(observed, limits.transpose(1, 0, 2), strict=True):
        if not np.isfinite(lows).all() or not np.isfinite(highs).all():
            raise ConversionError(
                f"Layer {one.name!r} computes NaN or infinity from the representative data: train "
                "the model, or look at its weights."
            )
        one.lows, one.highs = np.minimum(lows, 0.0), np.maximum(highs, 0.0)


def _equal_batches(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Batches of one size, so that one compilation serves all; the last repeats its last input."""
    size = -(-len(samples) // -(-len(samples) // BATCH))
    for start in range(0, len(samples), size):
        batch = samples[start : start + size]
        yield np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])


def _compiled(function: Callable) -> Callable:
    """JAX alone compiles each operation by itself, and takes many seconds for all of them."""
    import keras

    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def _see_sums_in_place(network: Calls, observed: dict[int, Observed]) -> None:
    """Widens the ranges of sums' inputs as TensorFlow's calibrator does.

    TensorFlow Lite adds in place: the sum takes the memory of its first input that nobody else
    reads, and the calibrator looks at a kernel's inputs once more after it has run.
    """
    readers = [one for call in network.calls for one in call.sources]
    clean = {tensor: (one.lows, one.highs) for tensor, one in observed.items()}
    for call in network.calls:
        if type(call.layer).__name__ != "QuantizedAdd" or call.result == network.result:
            continue
        shape = call.layer.output.shape
        free = (
            one
            for one, tensor in zip(call.sources, call.layer.input, strict=True)
            if readers.count(one) == 1 and tensor.shape == shape
        )
        place = observed.get(next(free, 0))
        if place is not None and not place.is_input:
            lows, highs = clean[call.result]
            place.lows, place.highs = np.minimum(place.lows, lows), np.maximum(place.highs, highs)


def _count(network: Calls, observed: dict[int, Observed], samples: np.ndarray) -> None:
    from keras import ops

    for start in range(0, len(samples), BATCH):
        batch = ops.convert_to_tensor(samples[start : start + BATCH])
        for tensor, values in _tensors(network, batch):
            if tensor in observed:
                one = observed[tensor]
                one.counts = one.counts + _histogram(ops.convert_to_numpy(values), *one.extremes())


def _histogram(values: np.ndarray, low: float, high: float) -> np.ndarray:
    if low == high:
        return np.zeros(BINS, np.int64)
    steps = (values.ravel() - low) * (BINS / (high - low))
    return np.bincount(np.clip(steps, 0, BINS - 1).astype(np.int32), minlength=BINS)


def _limits(one: Observed, method: str) -> tuple[float, float]:
    low, high = one.extremes()
    if method == "moving_average" and not one.is_input:
        low, high = averaged_extremes(one.lows, one.highs)
    if method in HISTOGRAM_METHODS and not one.is_input:
        low, high = chosen_range(one.counts, low, high, method)
    is_empty = high - low < NEARLY_EMPTY
    # As TensorFlow's converter widens it, at both ends.
    return (low - NEARLY_EMPTY, high + NEARLY_EMPTY) if is_empty else (low, high)
