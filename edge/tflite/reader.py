"""Reads a .tflite file as a graph."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError, quoted, readable
from edge.system.files import read_file
from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.operators import OPERATORS
from edge.tflite.stray_axes import without_stray_axes
from edge.tflite.validate import check_graph

FILE_IDENTIFIER = b"TFL3"
OFFLINE_PLAN_NAME = b"OfflineMemoryAllocation"
LONGEST_PATH = 80
"""The characters of a path in a message that says more than that it cannot be read."""
MOST_TENSORS = 10_000
MOST_BYTES = 2**31 - 1
"""The largest tensor: TFLite Micro counts in 32 bits. Beyond either limit, a file is damaged or not
meant for a microcontroller."""
_DTYPES = {
    schema.TensorType.FLOAT32: "float32",
    schema.TensorType.FLOAT16: "float16",
    schema.TensorType.FLOAT64: "float64",
    schema.TensorType.INT4: "int4",
    schema.TensorType.INT8: "int8",
    schema.TensorType.UINT8: "uint8",
    schema.TensorType.INT16: "int16",
    schema.TensorType.UINT16: "uint16",
    schema.TensorType.INT32: "int32",
    schema.TensorType.UINT32: "uint32",
    schema.TensorType.INT64: "int64",
    schema.TensorType.UINT64: "uint64",
    schema.TensorType.BOOL: "bool",
    schema.TensorType.COMPLEX64: "complex64",
    schema.TensorType.COMPLEX128: "complex128",
}
_TYPE_NAMES = {
    value: name for name, value in vars(schema.TensorType).items() if not name.startswith("_")
}
QUANTIZED_DTYPES = ("int4", "int8", "uint8", "int16", "int32", "int64")
"""The types whose scales mean something; converters leave remains on others."""
_OPCODES = {
    value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")
}


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


def _content(model: str | os.PathLike | bytes) -> tuple[bytes, str]:
    if isinstance(model, bytes):
        return model, "The model"
    path = pathlib.Path(model)
    try:
        return read_file(path), readable(str(path), LONGEST_PATH)
    except (OSError, ValueError) as error:
        # Little else is said, so that the whole path has room.
        said = getattr(error, "strerror", None) or error
        message = f"Cannot read {readable(str(path), 2 * LONGEST_PATH)}: {said}."
        raise ModelError(message) from error


def _parse(content: bytes, where: str) -> Graph:
    model = schema.Model.GetRootAs(content, 0)
    if model.SubgraphsLength() != 1:
        raise ModelError(
            f"{where} has {model.SubgraphsLength()} subgraphs, as IF, WHILE and several signatures "
            "make them; edge reads one. Convert a single function without control flow."
        )
    subgraph = model.Subgraphs(0)
    opcodes = [
        _opcode(model.OperatorCodes(i)) for i in range(_count(model.OperatorCodesLength(), content))
    ]
    tensor_count = _count(subgraph.TensorsLength(), content)
    content = without_stray_axes(content, subgraph)
    model = schema.Model.GetRootAs(content, 0)
    subgraph = model.Subgraphs(0)
    tensors = tuple(_tensor(model, subgraph.Tensors(i), i, where) for i in range(tensor_count))
    operators = tuple(
        _operator(subgraph.Operators(i), i, opcodes)
        for i in range(_count(subgraph.OperatorsLength(), content))
    )
    graph = Graph(
        tensors=tensors,
        operators=operators,
        inputs=tuple(int(subgraph.Inputs(i)) for i in range(subgraph.InputsLength())),
        outputs=tuple(int(subgraph.Outputs(i)) for i in range(subgraph.OutputsLength())),
        content=content,
        offline_offsets=_offline_offsets(model, len(tensors)),
    )
    check_graph(graph, where)
    return graph


def _offline_offsets(model: Any, tensor_count: int) -> tuple[int, ...] | None:
    for n in range(model.MetadataLength()):
        entry = model.Metadata(n)
        if entry.Name() == OFFLINE_PLAN_NAME:
            table = model.Buffers(entry.Buffer()).DataAsNumpy().view("<i4")
            if len(table) != 3 + tensor_count or table[2] != tensor_count:
                raise ValueError(f"a memory plan of {len(table)} numbers")
            if min(table[3:], default=0) < -1:
                raise ValueError("a memory plan with negative offsets")
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
        # Marked, as it may call itself CONV_2D.
        own = (code.CustomCode() or b"unnamed").decode("utf-8", "replace")
        return f"CUSTOM:{readable(own, 40)}"
    return name


def _tensor(model: Any, table: Any, index: int, where: str) -> Tensor:
    dtype = _DTYPES.get(table.Type())
    name = (table.Name() or b"").decode("utf-8", "replace")
    if dtype is None:
        kind = _TYPE_NAMES.get(table.Type(), f"type code {table.Type()}")
        raise ModelError(
            f"{where} has a tensor {quoted(name)} of {kind}, which no kernel of a microcontroller "
            "takes. Leave what makes it out of the model."
        )
    if table.Sparsity() is not None:
        raise ModelError(
            f"{where} stores tensor {quoted(name)} in a sparse form, which no kernel of a "
            "microcontroller reads. Convert the model without sparsity encoding."
        )
    shape = tuple(int(table.Shape(i)) for i in range(table.ShapeLength()))
    signature = [int(table.ShapeSignature(i)) for i in range(table.ShapeSignatureLength())]
    if any(side < 0 for side in shape):
        raise ModelError(
            f"{where} leaves the shape of tensor {quoted(name)} open: {_brief(shape)}. Convert the "
            "model with a fixed input shape."
        )
    tensor = Tensor(
        index=index,
        name=name,
        shape=shape,
        dtype=dtype,
        quantization=_quantization(table, name, where) if dtype in QUANTIZED_DTYPES else None,
        data=None,
        is_dynamic=-1 in signature,
        is_variable=bool(table.IsVariable()),
    )
    if tensor.bytes > MOST_BYTES:
        raise ValueError(f"a tensor of {tensor.bytes} bytes")
    buffer = model.Buffers(table.Buffer())
    if buffer is None or buffer.DataLength() == 0 or tensor.is_variable:
        return tensor
    data = buffer.DataAsNumpy()
    if len(data) != tensor.bytes:
        raise ValueError(f"buffer of {len(data)} bytes for a tensor of {tensor.bytes}")
    return dataclasses.replace(tensor, data=data)


def _brief(shape: tuple[int, ...]) -> str:
    return readable(str(shape), 40)


def _quantization(table: Any, name: str, where: str) -> Quantization | None:
    parameters = table.Quantization()
    if parameters is None or parameters.ScaleLength() == 0:
        return None
    scales = tuple(float(s) for s in parameters.ScaleAsNumpy())
    is_whole = table.Type() in (schema.TensorType.INT32, schema.TensorType.INT64)
    if is_whole and not any(scales):
        # Sizes and axes, which converters give a scale of 0.
        return None
    if parameters.ZeroPointLength() == 0:
        zero_points = (0,) * len(scales)
    else:
        zero_points = tuple(int(z) for z in parameters.ZeroPointAsNumpy())
    if len(zero_points) != len(scales):
        raise ModelError(
            f"{where} gives tensor {quoted(name)} {len(scales)} scales and {len(zero_points)} zero "
            "points, which must be as many. Convert the model again."
        )
    return Quantization(scales, zero_points, int(parameters.QuantizedDimension()))


def _operator(table: Any, index: int, opcodes: list[str]) -> Operator:
    opcode = opcodes[table.OpcodeIndex()]
    inputs = [int(table.Inputs(i)) for i in range(table.InputsLength())]
    rule = OPERATORS.get(opcode)
    while inputs and inputs[-1] == -1:
        inputs.pop()
    if rule is not None and -1 in inputs:
        raise ValueError(f"{opcode} without an input")
    return Operator(
        index=index,
        opcode=opcode,
        inputs=tuple(i for i in inputs if i != -1),
        outputs=tuple(int(table.Outputs(i)) for i in range(table.OutputsLength())),
        options={} if rule is None or rule.options is None else rule.options(table),
    )
