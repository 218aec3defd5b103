"""The int8 scheme: what each kind of Keras layer means to quantization.

| tensor                  | int8 scale and zero point                             |
|-------------------------|-------------------------------------------------------|
| convolution kernel      | symmetric, one scale per output channel, [-127, 127]  |
| Dense kernel            | symmetric, one scale, [-127, 127]                     |
| bias                    | int32, scale = input scale * kernel scale             |
| activation, model input | asymmetric, one scale and zero point, [-128, 127]     |
| concatenated tensors    | one for all of them and their concatenation           |
| average pooling output  | those of its input                                    |
| softmax, sigmoid output | scale 1/256, zero point -128                          |
| tanh output             | scale 1/128, zero point 0                             |

Source: the TFLite 8-bit quantization specification.
"""

from __future__ import annotations

import enum

import keras
from keras import layers

from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.preprocessing.first_layers import AUGMENTATIONS
from keras_mobilenet.preprocessing.record import PreprocessingRecord
from keras_mobilenet.quantization.advice import advice_for


class Role(enum.Enum):
    """What a layer does to the int8 scale of the tensor that flows through it."""

    CONVOLUTION = "a kernel per channel; batch normalization and ReLU fuse into it"
    SEPARABLE = "a depthwise and a pointwise convolution, taken apart"
    DENSE = "a kernel with one scale; ReLU fuses into it"
    BLOCK = "convolution stages, taken apart"
    BATCH_NORM = "folds into the layer with a kernel before it, or is an AFFINE"
    AFFINE = "a factor and an offset per channel: a depthwise convolution of one pixel"
    ACTIVATION = "fuses into the layer before it, or gets a range of its own"
    ADD = "sums: its output gets a range of its own; ReLU fuses into it"
    CONCATENATE = "joins: its inputs take its scale"
    MEAN = "averages: its output gets a range of its own"
    AVERAGE_POOL = "averages: the scale stays"
    AUGMENTATION = "changes its input in training only"
    KEEPS = "moves or selects values: the scale stays"
    SOFTMAX = "its int8 scale is fixed by TFLite"


_ROLES: dict[type, Role] = {
    layers.Conv2D: Role.CONVOLUTION,
    layers.DepthwiseConv2D: Role.CONVOLUTION,
    layers.SeparableConv2D: Role.SEPARABLE,
    layers.Conv1D: Role.CONVOLUTION,
    layers.DepthwiseConv1D: Role.CONVOLUTION,
    layers.SeparableConv1D: Role.SEPARABLE,
    layers.Dense: Role.DENSE,
    ConvBNReLU: Role.BLOCK,
    SeparableBlock: Role.BLOCK,
    layers.BatchNormalization: Role.BATCH_NORM,
    layers.Rescaling: Role.AFFINE,
    layers.Normalization: Role.AFFINE,
    **dict.fromkeys(AUGMENTATIONS, Role.AUGMENTATION),
    layers.ReLU: Role.ACTIVATION,
    layers.LeakyReLU: Role.ACTIVATION,
    layers.Add: Role.ADD,
    layers.Concatenate: Role.CONCATENATE,
    layers.GlobalAveragePooling2D: Role.MEAN,
    layers.GlobalAveragePooling1D: Role.MEAN,
    layers.AveragePooling2D: Role.AVERAGE_POOL,
    layers.AveragePooling1D: Role.AVERAGE_POOL,
    layers.GlobalMaxPooling2D: Role.KEEPS,
    layers.MaxPooling2D: Role.KEEPS,
    layers.GlobalMaxPooling1D: Role.KEEPS,
    layers.MaxPooling1D: Role.KEEPS,
    layers.ZeroPadding2D: Role.KEEPS,
    layers.ZeroPadding1D: Role.KEEPS,
    layers.Dropout: Role.KEEPS,
    layers.SpatialDropout1D: Role.KEEPS,
    layers.SpatialDropout2D: Role.KEEPS,
    layers.AlphaDropout: Role.KEEPS,
    layers.ActivityRegularization: Role.KEEPS,
    layers.Identity: Role.KEEPS,
    PreprocessingRecord: Role.KEEPS,
    layers.Flatten: Role.KEEPS,
    layers.Reshape: Role.KEEPS,
    layers.Softmax: Role.SOFTMAX,
}

_OPERATIONS = {
    "Add": Role.ADD,
    "Relu": Role.ACTIVATION,
    "Relu6": Role.ACTIVATION,
    "Sigmoid": Role.ACTIVATION,
    "Tanh": Role.ACTIVATION,
}
"""The operations of keras.ops that `x + y` and `keras.ops.relu(x)` put into a functional graph."""

