"""How many bits the weights of each layer take: as the user says, or as many as a budget allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np

from keras_mobilenet.quantization.fake_quant import weight_limits
from keras_mobilenet.quantization.layers.kernel import KernelLayer
from keras_mobilenet.quantization.precision import ON_HOST
from keras_mobilenet.quantization.weight_steps import (
    STEP_LIMITS,
    UNDECIDED,
    best_factors,
    layers_of_bits,
)

AUTO = "auto"
BITS = (8, 4)
BIAS_BYTES = 4
CALIBRATION_IMAGES = 256
"""So many of the calibration data are looked at."""

WeightBits = int | str | Mapping[str, int]


def check_bits(weight_bits: WeightBits) -> None:
    """Refuses bits that no layer has.

    Args:
        weight_bits: 8, 4, `"auto"`, or the bits of some layers by name.

    Raises:
        ValueError: If it is something else.

    Example:
        >>> check_bits(5)
        Traceback (most recent call last):
        ValueError: weight_bits must be 8, 4, 'auto' or a dict of 8 and 4 by layer name, got 5.
    """
    each = list(weight_bits.values()) if isinstance(weight_bits, Mapping) else [weight_bits]
    if weight_bits != AUTO and any(bits not in BITS for bits in each):
        raise ValueError(
            "weight_bits must be 8, 4, 'auto' or a dict of 8 and 4 by layer name, got "
            f"{weight_bits!r}."
        )


def check_budget(weight_bits: WeightBits, flash_bytes: float | None) -> None:
    """Refuses a budget without a choice, and a choice without a budget.

    Args:
        weight_bits: 8, 4, `"auto"`, or the bits of some layers by name.
        flash_bytes: The budget of `"auto"`.

    Raises:
        ValueError: If one goes without the other, or the budget is none.

    Example:
        >>> check_budget("auto", 100_000)
    """
    if (weight_bits == AUTO) != (flash_bytes is not None):
        raise ValueError(
            "weight_bits='auto' needs flash_bytes, the bytes that weights and biases may take; "
            "no other weight_bits takes it."
        )
    if flash_bytes is not None and not flash_bytes > 0:
        raise ValueError(f"flash_bytes must be positive, got {flash_bytes!r}.")


def made_with_bits(make: Callable[[], keras.Model], weight_bits: WeightBits) -> keras.Model:
    """Makes a quantization-aware model whose layers have weights of so many bits.

    Args:
        make: Makes the model.
        weight_bits: 8, 4, `"auto"`, or the bits of some layers by name; the others have 8.

    Returns:
        The model. Layers of `"auto"` are undecided; steps of four bits have not started.

    Raises:
        ValueError: If a name is no layer's.

    Example:
        >>> from keras_mobilenet import quantize_model
        >>> inputs = keras.Input((8,))
        >>> model = keras.Model(inputs, keras.layers.Dense(3, name="d")(inputs))
        >>> kernel_layers(made_with_bits(lambda: quantize_model(model), 8))[0].weight_bits
        8
    """

    def bits_of(name: str) -> int:
        if isinstance(weight_bits, Mapping):
            return next((weight_bits[key] for key in _names(name) if key in weight_bits), 8)
        return UNDECIDED if weight_bits == AUTO else int(weight_bits)

    with layers_of_bits(bits_of):
        model = make()
    if isinstance(weight_bits, Mapping):
        names = [_names(layer.name) for layer in kernel_layers(model)]
        unknown = [key for key in weight_bits if not any(key in pair for pair in names)]
        if unknown:
            raise ValueError(
                f"weight_bits names {unknown[0]!r}, which is no layer with weights; those are "
                f"{', '.join(own for _, own in names)}."
            )
    return model


def _names(name: str) -> tuple[str, str]:
    """A quantized layer's own name, and that of the layer that it stands for."""
    return name, name.removeprefix("quantized_")


def kernel_layers(model: keras.Model) -> list[KernelLayer]:
    """Lists the quantization-aware layers with weights.

    Args:
        model: The Keras model.

    Returns:
        The layers in order.

    Example:
        >>> kernel_layers(keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)]))
        []
    """
    return [layer for layer in model.layers if isinstance(layer, KernelLayer)]


def flash_bytes_of(model: keras.Model) -> int:
    """The flash of a quantization-aware model's weights and biases, as the file has them.

    Args:
        model: The quantization-aware model.

    Returns:
        Bytes: a half or one for a weight, four for a bias.

    Example:
        >>> from keras_mobilenet import quantize_model
        >>> inputs = keras.Input((8,))
        >>> model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
        >>> [flash_bytes_of(quantize_model(model, weight_bits=bits)) for bits in (8, 4)]
        [36, 24]
    """
    return sum(_layer_bytes(layer, layer.weight_bits or 8) for layer in kernel_layers(model))


