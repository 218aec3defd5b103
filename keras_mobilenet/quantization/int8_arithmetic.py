"""The integer arithmetic of TFLite's int8 kernels, on a Keras forward pass.

All of it inside `double_precision`: JAX has no 64-bit numbers else.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from keras import KerasTensor, ops

from keras_mobilenet.quantization.precision import to_double


def quantized_multiplier(real_multiplier: KerasTensor) -> tuple[KerasTensor, KerasTensor]:
    """Splits real multipliers into TFLite's 31-bit fixed-point multiplier and shift.

    Args:
        real_multiplier: The real multipliers, a float64 tensor of positive numbers.

    Returns:
        `(multiplier, shift)`, int64 tensors: `real = multiplier * 2 ** (shift - 31)`, multiplier
        in [2 ** 30, 2 ** 31).

    Example:
        >>> multiplier, shift = quantized_multiplier(to_double(0.75))
        >>> int(multiplier) / 2**31, int(shift)
        (0.75, 0)

    Source: TFLite's `QuantizeMultiplier`, which applies `frexp`.
    """
    # An IEEE double: 11 bits of exponent, then 52 of the mantissa, whose leading one is left out.
    bits = ops.view(real_multiplier, "int64")
    exponent = ops.right_shift(bits, 52)
    mantissa = bits - exponent * 2**52 + 2**52
    multiplier = ops.right_shift(mantissa + 2**21, 22)
    overflow = ops.cast(multiplier == 2**31, "int64")
    return multiplier - overflow * 2**30, exponent - 1022 + overflow


MAX_EXACT_PRODUCTS = 2**24 // (255 * 127)
"""So many products of an activation and a weight add up exactly in float32."""


def sum_exactly(
    sum_products: Callable, steps: KerasTensor, kernel: KerasTensor, is_depthwise: bool = False
) -> KerasTensor:
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
        >>> ones = ops.ones((1, 1000))
        >>> float(sum_exactly(ops.matmul, 255 * ones, 127 * ops.transpose(ones))[0, 0])
        32385000.0
    """
    *window, channels, _ = kernel.shape
    summed = 1 if is_depthwise else channels
    most = MAX_EXACT_PRODUCTS // math.prod(window)
    if summed <= most:
        return to_double(sum_products(steps, kernel))
    if most == 0 or summed != steps.shape[-1]:
        # A huge window, or groups of channels: rare.
        return sum_products(to_double(steps), to_double(kernel))
    return sum(
        to_double(sum_products(steps[..., i : i + most], kernel[..., i : i + most, :]))
        for i in range(0, channels, most)
    )


def mean_multiplier(
    multiplier: KerasTensor, shift: KerasTensor, count: int
) -> tuple[KerasTensor, KerasTensor]:
    """Takes the division by `count` of a mean into the multiplier, as TFLite's MEAN does.

    Args:
        multiplier: Int64 tensor, 31-bit fixed point.
        shift: Int64 tensor of the shape of `multiplier`.
        count: The number of averaged elements.

    Returns:
        `(multiplier, shift)`, int64 tensors; the multiplier may fall below 2 ** 30.

    Example:
        >>> one_half = ops.cast(2**30, "int64"), ops.cast(0, "int64")
        >>> multiplier, shift = mean_multiplier(*one_half, 9)
        >>> round(int(multiplier) * 2.0 ** (int(shift) - 31), 6)
        0.055556

    Source: TFLite's `QuantizedMeanOrSum`.
    """
    # The last minimum keeps `shift` within 31 bits, as the kernel does.
    extra = ops.minimum(shift + 31, min(count.bit_length() - 1, 32))
    return ops.left_shift(multiplier, extra) // count, shift - extra


def requantize(
    accumulator: KerasTensor, multiplier: KerasTensor, shift: KerasTensor
) -> KerasTensor:
    """Scales int32 accumulators down with the two roundings of TFLite's reference kernels.

    Args:
        accumulator: Float tensor of whole numbers, channels last.
        multiplier: Int64 tensor, () or (channels,), 31-bit fixed point.
        shift: Int64 tensor of the shape of `multiplier`.

    Returns:
        Float64 tensor of whole numbers, before the zero point is added.

    Example:
        >>> eighth = quantized_multiplier(to_double(0.125))
        >>> requantize(ops.array([100.0, -100.0]), *eighth).numpy()
        array([ 13., -13.])

    Source: TFLite's `MultiplyByQuantizedMultiplier`: a rounding doubling high multiplication, then
        a rounding division by a power of two, ties away from zero.
    """
    left, right = ops.maximum(shift, 0), ops.maximum(-shift, 0)
    scaled = ops.left_shift(ops.cast(accumulator, "int64"), left)
    high = ops.right_shift(scaled * multiplier + 2**30, 31)
    return to_double(_divide_by_power(high, right))


def clamp_and_dequantize(
    value: KerasTensor, scale: KerasTensor, zero_point: KerasTensor | float, activation: str
) -> KerasTensor:
    """Adds the zero point, clamps as the fused activation does, and returns to real numbers.

    Args:
        value: Float64 tensor of whole numbers, before the zero point is added.
        scale: The output's scale, a float32 scalar tensor.
        zero_point: The output's zero point, a float32 scalar tensor: a whole number in [-128, 127].
        activation: The fused activation: `"linear"`, `"relu"` or `"relu6"`.

    Returns:
        Float32 tensor: `scale * (q - zero_point)` for int8 `q`.

    Example:
        >>> steps = to_double([-3.0, 90.0])
        >>> q = clamp_and_dequantize(steps, ops.array(0.1), -128.0, "relu6")
        >>> [round(float(v), 3) for v in q]
        [0.0, 6.0]
    """
    zero_point = to_double(zero_point)
    low, high = -128.0, 127.0
    if activation in ("relu", "relu6"):
        low = ops.maximum(zero_point, low)
    if activation == "relu6":
        high = ops.minimum(zero_point + ops.floor(_float32_ratio(6.0, scale) + 0.5), high)
    quantized = ops.minimum(ops.maximum(value + zero_point, low), high)
    return ops.cast(quantized - zero_point, "float32") * scale


