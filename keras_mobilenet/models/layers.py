"""The building blocks of MobileNetV1: a convolution stage and the depthwise separable block."""

from __future__ import annotations

import keras
from keras import layers

from keras_mobilenet.models.block import Block


def scaled_filters(filters: int, alpha: float) -> int:
    """Number of channels after the width multiplier, never below one.

    Args:
        filters: Channels of the unscaled network, a positive integer.
        alpha: Width multiplier, 0 < alpha <= 1.

    Returns:
        `int(filters * alpha)`, at least 1: the rounding of `keras.applications.MobileNet`.

    Raises:
        ValueError: If `filters` or `alpha` is out of range.

    Example:
        >>> scaled_filters(64, 0.25)
        16

    Source: arXiv 1704.04861, section 3.3.
    """
    if isinstance(filters, bool) or not isinstance(filters, int) or filters < 1:
        raise ValueError(f"filters must be a positive integer, got {filters!r}.")
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha <= 1:
        raise ValueError(f"alpha must be a number in (0, 1], got {alpha!r}.")
    return max(1, int(filters * alpha))


def _batch_norm(name: str, dtype: keras.DTypePolicy, axis: int = -1) -> layers.BatchNormalization:
    return layers.BatchNormalization(axis, name=name, dtype=dtype)


