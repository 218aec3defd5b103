"""The integer arithmetic of TFLite's int8 kernels, as TensorFlow ops on a Keras forward pass."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf


def quantized_multiplier(real_multiplier: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Splits real multipliers into TFLite's 31-bit fixed-point multiplier and shift.

    Args:
        real_multiplier: The real multipliers, a float64 tensor of positive numbers.

    Returns:
        `(multiplier, shift)`, int64 tensors: `real = multiplier * 2 ** (shift - 31)`, multiplier
        in [2 ** 30, 2 ** 31).

    Example:
        >>> multiplier, shift = quantized_multiplier(tf.constant(0.75, tf.float64))
        >>> int(multiplier) / 2**31, int(shift)
        (0.75, 0)

    Source: TFLite's `QuantizeMultiplier`, which applies `frexp`.
    """
    # An IEEE double: 11 bits of exponent, then 52 of the mantissa, whose leading one is left out.
    bits = tf.bitcast(real_multiplier, tf.int64)
    shift = tf.bitwise.right_shift(bits, tf.constant(52, tf.int64)) - 1022
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(2**52 - 1, tf.int64)) + 2**52
    multiplier = tf.bitwise.right_shift(mantissa + 2**21, tf.constant(22, tf.int64))
    overflows = tf.equal(multiplier, 2**31)
    multiplier = tf.where(overflows, multiplier // 2, multiplier)
    return multiplier, shift + tf.cast(overflows, tf.int64)


MAX_EXACT_PRODUCTS = 2**24 // (255 * 127)
"""So many products of an activation and a weight add up exactly in float32."""


def sum_exactly(
    sum_products: Callable, steps: tf.Tensor, kernel: tf.Tensor, is_depthwise: bool = False
) -> tf.Tensor:
    """Computes a convolution or matrix product of whole numbers, exact as in the kernels' int32.

    Float32 adds whole numbers without error up to 2 ** 24. Where more could come together, the
    input's channels are summed in parts, which costs next to nothing; double precision would take
    four times as long.

    Args:
        sum_products: The function of `steps` and `kernel` that multiplies and sums.
        steps: Float32 tensor of whole numbers in [-255, 255], channels last.
        kernel: Float32 tensor of whole numbers in [-127, 127], (..., in, out).
        is_depthwise: Whether each output sums over a single channel.

    Returns:
        Float64 tensor of whole numbers.

    Example:
        >>> ones = tf.ones((1, 1000))
        >>> float(sum_exactly(tf.matmul, 255 * ones, 127 * tf.transpose(ones))[0, 0])
        32385000.0
    """
    *window, channels, _ = kernel.shape
    summed = 1 if is_depthwise else channels
    most = MAX_EXACT_PRODUCTS // math.prod(window)
    if summed <= most:
        return tf.cast(sum_products(steps, kernel), tf.float64)
    if most == 0 or summed != steps.shape[-1]:
        # A huge window, or groups of channels: rare.
        return sum_products(tf.cast(steps, tf.float64), tf.cast(kernel, tf.float64))
    return tf.add_n(
        [
            tf.cast(
                sum_products(steps[..., i : i + most], kernel[..., i : i + most, :]), tf.float64
            )
            for i in range(0, channels, most)
        ]
    )


def mean_multiplier(
    multiplier: tf.Tensor, shift: tf.Tensor, count: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes the division by `count` of a mean into the multiplier, as TFLite's MEAN does.

    Args:
        multiplier: Int64 tensor, 31-bit fixed point.
        shift: Int64 tensor of the shape of `multiplier`.
        count: The number of averaged elements.

    Returns:
        `(multiplier, shift)`, int64 tensors; the multiplier may fall below 2 ** 30.

    Example:
        >>> one_half = tf.constant(2**30, tf.int64), tf.constant(0, tf.int64)
        >>> multiplier, shift = mean_multiplier(*one_half, 9)
        >>> round(int(multiplier) * 2.0 ** (int(shift) - 31), 6)
        0.055556

    Source: TFLite's `QuantizedMeanOrSum`.
    """
    # The last minimum keeps `shift` within 31 bits, as the kernel does.
    extra = tf.minimum(tf.constant(min(count.bit_length() - 1, 32), tf.int64), 31 + shift)
    return tf.bitwise.left_shift(multiplier, extra) // count, shift - extra


def requantize(accumulator: tf.Tensor, multiplier: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
    """Scales int32 accumulators down with the two roundings of TFLite's reference kernels.

    Args:
        accumulator: Float tensor of whole numbers, channels last.
        multiplier: Int64 tensor, () or (channels,), 31-bit fixed point.
        shift: Int64 tensor of the shape of `multiplier`.

    Returns:
        Float64 tensor of whole numbers, before the zero point is added.

    Example:
        >>> eighth = quantized_multiplier(tf.constant(0.125, tf.float64))
        >>> requantize(tf.constant([100.0, -100.0]), *eighth).numpy()
        array([ 13., -13.])

    Source: TFLite's `MultiplyByQuantizedMultiplier`: a rounding doubling high multiplication, then
        a rounding division by a power of two, ties away from zero.
    """
    left, right = tf.maximum(shift, 0), tf.maximum(-shift, 0)
    scaled = tf.bitwise.left_shift(tf.cast(accumulator, tf.int64), left)
    high = tf.bitwise.right_shift(scaled * multiplier + 2**30, tf.constant(31, tf.int64))
    return tf.cast(_divide_by_power(high, right), tf.float64)


def clamp_and_dequantize(
    value: tf.Tensor, scale: tf.Tensor, zero_point: tf.Tensor | float, activation: str
) -> tf.Tensor:
    """Adds the zero point, clamps as the fused activation does, and returns to real numbers.

    Args:
        value: Float64 tensor of whole numbers, before the zero point is added.
        scale: The output's scale, a float32 scalar tensor.
        zero_point: The output's zero point, a float32 scalar tensor: a whole number in [-128, 127].
        activation: The fused activation: `"linear"`, `"relu"` or `"relu6"`.

    Returns:
        Float32 tensor: `scale * (q - zero_point)` for int8 `q`.

    Example:
        >>> steps = tf.constant([-3.0, 90.0], tf.float64)
        >>> q = clamp_and_dequantize(steps, tf.constant(0.1), -128.0, "relu6")
        >>> [round(float(v), 3) for v in q]
        [0.0, 6.0]
    """
    zero_point = tf.cast(zero_point, tf.float64)
    low, high = tf.constant(-128.0, tf.float64), tf.constant(127.0, tf.float64)
    if activation in ("relu", "relu6"):
        low = tf.maximum(low, zero_point)
    if activation == "relu6":
        high = tf.minimum(high, zero_point + tf.floor(_float32_ratio(6.0, scale) + 0.5))
    quantized = tf.clip_by_value(value + zero_point, low, high)
    return tf.cast(quantized - zero_point, tf.float32) * scale


ADD_LEFT_SHIFT = 20
"""ADD brings both inputs to a common scale in int32. Source: TFLite's `add.cc`."""


def add_multipliers(
    first_scale: tf.Tensor, second_scale: tf.Tensor, output_scale: tf.Tensor
) -> list[tuple]:
    """Computes the multipliers and shifts of both inputs and of the output of an int8 ADD.

    Args:
        first_scale: The first input's scale, a float64 scalar tensor.
        second_scale: The second input's scale, a float64 scalar tensor.
        output_scale: The output's scale, a float64 scalar tensor.

    Returns:
        Three `(multiplier, shift)` pairs as in `quantized_multiplier`.

    Example:
        >>> one = tf.constant(1.0, tf.float64)
        >>> [int(shift) for _, shift in add_multipliers(one, one, one)]
        [0, 0, -18]

    Source: TFLite's `add.cc`.
    """
    widest = 2.0 * tf.maximum(first_scale, second_scale)
    ratios = (
        first_scale / widest,
        second_scale / widest,
        widest / (2.0**ADD_LEFT_SHIFT * output_scale),
    )
    return [quantized_multiplier(ratio) for ratio in ratios]


def rounded_average(total: tf.Tensor, count: tf.Tensor | float) -> tf.Tensor:
    """Divides int32 sums, half away from zero, as AVERAGE_POOL_2D does.

    Args:
        total: The sums, a float tensor of whole numbers.
        count: The numbers of summed elements, a float tensor of positive whole numbers that
            broadcasts with `total`.

    Returns:
        Float64 tensor of whole numbers.

    Example:
        >>> rounded_average(tf.constant([3.0, -3.0]), 2.0).numpy()
        array([ 2., -2.])
    """
    total, count = tf.cast(total, tf.int64), tf.cast(count, tf.int64)
    half = tf.where(total > 0, count // 2, -(count // 2))
    # truncatediv rounds towards zero, as C does.
    return tf.cast(tf.truncatediv(total + half, count), tf.float64)


def hard_swish(steps: tf.Tensor, input_scale: tf.Tensor, output_scale: tf.Tensor) -> tf.Tensor:
    """Computes the int8 HARD_SWISH, which calculates in 16-bit fixed point.

    Args:
        steps: The input less its zero point, a float tensor of whole numbers.
        input_scale: The input's scale, a float32 scalar tensor.
        output_scale: The output's scale, a float32 scalar tensor.

    Returns:
        Float64 tensor of whole numbers, before the zero point is added.

    Example:
        >>> scale = tf.constant(0.05)
        >>> hard_swish(tf.constant([-80.0, 0.0, 80.0]), scale, scale).numpy()
        array([ 0.,  0., 80.])

    Source: TFLite's `reference_ops::HardSwish`.
    """
    fine_scale = input_scale / 128.0
    output_multiplier, output_shift = _multiplier_16(_float32_ratio(fine_scale, output_scale))
    reluish_multiplier, reluish_shift = _multiplier_16(_float32_ratio(fine_scale, 3.0 / 32768.0))
    fine = tf.cast(steps, tf.int64) * 128
    at_output_scale = _high_multiply_16(fine, output_multiplier)
    one = tf.ones_like(reluish_shift)
    left = tf.maximum(reluish_shift - one, tf.zeros_like(one))
    reluish = _saturate_16(tf.bitwise.left_shift(fine, left))
    reluish = _high_multiply_16(reluish, reluish_multiplier)
    reluish = tf.where(reluish_shift > 0, _saturate_16(reluish * 2), reluish)
    reluish = _divide_by_power(reluish, tf.maximum(-reluish_shift, tf.zeros_like(one)))
    gate = tf.bitwise.right_shift(reluish + 2**15, one)
    # Here the kernel truncates where everywhere else it rounds.
    product = _saturate_16(tf.truncatediv(gate * at_output_scale, tf.constant(2**15, tf.int64)))
    return tf.cast(_divide_by_power(product, -output_shift), tf.float64)


def _float32_ratio(a, b):
    """The float32 quotient that a kernel's C code computes, as float64.

    A compiler may turn a float32 division by a constant into a multiplication; the detour over
    double precision rounds to the same bits either way.
    """
    ratio = tf.cast(a, tf.float64) / tf.cast(b, tf.float64)
    return tf.cast(tf.cast(ratio, tf.float32), tf.float64)


def _multiplier_16(ratio):
    multiplier, shift = quantized_multiplier(ratio)
    return tf.minimum((multiplier + 2**15) // 2**16, 2**15 - 1), shift


def _saturate_16(value):
    return tf.clip_by_value(
        value, tf.constant(-(2**15), tf.int64), tf.constant(2**15 - 1, tf.int64)
    )


def _high_multiply_16(a, b):
    product = a * b
    nudge = tf.where(product >= 0, tf.constant(2**14, tf.int64), tf.constant(1 - 2**14, tf.int64))
    return _saturate_16(tf.truncatediv(product + nudge, tf.constant(2**15, tf.int64)))


def _divide_by_power(value, exponent):
    """Rounds half away from zero."""
    mask = tf.bitwise.left_shift(tf.ones_like(exponent), exponent) - 1
    remainder = tf.bitwise.bitwise_and(value, mask)
    threshold = tf.bitwise.right_shift(mask, tf.ones_like(mask)) + tf.cast(value < 0, tf.int64)
    return tf.bitwise.right_shift(value, exponent) + tf.cast(remainder > threshold, tf.int64)