ADD_LEFT_SHIFT = 20
"""ADD brings both inputs to a common scale in int32. Source: TFLite's `add.cc`."""


def add_multipliers(
    first_scale: KerasTensor, second_scale: KerasTensor, output_scale: KerasTensor
) -> list[tuple]:
    """Computes the multipliers and shifts of both inputs and of the output of an int8 ADD.

    Args:
        first_scale: The first input's scale, a float64 scalar tensor.
        second_scale: The second input's scale, a float64 scalar tensor.
        output_scale: The output's scale, a float64 scalar tensor.

    Returns:
        Three `(multiplier, shift)` pairs as in `quantized_multiplier`.

    Example:
        >>> one = to_double(1.0)
        >>> [int(shift) for _, shift in add_multipliers(one, one, one)]
        [0, 0, -18]

    Source: TFLite's `add.cc`.
    """
    widest = 2.0 * ops.maximum(first_scale, second_scale)
    ratios = (
        first_scale / widest,
        second_scale / widest,
        widest / (2.0**ADD_LEFT_SHIFT * output_scale),
    )
    return [quantized_multiplier(ratio) for ratio in ratios]


def rounded_average(total: KerasTensor, count: KerasTensor | float) -> KerasTensor:
    """Divides int32 sums, half away from zero, as AVERAGE_POOL_2D does.

    Args:
        total: The sums, a float tensor of whole numbers.
        count: The numbers of summed elements, a float tensor of positive whole numbers that
            broadcasts with `total`.

    Returns:
        Float64 tensor of whole numbers.

    Example:
        >>> rounded_average(ops.array([3.0, -3.0]), 2.0).numpy()
        array([ 2., -2.])
    """
    total, count = ops.cast(total, "int64"), ops.cast(count, "int64")
    magnitude = (ops.abs(total) + count // 2) // count
    return to_double(ops.where(total < 0, -magnitude, magnitude))


def hard_swish(
    steps: KerasTensor, input_scale: KerasTensor, output_scale: KerasTensor
) -> KerasTensor:
    """Computes the int8 HARD_SWISH, which calculates in 16-bit fixed point.

    Args:
        steps: The input less its zero point, a float tensor of whole numbers.
        input_scale: The input's scale, a float32 scalar tensor.
        output_scale: The output's scale, a float32 scalar tensor.

    Returns:
        Float64 tensor of whole numbers, before the zero point is added.

    Example:
        >>> scale = ops.array(0.05)
        >>> hard_swish(ops.array([-80.0, 0.0, 80.0]), scale, scale).numpy()
        array([ 0.,  0., 80.])

    Source: TFLite's `reference_ops::HardSwish`.
    """
    fine_scale = input_scale / 128.0
    output_multiplier, output_shift = _multiplier_16(_float32_ratio(fine_scale, output_scale))
    reluish_multiplier, reluish_shift = _multiplier_16(_float32_ratio(fine_scale, 3.0 / 32768.0))
    fine = ops.cast(steps, "int64") * 128
    at_output_scale = _high_multiply_16(fine, output_multiplier)
    reluish = _saturate_16(ops.left_shift(fine, ops.maximum(reluish_shift - 1, 0)))
    reluish = _high_multiply_16(reluish, reluish_multiplier)
    reluish = ops.where(reluish_shift > 0, _saturate_16(reluish * 2), reluish)
    reluish = _divide_by_power(reluish, ops.maximum(-reluish_shift, 0))
    gate = ops.right_shift(reluish + 2**15, 1)
    # Here the kernel truncates where everywhere else it rounds.
    product = _saturate_16(_truncated(gate * at_output_scale, 15))
    return to_double(_divide_by_power(product, -output_shift))


def _float32_ratio(a, b):
    """The float32 quotient that a kernel's C code computes, as float64.

    A compiler may turn a float32 division by a constant into a multiplication; the detour over
    double precision rounds to the same bits either way.
    """
    return to_double(ops.cast(to_double(a) / to_double(b), "float32"))


def _multiplier_16(ratio):
    multiplier, shift = quantized_multiplier(ratio)
    return ops.minimum(ops.right_shift(multiplier + 2**15, 16), 2**15 - 1), shift


def _saturate_16(value):
    return ops.minimum(ops.maximum(value, -(2**15)), 2**15 - 1)


def _high_multiply_16(a, b):
    product = a * b
    nudge = 2**14 + ops.cast(product < 0, "int64") * (1 - 2**15)
    return _saturate_16(_truncated(product + nudge, 15))


def _truncated(value, places: int):
    """Divides by a power of two and rounds towards zero, as C does."""
    magnitude = ops.right_shift(ops.abs(value), places)
    return ops.where(value < 0, -magnitude, magnitude)


def _divide_by_power(value, exponent):
    """Rounds half away from zero."""
    mask = ops.left_shift(ops.ones_like(exponent), exponent) - 1
    remainder = ops.bitwise_and(value, mask)
    threshold = ops.right_shift(mask, 1) + ops.cast(value < 0, "int64")
    return ops.right_shift(value, exponent) + ops.cast(remainder > threshold, "int64")
