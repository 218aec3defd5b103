"""The int8 scheme: what each kind of Keras layer means to quantization.

| tensor                  | int8 grid                                             |
|-------------------------|-------------------------------------------------------|
| convolution kernel      | symmetric, one scale per output channel, [-127, 127]  |
| Dense kernel            | symmetric, one scale, [-127, 127]                     |
| bias                    | int32, scale = input scale * kernel scale             |
| activation, model input | asymmetric, one scale and zero point, [-128, 127]     |
| softmax output          | scale 1/256, zero point -128                          |

Source: the TFLite 8-bit quantization specification.
"""

from __future__ import annotations

import enum

import keras
from keras import layers

from keras_mobilenet.layers import ConvBNReLU, SeparableBlock


class Role(enum.Enum):
    """What a layer does to the int8 grid of the tensor that flows through it."""

    CONVOLUTION = "a kernel per channel; batch normalization and ReLU fuse into it"
    DENSE = "a kernel with one scale; ReLU fuses into it"
    BLOCK = "convolution stages, taken apart"
    BATCH_NORM = "folds into the convolution before it"
    ACTIVATION = "fuses into the layer before it, or gets a range of its own"
    MEAN = "averages: its output gets a range of its own"
    KEEPS = "moves or selects values: the grid stays"
    SOFTMAX = "its int8 grid is fixed by TFLite"


_ROLES: dict[type, Role] = {
    layers.Conv2D: Role.CONVOLUTION,
    layers.DepthwiseConv2D: Role.CONVOLUTION,
    layers.Dense: Role.DENSE,
    ConvBNReLU: Role.BLOCK,
    SeparableBlock: Role.BLOCK,
    layers.BatchNormalization: Role.BATCH_NORM,
    layers.ReLU: Role.ACTIVATION,
    layers.GlobalAveragePooling2D: Role.MEAN,
    layers.GlobalMaxPooling2D: Role.KEEPS,
    layers.MaxPooling2D: Role.KEEPS,
    layers.ZeroPadding2D: Role.KEEPS,
    layers.Dropout: Role.KEEPS,
    layers.Flatten: Role.KEEPS,
    layers.Reshape: Role.KEEPS,
    layers.Softmax: Role.SOFTMAX,
}

SUPPORTED = sorted({t.__name__ for t in _ROLES} | {"Activation"})


class UnsupportedLayerError(ValueError):
    """A layer that the int8 scheme has no rule for; the message names it and what to do."""


def unsupported(layer, why: str) -> UnsupportedLayerError:
    """The error for a layer that cannot be quantized.

    Args:
        layer: The Keras layer or operation.
        why: The reason, and what to do, as one sentence.

    Returns:
        The exception, to be raised.

    Example:
        >>> str(unsupported(layers.LSTM(2, name="lstm"), "No int8 rule."))
        "Cannot quantize layer 'lstm' (LSTM): No int8 rule."
    """
    return UnsupportedLayerError(
        f"Cannot quantize layer {layer.name!r} ({type(layer).__name__}): {why}"
    )


def role_of(layer) -> Role:
    """The role of a layer in the int8 scheme.

    Args:
        layer: A Keras layer.

    Returns:
        Its `Role`.

    Raises:
        UnsupportedLayerError: If the scheme has no rule for it.

    Example:
        >>> role_of(layers.Flatten()).name
        'KEEPS'
    """
    if isinstance(layer, layers.Activation):
        return Role.SOFTMAX if layer.activation is keras.activations.softmax else Role.ACTIVATION
    # Exact types: a subclass may compute something else.
    role = _ROLES.get(type(layer))
    if role is None:
        raise unsupported(layer, f"it has no int8 rule. Supported layers: {', '.join(SUPPORTED)}.")
    return role


def fused_activation(layer) -> str:
    """The activation of a layer as TFLite fuses it.

    Args:
        layer: A ReLU or Activation layer, or a layer with an `activation` attribute.

    Returns:
        `"linear"`, `"relu"`, `"relu6"` or `"softmax"`.

    Raises:
        UnsupportedLayerError: If int8 TFLite has no such fused activation.

    Example:
        >>> fused_activation(layers.ReLU(6.0))
        'relu6'
    """
    if isinstance(layer, layers.ReLU):
        is_plain = not layer.negative_slope and not layer.threshold
        if is_plain and layer.max_value is None:
            return "relu"
        if is_plain and layer.max_value == 6:
            return "relu6"
        raise unsupported(layer, "only ReLU() and ReLU(6) fuse into an int8 operator.")
    name = getattr(layer.activation, "__name__", str(layer.activation))
    if name not in ("linear", "relu", "relu6", "softmax"):
        raise unsupported(layer, f"activation {name!r} has no int8 rule; use relu or relu6.")
    return name
