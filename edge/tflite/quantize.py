"""The int8 and the real values of a tensor."""

from __future__ import annotations

import numpy as np

from edge.tflite.graph import Tensor
from edge.tflite.requantization import scale_of, zero_point_of


def to_int8(real: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Quantizes real values with a tensor's scale and zero point.

    Args:
        real: A float array of any shape.
        tensor: The activation that they belong to, which has one scale.

    Returns:
        An int8 array of the same shape: `round(real / scale) + zero_point`, clipped; a half is
        rounded away from zero, as QUANTIZE does.

    Raises:
        ModelError: If the tensor is not quantized.

    Example:
        >>> from edge.tflite.graph import Quantization
        >>> tensor = Tensor(0, "x", (1, 2), "int8", Quantization((0.5,), (1,), 0), None)
        >>> to_int8(np.array([1.0, 1000.0]), tensor).tolist()
        [3, 127]

    Source: the TFLite 8-bit quantization specification; `AffineQuantize` of the reference kernels.
    """
    steps = np.asarray(real, np.float32) / np.float32(scale_of(tensor))
    point = zero_point_of(tensor)
    # Clipped first, so that the half that is added to a whole number stays exact.
    steps = np.clip(steps, np.float32(-129 - point), np.float32(128 - point))
    whole = np.trunc(steps)
    whole += np.where(np.abs(steps - whole) >= 0.5, np.copysign(np.float32(1), steps), 0)
    return np.clip(whole + point, -128, 127).astype(np.int8)


def to_real(q: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Dequantizes a tensor's int8 values.

    Args:
        q: An int8 array of any shape.
        tensor: The activation that they belong to, which has one scale.

    Returns:
        A float32 array of the same shape: `scale * (q - zero_point)`.

    Raises:
        ModelError: If the tensor is not quantized.

    Example:
        >>> from edge.tflite.graph import Quantization
        >>> tensor = Tensor(0, "x", (1, 2), "int8", Quantization((0.5,), (1,), 0), None)
        >>> to_real(np.array([3, 127], np.int8), tensor).tolist()
        [1.0, 63.0]
    """
    return (q.astype(np.float32) - zero_point_of(tensor)) * np.float32(scale_of(tensor))


def real_range(tensor: Tensor) -> tuple[float, float]:
    """Finds the lowest and the highest real value that a tensor can hold.

    Args:
        tensor: The activation that they belong to, which has one scale.

    Returns:
        What -128 and 127 stand for.

    Raises:
        ModelError: If the tensor is not quantized.

    Example:
        >>> from edge.tflite.graph import Quantization
        >>> real_range(Tensor(0, "x", (1, 2), "int8", Quantization((0.5,), (-128,), 0), None))
        (0.0, 127.5)
    """
    lowest, highest = to_real(np.array([-128, 127], np.int8), tensor)
    return float(lowest), float(highest)
