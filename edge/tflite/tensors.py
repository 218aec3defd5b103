"""The tensors and operators that a graph is made of."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import ModelError, quoted


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Quantization parameters: `real = scale * (q - zero_point)`.

    Attributes:
        scales: One scale, or one per slice of `axis`.
        zero_points: The zero point that goes with each of `scales`.
        axis: The axis of a per-channel tensor; 0 where there is one scale.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int

    @property
    def per_channel(self) -> bool:
        """Whether each channel has a scale of its own."""
        return len(self.scales) > 1


@dataclasses.dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of a graph.

    Attributes:
        index: The position in the file, which is the tensor's identity.
        name: The tensor's name in the file.
        shape: Static shape.
        dtype: NumPy's name of the type, such as `"int8"`.
        quantization: None where the tensor has none.
        data: The constant's elements as read-only bytes, None for an activation.
        is_dynamic: Whether the file leaves a dimension (the batch) open.
        is_variable: Whether the tensor keeps its values from one inference to the next.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    data: np.ndarray | None
    is_dynamic: bool = False
    is_variable: bool = False

    @property
    def element_count(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Size in memory, in bytes."""
        if self.dtype == "int4":
            return (self.element_count + 1) // 2
        return self.element_count * np.dtype(self.dtype).itemsize

    @property
    def is_constant(self) -> bool:
        """Whether the file holds the tensor's values."""
        return self.data is not None

    def quantized(self) -> Quantization:
        """The quantization of a tensor that must have one.

        Returns:
            The parameters.

        Raises:
            ModelError: If the tensor is not quantized.
        """
        if self.quantization is None:
            raise ModelError(f"Tensor {quoted(self.name)} is not quantized.")
        return self.quantization

    def values(self) -> np.ndarray:
        """The elements of a constant.

        Returns:
            Array of `shape` and `dtype`; int8 for int4, of which a byte holds two.

        Raises:
            ModelError: If the tensor is an activation.
        """
        if self.data is None:
            raise ModelError(f"Tensor {quoted(self.name)} is no constant.")
        if self.dtype == "int4":
            # The lower half of a byte comes first; shifting back and forth extends the sign.
            pairs = self.data.view("int8")
            halves = np.stack([np.left_shift(pairs, 4) >> 4, pairs >> 4], axis=-1)
            return halves.reshape(-1)[: self.element_count].reshape(self.shape)
        return self.data.view(self.dtype).reshape(self.shape)


def int4_bytes(values: np.ndarray) -> np.ndarray:
    """Packs values of four bits as a .tflite has them, two a byte, the first in the lower half.

    Args:
        values: Whole numbers of -8 to 7.

    Returns:
        uint8 array; the upper half of the last byte is 0 where their number is odd.

    Example:
        >>> int4_bytes(np.array([1, -1, 7])).tolist()
        [241, 7]
    """
    nibbles = values.astype(np.int8).reshape(-1).view(np.uint8) & 15
    first, second = np.pad(nibbles, (0, len(nibbles) % 2)).reshape(-1, 2).T
    return first | second << 4


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """One operator call.

    Attributes:
        index: Position in execution order.
        opcode: TFLite's name, such as `"CONV_2D"`.
        inputs: Tensor indices; an absent optional input is left out.
        outputs: Tensor indices.
        options: What the file says of the operator, as `edge.tflite.options` reads it: stride,
            padding, fused activation and the like.
    """

    index: int
    opcode: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]
