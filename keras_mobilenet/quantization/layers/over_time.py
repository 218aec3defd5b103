"""Convolutions of one dimension as convolutions of images that are one pixel wide."""

from __future__ import annotations

import keras
from keras import KerasTensor, layers, ops

from keras_mobilenet.quantization.layers.base import PACKAGE


class OverTime:
    """What both share: weights of the layer that is wrapped, with an axis more.

    Args:
        convolution: The layer of one dimension, whose weights are shared, not copied.
        **kwargs: The arguments of every Keras layer, such as `name`.
    """

    def __init__(self, convolution: layers.Layer, **kwargs):
        super().__init__(**_window(convolution), **kwargs)
        self.convolution = convolution

    def build(self, input_shape: tuple) -> None:
        """Creates the weights of the wrapped layer."""
        if not self.convolution.built:
            batch, steps, _, channels = input_shape
            self.convolution.build((batch, steps, channels))
        self.built = True

    @property
    def kernel(self) -> KerasTensor:
        """The kernel, one tap wide."""
        return ops.expand_dims(ops.convert_to_tensor(self.convolution.kernel), 1)

    @property
    def bias(self) -> keras.Variable | None:
        """The bias of the wrapped layer."""
        return self.convolution.bias if self.use_bias else None

    def save_own_variables(self, store: dict) -> None:
        """Saves nothing: the wrapped layer saves its weights.

        Args:
            store: What would hold the variables.
        """

    def load_own_variables(self, store: dict) -> None:
        """Loads nothing.

        Args:
            store: What would hold the variables.
        """

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return {
            "name": self.name,
            "convolution": keras.saving.serialize_keras_object(self.convolution),
        }

    @classmethod
    def from_config(cls, config: dict) -> layers.Layer:
        """Makes the layer that `get_config` describes."""
        config = dict(config)
        config["convolution"] = keras.saving.deserialize_keras_object(config["convolution"])
        return cls(**config)


@keras.saving.register_keras_serializable(package=PACKAGE)
class ConvolutionOverTime(OverTime, layers.Conv2D):
    """A `Conv1D` that reads (batch, steps, 1, channels); its weights are shared, not copied.

    Args:
        convolution: The `Conv1D`; not causal, since padding is a layer of its own.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Example:
        >>> layer = ConvolutionOverTime(layers.Conv1D(4, 3))
        >>> layer.compute_output_shape((None, 16, 1, 2))
        (None, 14, 1, 4)
    """


@keras.saving.register_keras_serializable(package=PACKAGE)
class DepthwiseOverTime(OverTime, layers.DepthwiseConv2D):
    """A `DepthwiseConv1D` that reads (batch, steps, 1, channels); its weights are shared.

    Args:
        convolution: The `DepthwiseConv1D`.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Example:
        >>> layer = DepthwiseOverTime(layers.DepthwiseConv1D(3, strides=2))
        >>> layer.compute_output_shape((None, 17, 1, 2))
        (None, 8, 1, 2)
    """


def _window(convolution: layers.Layer) -> dict:
    is_depthwise = isinstance(convolution, layers.DepthwiseConv1D)
    own = (
        {"depth_multiplier": convolution.depth_multiplier}
        if is_depthwise
        else {"filters": convolution.filters, "groups": convolution.groups}
    )
    return own | {
        "kernel_size": (*convolution.kernel_size, 1),
        "strides": (*convolution.strides, 1),
        "dilation_rate": (*convolution.dilation_rate, 1),
        "padding": convolution.padding,
        "use_bias": convolution.use_bias,
        "activation": convolution.activation,
        "data_format": "channels_last",
    }


def over_time(layer: layers.Layer) -> list[layers.Layer]:
    """Turns a layer of one dimension into layers of images that are one pixel wide.

    Args:
        layer: The layer, on tensors of one dimension, built where it has weights, which are shared.

    Returns:
        The layers, to be called one after the other; the layer itself if it has no dimension.

    Example:
        >>> [type(one).__name__ for one in over_time(layers.MaxPooling1D(2))]
        ['MaxPooling2D']
        >>> causal = layers.Conv1D(2, 3, padding="causal")
        >>> causal.build((None, 8, 3))
        >>> [type(one).__name__ for one in over_time(causal)]
        ['ZeroPadding2D', 'ConvolutionOverTime']
    """
    name = layer.name
    if isinstance(layer, layers.DepthwiseConv1D):
        return [DepthwiseOverTime(layer, name=name)]
    if isinstance(layer, layers.Conv1D):
        if layer.padding != "causal":
            return [ConvolutionOverTime(layer, name=name)]
        before = (layer.kernel_size[0] - 1) * layer.dilation_rate[0]
        padding = layers.ZeroPadding2D(((before, 0), (0, 0)), name=f"{name}_padding")
        return [padding, ConvolutionOverTime(_valid(layer), name=name)]
    if isinstance(layer, (layers.MaxPooling1D, layers.AveragePooling1D)):
        kind = (
            layers.MaxPooling2D
            if isinstance(layer, layers.MaxPooling1D)
            else (layers.AveragePooling2D)
        )
        pool = ((*layer.pool_size, 1), (*layer.strides, 1), layer.padding)
        return [kind(*pool, data_format="channels_last", name=name)]
    if isinstance(layer, layers.GlobalMaxPooling1D):
        return [layers.GlobalMaxPooling2D("channels_last", layer.keepdims, name=name)]
    if isinstance(layer, layers.GlobalAveragePooling1D):
        return [layers.GlobalAveragePooling2D("channels_last", layer.keepdims, name=name)]
    if isinstance(layer, layers.ZeroPadding1D):
        return [layers.ZeroPadding2D((tuple(layer.padding), (0, 0)), "channels_last", name=name)]
    if isinstance(layer, layers.SpatialDropout1D):
        return [layers.SpatialDropout2D(layer.rate, "channels_last", seed=layer.seed, name=name)]
    if isinstance(layer, layers.Concatenate):
        return [layers.Concatenate(1 if layer.axis in (1, -2) else -1, name=name)]
    return [layer]


def _valid(convolution: layers.Conv1D) -> layers.Conv1D:
    """The same weights without the padding."""
    copied = layers.Conv1D.from_config(convolution.get_config() | {"padding": "valid"})
    copied._kernel, copied.bias = convolution.kernel, convolution.bias
    copied.built = True
    return copied