def _relu(activation: str, name: str, dtype: keras.DTypePolicy, is_linear: bool = False):
    if is_linear:
        return layers.Activation("linear", name=name, dtype=dtype)
    return layers.ReLU(6.0 if activation == "relu6" else None, name=name, dtype=dtype)


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class ConvBNReLU(Block):
    """Convolution, batch normalization and ReLU: the first stage of MobileNet.

    Args:
        filters: The number of output channels before the width multiplier.
        kernel_size: The side of the square kernel, in pixels.
        strides: The step in both directions, in pixels.
        alpha: The width multiplier, 0 < alpha <= 1.
        activation: `"relu"` or `"relu6"`.
        padding: `"same"`, or `"valid"` for that of `keras.applications.MobileNet`'s strided
            blocks: see `SeparableBlock`.
        is_linear: Whether no activation follows, as before an addition.
        **kwargs: Keras layer arguments (`name`, `dtype`, `trainable`).

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether batch statistics are used.

    Returns:
        Float tensor of shape
        (batch, ceil(height / strides), ceil(width / strides), filters * alpha).

    Raises:
        ValueError: If an argument is out of range, or Keras's image data format is
            channels_first.

    Example:
        >>> ConvBNReLU(32, strides=2, alpha=0.25).compute_output_shape((None, 96, 96, 3))
        (None, 48, 48, 8)

    Source: arXiv 1704.04861, table 1, first row.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        *,
        alpha: float = 1.0,
        activation: str = "relu",
        padding: str = "same",
        is_linear: bool = False,
        **kwargs,
    ):
        super().__init__(activation, padding, **kwargs)
        if keras.config.image_data_format() != "channels_last":
            raise ValueError(
                "ConvBNReLU is channels_last, as microcontroller kernels are; call "
                "keras.config.set_image_data_format('channels_last') first."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.alpha = alpha
        self.is_linear = is_linear
        self.conv = layers.Conv2D(
            scaled_filters(filters, alpha),
            kernel_size,
            strides,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            name="conv",
            dtype=self.dtype_policy,
        )
        self.conv_bn = _batch_norm("conv_bn", self.dtype_policy)
        self.conv_relu = _relu(self.activation, "conv_relu", self.dtype_policy, is_linear)

    def fusable_stages(self) -> list[tuple[layers.Layer, ...]]:
        """The layers in call order, grouped as inference fuses them.

        Returns:
            One (convolution, batch normalization, activation) triple.
        """
        return [(self.conv, self.conv_bn, self.conv_relu)]

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "alpha": self.alpha,
            "is_linear": self.is_linear,
        }


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class SeparableBlock(Block):
    """Depthwise 3x3, BN, ReLU, pointwise 1x1, BN, ReLU: the block MobileNet is made of.

    With strides, `padding="valid"` is what `keras.applications.MobileNet` does: a row and a column
    of zeros behind the image, then a "valid" convolution. On sides that are multiples of the
    strides this equals "same"; on odd sides the output is a pixel smaller. A block built for one
    even and one odd side costs the microcontroller a PAD operator; all others run without.

    Args:
        filters: The number of output channels before the width multiplier.
        kernel_size: The side of the depthwise kernel, in pixels.
        strides: The step of the depthwise convolution in both directions, in pixels.
        alpha: The width multiplier, 0 < alpha <= 1.
        activation: `"relu"` or `"relu6"`, after both convolutions.
        padding: `"same"` for ceil(side / strides) pixels, or `"valid"` for floor(side / strides).
        data_format: `"channels_last"`, `"channels_first"` on backends that have it (no int8 kernel
            has), or None for Keras's setting.
        dilation_rate: The distance of the depthwise kernel's taps, in pixels; 1 with strides.
        depth_multiplier: The number of depthwise kernels for each input channel.
        is_linear: Whether no activation follows the pointwise convolution, as before an addition.
        **kwargs: Keras layer arguments (`name`, `dtype`, `trainable`).

    Call arguments:
        inputs: Float tensor of shape (batch, height, width, channels).
        training: Whether batch statistics are used.

    Returns:
        Float tensor of shape
        (batch, ceil(height / strides), ceil(width / strides), filters * alpha).

    Raises:
        ValueError: If an argument is out of range, or an image is too small for the strides.

    Example:
        >>> block = SeparableBlock(128, strides=2, alpha=0.5)
        >>> tuple(block(keras.ops.ones((1, 14, 14, 32))).shape)
        (1, 7, 7, 64)

    Source: arXiv 1704.04861, section 3.1 and figure 3.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        strides: int = 1,
        *,
        alpha: float = 1.0,
        activation: str = "relu",
        padding: str = "same",
        data_format: str | None = None,
        dilation_rate: int = 1,
        depth_multiplier: int = 1,
        is_linear: bool = False,
        **kwargs,
    ):
        super().__init__(activation, padding, **kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.alpha = alpha
        self.data_format = data_format or keras.config.image_data_format()
        self.dilation_rate = dilation_rate
        self.depth_multiplier = depth_multiplier
        self.is_linear = is_linear
        axis = 1 if self.data_format == "channels_first" else -1
        self.depthwise = layers.DepthwiseConv2D(
            kernel_size,
            strides,
            padding="same",
            depth_multiplier=depth_multiplier,
            dilation_rate=dilation_rate,
            use_bias=False,
            data_format=self.data_format,
            name="depthwise",
            dtype=self.dtype_policy,
        )
        self.depthwise_bn = _batch_norm("depthwise_bn", self.dtype_policy, axis)
        self.depthwise_relu = _relu(self.activation, "depthwise_relu", self.dtype_policy)
        self.pointwise = layers.Conv2D(
            scaled_filters(filters, alpha),
            1,
            padding="same",
            use_bias=False,
            data_format=self.data_format,
            name="pointwise",
            dtype=self.dtype_policy,
        )
        self.pointwise_bn = _batch_norm("pointwise_bn", self.dtype_policy, axis)
        self.pointwise_relu = _relu(self.activation, "pointwise_relu", self.dtype_policy, is_linear)

    def fusable_stages(self) -> list[tuple[layers.Layer, ...]]:
        """The layers in call order, grouped as inference fuses them.

        Returns:
            The depthwise and the pointwise (convolution, batch normalization, activation) triple.
        """
        return [
            (self.depthwise, self.depthwise_bn, self.depthwise_relu),
            (self.pointwise, self.pointwise_bn, self.pointwise_relu),
        ]

    def get_config(self):
        """Arguments that make the same layer again."""
        return super().get_config() | {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "alpha": self.alpha,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "depth_multiplier": self.depth_multiplier,
            "is_linear": self.is_linear,
        }
