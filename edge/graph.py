"""A typed, immutable view of a .tflite file."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.files import read_file
from edge.shapes import check_operators

FILE_IDENTIFIER = b"TFL3"
OFFLINE_PLAN_NAME = b"OfflineMemoryAllocation"
MOST_TENSORS = 10_000
MOST_BYTES = 2**31 - 1
"""Of a tensor: TFLite Micro counts in 32 bits. Beyond either limit, a file is damaged or not meant
for a microcontroller."""

_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.FLOAT64: "float64",
    schema.TensorType.INT4: "int4",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.BOOL: "bool",
}
_OPCODES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}
_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: "NONE",
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
    schema.ActivationFunctionType.RELU6: "RELU6",
}


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


def read_graph(model: str | os.PathLike | bytes) -> Graph:
    """Reads a .tflite file.

    Args:
        model: A path, or the file's bytes.

    Returns:
        The `Graph`.

    Raises:
        ModelError: If the file is missing, no .tflite, damaged, or has several subgraphs.

    Example:
        >>> read_graph(b"GIF89a")
        Traceback (most recent call last):
        edge.errors.ModelError: The model is not a .tflite file: bytes 4 to 8 are not 'TFL3'.

    Source: the TFLite schema, `schema.fbs` version 3.
    """
    content, where = _content(model)
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError(f"{where} is not a .tflite file: bytes 4 to 8 are not 'TFL3'.")
    try:
        return _parse(content, where)
    except ModelError:
        raise
    # A damaged flatbuffer leads the generated reader anywhere: any failure is the file's.
    except Exception as error:
        raise ModelError(
            f"{where} is damaged or truncated ({len(content)} bytes): {type(error).__name__} while "
            "reading it; convert or copy it again."
        ) from error


def require_int8(graph: Graph, where: str = "The model") -> None:
    """Refuses a model that does not run on int8 kernels alone.

    Args:
        graph: The model.
        where: Its name for the message.

    Raises:
        ModelError: If it has other than one input and output, or computes in another type.

    Example:
        >>> require_int8(Graph((), (), (), (), b""))
        Traceback (most recent call last):
        edge.errors.ModelError: The model must have one input and one output, it has 0 and 0.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(
            f"{where} must have one input and one output, it has {len(graph.inputs)} and "
            f"{len(graph.outputs)}."
        )
    for tensor in (graph.input, graph.output):
        if tensor.dtype != "int8" or tensor.quantization is None:
            raise ModelError(
                f"{where} is not an int8 model: tensor {tensor.name!r} is {tensor.dtype}. Convert "
                "it with edge.convert(model, representative_data=...)."
            )
    for op in graph.operators:
        for index in (*op.inputs, *op.outputs):
            if graph.tensors[index].dtype in ("float32", "float16", "float64"):
                raise ModelError(
                    f"{where} is only partly int8: {op.opcode} (operator {op.index}) computes in "
                    f"{graph.tensors[index].dtype}. Convert it with representative data."
                )


def _content(model: str | os.PathLike | bytes) -> tuple[bytes, str]:
    if isinstance(model, bytes):
        return model, "The model"
    path = pathlib.Path(model)
    try:
        return read_file(path), str(path)
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror or error}.") from error


def _parse(content: bytes, where: str) -> Graph:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ModelError(f"{where} has {model.SubgraphsLength()} subgraphs; edge reads one.")
    subgraph = model.Subgraphs(0)
    opcodes = [
        _opcode(model.OperatorCodes(i)) for i in range(_count(model.OperatorCodesLength(), content))
    ]
    tensors = tuple(
        _tensor(model, subgraph.Tensors(i), i, where)
        for i in range(_count(subgraph.TensorsLength(), content))
    )
    operators = tuple(
        _operator(subgraph.Operators(i), i, opcodes)
        for i in range(_count(subgraph.OperatorsLength(), content))
    )
    graph = Graph(
        tensors,
        operators,
        tuple(int(subgraph.Inputs(i)) for i in range(subgraph.InputsLength())),
        tuple(int(subgraph.Outputs(i)) for i in range(subgraph.OutputsLength())),
        content,
        _offline_offsets(model, len(tensors)),
    )
    _check_references(graph, where)
    check_operators(graph)
    return graph


def _offline_offsets(model: Any, tensor_count: int) -> tuple[int, ...] | None:
    for n in range(model.MetadataLength()):
        entry = model.Metadata(n)
        if entry.Name() == OFFLINE_PLAN_NAME:
            table = model.Buffers(entry.Buffer()).DataAsNumpy().view("<i4")
            if len(table) != 3 + tensor_count or table[2] != tensor_count:
                raise ValueError(f"a memory plan of {len(table)} numbers")
            return tuple(int(offset) for offset in table[3:])
    return None


