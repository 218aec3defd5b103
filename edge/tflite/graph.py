"""A typed, immutable view of a .tflite file."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge.errors import ModelError


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Quantization parameters: `real = scale * (q - zero_point)`.

    Attributes:
        scales: One scale, or one per slice of `axis`.
        zero_points: As many as `scales`.
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
        index: Position in the file, the identity of the tensor.
        name: As in the file.
        shape: Static shape.
        dtype: NumPy's name of the type, such as `"int8"`.
        quantization: None where the tensor has none.
        data: The constant's elements as read-only bytes, None for an activation.
        is_dynamic: Whether the file leaves a dimension (the batch) open.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: Quantization | None
    data: np.ndarray | None
    is_dynamic: bool = False

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

    def values(self) -> np.ndarray:
        """The elements of a constant.

        Returns:
            Array of `shape` and `dtype`.

        Raises:
            ModelError: If the tensor is an activation.
        """
        if self.data is None:
            raise ModelError(f"Tensor {self.name!r} is no constant.")
        return self.data.view(self.dtype).reshape(self.shape)


@dataclasses.dataclass(frozen=True, eq=False)
class Operator:
    """One operator call.

    Attributes:
        index: Position in execution order.
        opcode: TFLite's name, such as `"CONV_2D"`.
        inputs: Tensor indices; an absent optional input is left out.
        outputs: Tensor indices.
        options: What planning and cost need: stride, padding, fused activation and the like.
    """

    index: int
    opcode: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The only subgraph of a .tflite model.

    Attributes:
        tensors: All tensors, by index.
        operators: In execution order.
        inputs: Indices of the model's inputs.
        outputs: Indices of the model's outputs.
        content: The file's bytes.
        offline_offsets: The memory plan that the file brings, an offset (or -1) per tensor; None
            if it brings none.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    content: bytes
    offline_offsets: tuple[int, ...] | None = None

    @property
    def model_bytes(self) -> int:
        """Size of the file, in bytes."""
        return len(self.content)

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def input(self) -> Tensor:
        """The first input."""
        return self.tensors[self.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.tensors[self.outputs[0]]

    def op_names(self) -> list[str]:
        """The operators used, each once, sorted.

        Returns:
            TFLite operator names.
        """
        return sorted({op.opcode for op in self.operators})

    def macs(self, op: Operator) -> int:
        """Multiply-accumulates of one operator.

        Args:
            op: An operator of this graph.

        Returns:
            The number; 0 for operators that do not multiply by weights.
        """
        if op.opcode not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"):
            return 0
        kernel, output = self.tensors[op.inputs[1]].shape, self.tensors[op.outputs[0]]
        if op.opcode == "DEPTHWISE_CONV_2D":
            return output.element_count * kernel[1] * kernel[2]
        # Every output element takes one slice of the kernel: (out, ...) in TFLite's order.
        return output.element_count * math.prod(kernel[1:])

    def total_macs(self) -> int:
        """Multiply-accumulates of one inference.

        Returns:
            The sum over all operators.
        """
        return sum(self.macs(op) for op in self.operators)
