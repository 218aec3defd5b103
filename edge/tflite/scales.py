"""Whether the scales and zero points of a tensor can be what they say."""

from __future__ import annotations

import math

from edge.errors import ModelError, quoted
from edge.tflite.tensors import Quantization, Tensor

ZERO_POINTS = {"int4": (-8, 7), "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}
"""The lowest and the highest value of each type; of wider ones every whole number will do."""


def require_scales(tensor: Tensor, where: str) -> None:
    """Refuses scales and zero points that no tensor can have.

    Args:
        tensor: The tensor, of any type; one that is not quantized passes.
        where: The model's name for the message.

    Raises:
        ModelError: If a scale is no positive number, a zero point is out of the type's range, or
            there are not as many scales as channels.

    Example:
        >>> tensor = Tensor(0, "x", (1, 2), "int8", Quantization((0.5,), (200,), 0), None)
        >>> require_scales(tensor, "M")
        Traceback (most recent call last):
        edge.errors.ModelError: M: tensor 'x' has a zero point of 200, which int8 cannot hold; ...
    """
    if tensor.quantization is None:
        return
    what = _fault(tensor, tensor.quantization)
    if what is not None:
        raise ModelError(f"{where}: tensor {quoted(tensor.name)} {what}")


def _fault(tensor: Tensor, quantization: Quantization) -> str | None:
    wrong = [s for s in quantization.scales if not (math.isfinite(s) and s > 0)]
    if wrong and not math.isfinite(wrong[0]):
        return (
            f"has a scale of {wrong[0]}: its training or its representative data ran into numbers "
            "that are none. Look at the loss and at the inputs, then train and convert again."
        )
    if wrong:
        return f"has a scale of {wrong[0]:g}, which must be positive. Convert the model again."
    lowest, highest = ZERO_POINTS.get(tensor.dtype, (-(2**31), 2**31 - 1))
    beyond = [z for z in quantization.zero_points if not lowest <= z <= highest]
    if beyond:
        return (
            f"has a zero point of {beyond[0]}, which {tensor.dtype} cannot hold; its values would "
            "wrap. Convert the model again."
        )
    if not quantization.per_channel:
        return None
    count, axis = len(quantization.scales), quantization.axis
    if not 0 <= axis < len(tensor.shape):
        return f"has {count} scales along axis {axis}, which it has not. Convert the model again."
    if count != tensor.shape[axis]:
        return (
            f"has {count} scales for {tensor.shape[axis]} channels, which must be as many. Convert "
            "the model again."
        )
    return None