def _count(length: int, content: bytes) -> int:
    """A vector of tables cannot have more elements than the file has room for their offsets."""
    if length > min(len(content) // 4, MOST_TENSORS):
        raise ValueError(f"a vector of {length} elements")
    return length


def _opcode(code: Any) -> str:
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPCODES.get(number)
    if name is None:
        raise ModelError(f"The model uses operator code {number}, which this schema does not know.")
    if name == "CUSTOM":
        return (code.CustomCode() or b"unnamed").decode("utf-8", "replace")
    return name


def _tensor(model: Any, table: Any, index: int, where: str) -> Tensor:
    dtype = _DTYPES.get(table.Type())
    name = (table.Name() or b"").decode("utf-8", "replace")
    if dtype is None:
        raise ModelError(f"{where}: tensor {name!r} has type code {table.Type()}, unknown to edge.")
    shape = tuple(int(table.Shape(i)) for i in range(table.ShapeLength()))
    signature = [int(table.ShapeSignature(i)) for i in range(table.ShapeSignatureLength())]
    if any(side < 0 for side in shape):
        raise ValueError(f"negative shape {shape}")
    tensor = Tensor(index, name, shape, dtype, _quantization(table), None, -1 in signature)
    if tensor.bytes > MOST_BYTES:
        raise ValueError(f"a tensor of {tensor.bytes} bytes")
    buffer = model.Buffers(table.Buffer())
    if buffer is None or buffer.DataLength() == 0:
        return tensor
    data = buffer.DataAsNumpy()
    if len(data) != tensor.bytes:
        raise ValueError(f"buffer of {len(data)} bytes for a tensor of {tensor.bytes}")
    return dataclasses.replace(tensor, data=data)


def _quantization(table: Any) -> Quantization | None:
    parameters = table.Quantization()
    if parameters is None or parameters.ScaleLength() == 0:
        return None
    scales = tuple(float(s) for s in parameters.ScaleAsNumpy())
    if parameters.ZeroPointLength() == 0:
        zero_points = (0,) * len(scales)
    else:
        zero_points = tuple(int(z) for z in parameters.ZeroPointAsNumpy())
    if len(zero_points) != len(scales) or not all(s > 0 and math.isfinite(s) for s in scales):
        raise ValueError("quantization parameters that are none")
    return Quantization(scales, zero_points, int(parameters.QuantizedDimension()))


def _operator(table: Any, index: int, opcodes: list[str]) -> Operator:
    opcode = opcodes[table.OpcodeIndex()]
    inputs = tuple(int(table.Inputs(i)) for i in range(table.InputsLength()))
    return Operator(
        index,
        opcode,
        tuple(i for i in inputs if i != -1),
        tuple(int(table.Outputs(i)) for i in range(table.OutputsLength())),
        _options(opcode, table.BuiltinOptions()),
    )


def _options(opcode: str, union: Any) -> dict[str, Any]:
    """The builtin options of the operators whose cost and memory edge computes."""
    reader = {
        "CONV_2D": schema.Conv2DOptions,
        "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptions,
        "AVERAGE_POOL_2D": schema.Pool2DOptions,
        "MAX_POOL_2D": schema.Pool2DOptions,
        "FULLY_CONNECTED": schema.FullyConnectedOptions,
        "ADD": schema.AddOptions,
        "MEAN": schema.ReducerOptions,
        "SOFTMAX": schema.SoftmaxOptions,
    }.get(opcode)
    if reader is None or union is None:
        return {}
    table = reader()
    table.Init(union.Bytes, union.Pos)
    options: dict[str, Any] = {}
    if hasattr(table, "Padding"):
        options["padding"] = _PADDINGS[table.Padding()]
        options["stride"] = (int(table.StrideH()), int(table.StrideW()))
    if hasattr(table, "DilationHFactor"):
        options["dilation"] = (int(table.DilationHFactor()), int(table.DilationWFactor()))
    if hasattr(table, "FilterHeight"):
        options["filter"] = (int(table.FilterHeight()), int(table.FilterWidth()))
    if hasattr(table, "FusedActivationFunction"):
        options["activation"] = _ACTIVATIONS.get(table.FusedActivationFunction(), "OTHER")
    if hasattr(table, "Beta"):
        options["beta"] = float(table.Beta())
    if hasattr(table, "KeepDims"):
        options["keep_dims"] = bool(table.KeepDims())
    return options


def _check_references(graph: Graph, where: str) -> None:
    """Every tensor is made before it is read: the order of the file is the order of execution."""
    made = {t.index for t in graph.tensors if t.is_constant} | set(graph.inputs)
    used = [i for op in graph.operators for i in (*op.inputs, *op.outputs)]
    if any(not 0 <= i < len(graph.tensors) for i in (*used, *graph.inputs, *graph.outputs)):
        raise ModelError(f"{where} is damaged: it refers to a tensor that it does not have.")
    for op in graph.operators:
        for index in op.inputs:
            tensor = graph.tensors[index]
            if index not in made and tensor.element_count > 0:
                raise ModelError(
                    f"{where} is damaged: {op.opcode} (operator {op.index}) reads tensor "
                    f"{tensor.name!r} before any operator makes it."
                )
        if not made.isdisjoint(op.outputs):
            raise ModelError(
                f"{where} is damaged: {op.opcode} (operator {op.index}) writes a tensor that is "
                "already there."
            )
        made.update(op.outputs)
    if not graph.operators or any(i not in made for i in graph.outputs):
        raise ModelError(f"{where} has no operator that makes its output.")