def _layer_bytes(layer: KernelLayer, bits: int) -> int:
    kernel, _ = _weights(layer)
    outputs = math.prod(kernel.shape[2:]) if layer.is_depthwise else kernel.shape[-1]
    return math.ceil(kernel.size * bits / 8) + BIAS_BYTES * int(outputs)


def _weights(layer: KernelLayer) -> tuple[np.ndarray, Any]:
    return layer.weights_of(ON_HOST.double, np)


def start_weight_bits(
    model: keras.Model,
    flash_bytes: float | None = None,
    calibration_data: Any = None,
    counter: Callable[[keras.Model], float] | None = None,
) -> None:
    """Chooses the bits that are not chosen yet, and starts the steps of weights of four bits.

    Args:
        model: The quantization-aware model, which does not round yet or has seen no data.
        flash_bytes: What weights and biases may take, where layers are undecided.
        calibration_data: Inputs, an array; None goes by the errors of the weights alone.
        counter: Counts the flash of the model as it is; `flash_bytes_of` if None.

    Raises:
        ValueError: If even four bits everywhere take more.

    Example:
        >>> from keras_mobilenet import quantize_model
        >>> inputs = keras.Input((8,))
        >>> model = keras.Model(inputs, keras.layers.Dense(3)(inputs))
        >>> twin = quantize_model(model, weight_bits="auto")
        >>> start_weight_bits(twin, flash_bytes=30)
        >>> kernel_layers(twin)[0].weight_bits
        4
    """
    layers = kernel_layers(model)
    undecided = [layer for layer in layers if layer.weight_bits == UNDECIDED]
    kept = [int(ON_HOST.double(layer.chosen_bits)) for layer in undecided]
    if undecided and all(kept):
        # Training goes on from a checkpoint of weights.
        for layer, bits in zip(undecided, kept, strict=True):
            layer.weight_bits = bits
    elif undecided and flash_bytes is not None:
        _choose(model, undecided, flash_bytes, calibration_data, counter or flash_bytes_of)
    for layer in layers:
        if layer.has_weight_steps:
            layer.choose_weight_bits(layer.weight_bits or 8)


def _choose(
    model: keras.Model,
    layers: list[KernelLayer],
    flash_bytes: float,
    calibration_data: Any,
    counter: Callable[[keras.Model], float],
) -> None:
    """Gives layers four bits, those first whose errors cost least for each byte that they save."""
    errors = (
        [_relative_error(layer) for layer in layers]
        if calibration_data is None
        else _errors_at_the_output(model, layers, calibration_data)
    )
    saved = [_layer_bytes(layer, 8) - _layer_bytes(layer, 4) for layer in layers]
    prices = [error / max(count, 1) for error, count in zip(errors, saved, strict=True)]
    for layer in layers:
        layer.weight_bits = 8
    for index in np.argsort(prices, kind="stable"):
        if counter(model) <= flash_bytes:
            return
        layers[index].weight_bits = 4
    taken = counter(model)
    if taken > flash_bytes:
        raise ValueError(
            f"flash_bytes={flash_bytes:,.0f} cannot be met: with four bits everywhere, the model "
            f"takes {taken:,.0f}. Raise it, or prune channels first."
        )


def _rounded_to_four(layer: KernelLayer, kernel: np.ndarray) -> np.ndarray:
    limit, axes = STEP_LIMITS[4], layer.scale_axes
    step = weight_limits(kernel, axes, np) * best_factors(kernel, axes, limit) / limit
    return np.asarray(np.clip(np.round(kernel / step), -limit, limit) * step)


def _relative_error(layer: KernelLayer) -> float:
    """The noise that four bits add to a layer's output, over its signal, if inputs are alike."""
    kernel, _ = _weights(layer)
    noise = np.square(_rounded_to_four(layer, kernel) - kernel).sum()
    return float(noise / max(np.square(kernel).sum(), 1e-30))


def _errors_at_the_output(
    model: keras.Model, layers: Iterable[KernelLayer], calibration_data: Any
) -> list[float]:
    """By layer: how far the model's output moves if this layer alone has weights of four bits."""
    inputs = keras.ops.convert_to_tensor(calibration_data[:CALIBRATION_IMAGES])
    before = keras.ops.convert_to_numpy(model(inputs, training=False))
    power = max(float(np.square(before - before.mean()).mean()), 1e-30)
    errors = []
    for layer in layers:
        variable = layer.kernel_variable()
        kernel = np.asarray(keras.ops.convert_to_numpy(variable))
        # A kernel of one dimension is a tap wide.
        wide = kernel.astype(np.float64)
        wide = wide[:, None] if wide.ndim == 3 else wide
        variable.assign(_rounded_to_four(layer, wide).astype(kernel.dtype).reshape(kernel.shape))
        after = keras.ops.convert_to_numpy(model(inputs, training=False))
        variable.assign(kernel)
        errors.append(float(np.square(after - before).mean()) / power)
    return errors
