"""Fixed-point arithmetic of TFLite's int8 kernels, exact, on integers of NumPy."""

from __future__ import annotations

import math

import numpy as np

from edge.errors import ModelError

EXP_TABLE_ENTRIES = 256
"""An int8 input can lie below the largest one by 0 to 255 steps."""


def quantized_multiplier(real_multiplier: float) -> tuple[int, int]:
    """Splits a real multiplier into TFLite's 31-bit fixed-point multiplier and shift.

    Args:
        real_multiplier: The ratio of scales to split, not negative.

    Returns:
        `(multiplier, shift)`: `real = multiplier * 2 ** (shift - 31)`, multiplier in
        [2 ** 30, 2 ** 31), or (0, 0).

    Raises:
        ModelError: If the multiplier is so large that no kernel takes it.

    Example:
        >>> quantized_multiplier(0.375)
        (1610612736, -1)

    Source: TFLite's `QuantizeMultiplier`.
    """
    mantissa, shift = math.frexp(real_multiplier)
    multiplier = math.floor(mantissa * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, shift = multiplier // 2, shift + 1
    if shift < -31:
        return 0, 0
    if shift > 30:
        raise ModelError(f"A scale ratio of {real_multiplier:g} is beyond 31-bit arithmetic.")
    return multiplier, shift


def high_multiply(a: np.ndarray | int, b: np.ndarray | int) -> np.ndarray:
    """Computes the upper 32 bits of twice a product, rounded.

    Args:
        a: An array of whole numbers of 32 bits.
        b: An array of the same shape or a number; not both the most negative.

    Returns:
        An int64 array.

    Example:
        >>> int(high_multiply(3, 2**30))
        2

    Source: gemmlowp's `SaturatingRoundingDoublingHighMul`.
    """
    return (np.asarray(a, np.int64) * np.asarray(b, np.int64) + 2**30) >> 31


def wrapped(value: np.ndarray) -> np.ndarray:
    """Keeps the lower 32 bits of whole numbers, as sums and shifts of a core's registers do.

    Args:
        value: An array of whole numbers.

    Returns:
        An int64 array of numbers from -2 ** 31 to 2 ** 31 - 1.

    Example:
        >>> wrapped(np.array([2**31 - 1, 2**31])).tolist()
        [2147483647, -2147483648]
    """
    return np.asarray(value, np.int64).astype(np.int32).astype(np.int64)


def divide_by_power(value: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """Divides by a power of two, rounded to nearest, ties away from zero.

    Args:
        value: An array of whole numbers.
        exponent: The exponent of two, from 0 to 60; a scalar or an array of the same shape.

    Returns:
        An int64 array.

    Example:
        >>> divide_by_power(np.array([5, -5, -6]), 1).tolist()
        [3, -3, -3]

    Source: gemmlowp's `RoundingDivideByPOT`.
    """
    value, exponent = np.asarray(value, np.int64), np.asarray(exponent, np.int64)
    half = np.where(exponent > 0, np.left_shift(1, np.maximum(exponent - 1, 0)), 0)
    return (value + half - ((value < 0) & (exponent > 0))) >> exponent


def requantize(
    accumulator: np.ndarray, multiplier: np.ndarray | int, shift: np.ndarray | int
) -> np.ndarray:
    """Scales accumulators with the two roundings of TFLite's reference kernels.

    Args:
        accumulator: An array of whole numbers of 32 bits.
        multiplier: The 31-bit fixed-point multiplier, a scalar or an array (channels,).
        shift: The bits to shift left, negative to the right, of the shape of `multiplier`.

    Returns:
        An int64 array, before the zero point is added.

    Example:
        >>> requantize(np.array([100, -100]), *quantized_multiplier(0.125)).tolist()
        [13, -13]

    Source: TFLite's `MultiplyByQuantizedMultiplier` with double rounding.
    """
    shift = np.asarray(shift, np.int64)
    scaled = wrapped(np.asarray(accumulator, np.int64) << np.maximum(shift, 0))
    return divide_by_power(high_multiply(scaled, multiplier), np.maximum(-shift, 0))


def requantize_once(accumulator: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """Scales accumulators with one rounding, ties away from zero, as LiteRT's FULLY_CONNECTED does.

    Args:
        accumulator: An array of whole numbers of 32 bits.
        multiplier: The 31-bit fixed-point multiplier.
        shift: The bits to shift left, negative to the right.

    Returns:
        An int64 array, before the zero point is added.

    Example:
        >>> requantize_once(np.array([100, -100]), *quantized_multiplier(0.125)).tolist()
        [13, -13]

    Source: measured: LiteRT 2 multiplies in double precision and calls `round`.
    """
    right = 31 - shift
    product = np.asarray(accumulator, np.int64) * multiplier
    return wrapped((product + (1 << (right - 1)) - (product < 0)) >> right)


def exp_table(input_scale: float, beta: float) -> np.ndarray:
    """Tabulates `exp(-beta * input_scale * steps)` as SOFTMAX computes it.

    Args:
        input_scale: The scale of the int8 input.
        beta: The factor of the inputs, an option of SOFTMAX.

    Returns:
        An int64 array (256,) in 31-bit fixed point; 0 where the kernel leaves the term out.

    Raises:
        ModelError: If the scale is so small that all outputs are equal.

    Example:
        >>> exp_table(0.5, 1.0)[:3] / 2**31
        array([1.        , 0.60653083, 0.36787955])

    Source: TFLite's reference `Softmax` and gemmlowp's `exp_on_negative_values`.
    """
    real = beta * input_scale * 2**26
    # A shift of 31 bits, beyond other multipliers: already one step below leaves nothing.
    multiplier, shift = (0, 31) if real >= 2**30 - 0.25 else quantized_multiplier(real)
    if shift < 0:
        raise ModelError(f"A SOFTMAX of inputs with scale {input_scale:g} is constant.")
    farthest = math.floor(31 * 2**26 / 2**shift)
    steps = np.arange(EXP_TABLE_ENTRIES, dtype=np.int64)
    scaled = high_multiply(-np.minimum(steps, farthest) << shift, multiplier)
    return np.where(steps <= farthest, _exp_on_negative(scaled), 0)


def reciprocal(total: int) -> tuple[int, int]:
    """Divides one by a sum of exponentials, by Newton's method in fixed point.

    Args:
        total: The sum, from 1 to 2 ** 32 - 1, with 12 bits above the binary point.

    Returns:
        `(reciprocal, bits)`: the reciprocal in 31-bit fixed point, of the sum shifted down by
        `bits`.

    Example:
        >>> reciprocal(1 << 20)
        (2147483647, 1)

    Source: TFLite's `GetReciprocal`, gemmlowp's `one_over_one_plus_x_for_x_in_0_1`.
    """
    headroom = 32 - total.bit_length()
    fraction = (total << headroom) - 2**31
    half = (fraction + 2**31 - 1 + 1) >> 1
    x = 1515870810 + int(high_multiply(half, -1010580540))
    for _ in range(3):
        rest = 2**29 - int(high_multiply(half, x))
        x += _clamped(int(high_multiply(x, rest)) << 2)
    return _clamped(x << 1), 12 - headroom


def _clamped(value: int) -> int:
    return max(-(2**31), min(2**31 - 1, value))


def _exp_on_negative(a: np.ndarray) -> np.ndarray:
    """The exponential of Q5.26 numbers: a polynomial for the quarter, then a product per bit."""
    quarter = 1 << 24
    rest = (a & (quarter - 1)) - quarter
    x = (rest << 5) + (1 << 28)
    square = high_multiply(x, x)
    cube = high_multiply(square, x)
    fourth = divide_by_power(high_multiply(square, square), 2)
    series = divide_by_power(high_multiply(fourth + cube, 715827883) + square, 1)
    result = 1895147668 + high_multiply(1895147668, x + series)
    remainder = rest - a
    for exponent, factor in enumerate(
        (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242), start=-2
    ):
        has_bit = (remainder & (1 << (26 + exponent))) != 0
        result = np.where(has_bit, high_multiply(result, factor), result)
    return np.where(a == 0, 2**31 - 1, result)
