"""A typed, immutable view of a .tflite file."""

from __future__ import annotations

import dataclasses
import hashlib

from edge.tflite.operators import macs
from edge.tflite.tensors import Operator, Quantization, Tensor

__all__ = ["Graph", "Int8Graph", "Operator", "Quantization", "Tensor"]


@dataclasses.dataclass(frozen=True, eq=False)
class Graph:
    """The only subgraph of a .tflite model.

    Attributes:
        tensors: All tensors, by index.
        operators: All operators, in execution order.
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
    def file(self) -> Graph:
        """The model as the file has it that it came in."""
        return self

    @property
    def file_sha256(self) -> str:
        """SHA-256 of the file that the model came in, in hexadecimal."""
        return self.file.sha256

    @property
    def file_dtypes(self) -> tuple[str, str]:
        """The types of the file's input and output, such as `"float32"`."""
        return self.file.input.dtype, self.file.output.dtype

    @property
    def input(self) -> Tensor:
        """The first input."""
        return self.tensors[self.inputs[0]]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.tensors[self.outputs[0]]

    def live_operators(self) -> tuple[Operator, ...]:
        """The operators that the outputs depend on.

        Returns:
            The operators, in execution order.

        Example:
            >>> [op.index for op in graph.live_operators()] == list(range(len(graph.operators)))
            True
        """
        needed, live = set(self.outputs), []
        for op in reversed(self.operators):
            if needed.intersection(op.outputs):
                needed.update(op.inputs)
                live.append(op)
        return tuple(reversed(live))

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
        return macs(self, op)

    def total_macs(self) -> int:
        """Multiply-accumulates of one inference.

        Returns:
            The sum over all operators.
        """
        return sum(self.macs(op) for op in self.operators)


@dataclasses.dataclass(frozen=True, eq=False)
class Int8Graph(Graph):
    """A model that passed the gate: one int8 input, one int8 output, each with one scale.

    Attributes:
        original: The model as its file has it, where its input or output is float32 or uint8; None
            where both are int8.
    """

    original: Graph | None = None

    @property
    def file(self) -> Graph:
        """The model as the file has it that it came in."""
        return self if self.original is None else self.original

    @property
    def input_scale(self) -> float:
        """The scale of the input."""
        return self.input.quantized().scales[0]

    @property
    def input_zero_point(self) -> int:
        """The zero point of the input."""
        return self.input.quantized().zero_points[0]

    @property
    def output_scale(self) -> float:
        """The scale of the output."""
        return self.output.quantized().scales[0]

    @property
    def output_zero_point(self) -> int:
        """The zero point of the output."""
        return self.output.quantized().zero_points[0]