_ACTIVATION_NAMES = {
    "linear": "linear",
    "relu": "relu",
    "relu6": "relu6",
    "hard_silu": "hard_swish",
    "softmax": "softmax",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "leaky_relu": "leaky_relu",
}
"""Keras's function name -> TFLite's name."""

KERAS_LEAKY_SLOPE = 0.2
"""The slope of `keras.activations.leaky_relu`, which a layer cannot change."""

SUPPORTED = sorted({t.__name__ for t in _ROLES if t not in AUGMENTATIONS} | {"Activation"})


class UnsupportedLayerError(ValueError):
    """A layer that the int8 scheme has no rule for; the message names it and what to do."""


def unsupported(layer: keras.Operation, why: str) -> UnsupportedLayerError:
    """Makes the error for a layer that cannot be quantized.

    Args:
        layer: The Keras layer or operation.
        why: The reason, and what to do, in one sentence.

    Returns:
        The exception, to be raised.

    Example:
        >>> str(unsupported(layers.LSTM(2, name="lstm"), "No int8 rule."))
        "Cannot quantize layer 'lstm' (LSTM): No int8 rule."
    """
    return UnsupportedLayerError(
        f"Cannot quantize layer {layer.name!r} ({type(layer).__name__}): {why}"
    )


def role_of(layer: keras.Operation) -> Role:
    """Finds the role of a layer in the int8 scheme.

    Args:
        layer: The Keras layer or operation.

    Returns:
        The layer's `Role`.

    Raises:
        UnsupportedLayerError: If the scheme has no rule for it.

    Example:
        >>> role_of(layers.Flatten()).name
        'KEEPS'
    """
    if type(layer) is layers.Activation:
        kinds = {"linear": Role.KEEPS, "softmax": Role.SOFTMAX}
        return kinds.get(activation_of(layer), Role.ACTIVATION)
    # Exact types: a subclass may compute something else.
    role = _ROLES.get(type(layer))
    if role is None and type(layer).__module__.startswith("keras.src.ops."):
        role = _OPERATIONS.get(type(layer).__name__)
    if role is None:
        raise unsupported(
            layer, f"it has no int8 rule; {advice_for(type(layer).__name__, SUPPORTED)}."
        )
    return role


def activation_of(layer: keras.Operation) -> str:
    """Finds the activation of a layer, by TFLite's name.

    Args:
        layer: A ReLU, Softmax or Activation layer, or any layer or operation.

    Returns:
        `"linear"`, `"relu"`, `"relu6"`, `"leaky_relu"`, `"hard_swish"`, `"sigmoid"`, `"tanh"` or
        `"softmax"`.

    Raises:
        UnsupportedLayerError: If int8 TFLite has no such activation.

    Example:
        >>> activation_of(layers.ReLU(6.0))
        'relu6'
    """
    if isinstance(layer, layers.LeakyReLU):
        return "leaky_relu"
    if isinstance(layer, layers.ReLU):
        if not layer.threshold and layer.max_value is None:
            return "leaky_relu" if layer.negative_slope else "relu"
        if not layer.threshold and not layer.negative_slope and layer.max_value == 6:
            return "relu6"
        raise unsupported(layer, "only ReLU() and ReLU(6) fuse into an int8 operator: use one.")
    if isinstance(layer, layers.Softmax):
        return "softmax"
    if not isinstance(layer, layers.Layer):
        return type(layer).__name__.lower()
    activation = getattr(layer, "activation", None)
    if activation is None:
        return "linear"
    name = getattr(activation, "__name__", str(activation))
    if name not in _ACTIVATION_NAMES:
        raise unsupported(
            layer,
            f"activation {name!r} has no int8 rule; use relu, relu6, leaky_relu or hard_silu.",
        )
    return _ACTIVATION_NAMES[name]


def negative_slope_of(layer: keras.Operation) -> float:
    """The slope below zero of a layer whose activation is `"leaky_relu"`.

    Args:
        layer: A LeakyReLU or ReLU layer, or one with `activation="leaky_relu"`.

    Returns:
        The slope.

    Example:
        >>> negative_slope_of(layers.LeakyReLU(0.1)), negative_slope_of(layers.Dense(1))
        (0.1, 0.2)
    """
    slope = getattr(layer, "negative_slope", None)
    return KERAS_LEAKY_SLOPE if slope is None else float(slope)
