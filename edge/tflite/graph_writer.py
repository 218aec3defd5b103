"""Writes a graph as a new .tflite."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.tflite.graph import Graph, Operator, Tensor
from edge.tflite.writer import AlignedBuffer, pack

SCHEMA_VERSION = 3

OPERATOR_TABLES: dict[str, tuple[str | None, int]] = {
    "CONV_2D": ("Conv2DOptions", 3),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", 3),
    "FULLY_CONNECTED": ("FullyConnectedOptions", 4),
    "ADD": ("AddOptions", 2),
    "AVERAGE_POOL_2D": ("Pool2DOptions", 2),
    "MAX_POOL_2D": ("Pool2DOptions", 2),
    "MEAN": ("ReducerOptions", 2),
    "REDUCE_MAX": ("ReducerOptions", 2),
    "CONCATENATION": ("ConcatenationOptions", 2),
    "PAD": ("PadOptions", 2),
    "RESHAPE": ("ReshapeOptions", 1),
    "SOFTMAX": ("SoftmaxOptions", 2),
    "QUANTIZE": ("QuantizeOptions", 2),
    "LEAKY_RELU": ("LeakyReluOptions", 2),
    "LOGISTIC": (None, 2),
    "TANH": (None, 2),
    "RELU": (None, 2),
    "RELU6": (None, 2),
    "HARD_SWISH": ("HardSwishOptions", 1),
}
"""The operators that can be written: the schema's table of their options, and the version of the
operator that takes int8."""

INT4_VERSIONS = {"CONV_2D": 7, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 10}
"""The version of each operator that takes weights of four bits. LiteRT's reference kernels take
them in DEPTHWISE_CONV_2D, too, but are not registered for its version 7."""

Code = tuple[str, int]
"""An operator and its version."""


def graph_bytes(graph: Graph) -> bytes:
    """Writes a graph of int8 operators as a .tflite.

    Args:
        graph: The graph; its own `content` is not read.

    Returns:
        The file's bytes.

    Raises:
        KeyError: If an operator is not one of `OPERATOR_TABLES`.

    Example:
        >>> from edge.tflite.reader import read_graph
        >>> again = read_graph(graph_bytes(graph))
        >>> again.op_names() == graph.op_names(), again.total_macs() == graph.total_macs()
        (True, True)

    Source: the TFLite schema, `schema.fbs` version 3; `versions/op_version.cc`.
    """
    subgraph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.subgraphs, model.buffers = SCHEMA_VERSION, [subgraph], [AlignedBuffer()]
    model.description = "keras-mobilenet"
    subgraph.name = "main"
    subgraph.inputs, subgraph.outputs = list(graph.inputs), list(graph.outputs)
    subgraph.tensors = [_tensor(model, tensor) for tensor in graph.tensors]
    codes = list(dict.fromkeys(_code(graph, op) for op in graph.operators))
    model.operatorCodes = [_operator_code(*code) for code in codes]
    subgraph.operators = [_operator(graph, op, codes) for op in graph.operators]
    return pack(model)


def _tensor(model: schema.ModelT, tensor: Tensor) -> schema.TensorT:
    made = schema.TensorT()
    made.name, made.shape, made.buffer = tensor.name, list(tensor.shape), 0
    made.type = getattr(schema.TensorType, tensor.dtype.upper())
    made.hasRank = True
    if tensor.data is not None:
        made.buffer = len(model.buffers)
        model.buffers.append(AlignedBuffer())
        model.buffers[-1].data = tensor.data
    if tensor.quantization is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.array(tensor.quantization.scales, np.float32)
        made.quantization.zeroPoint = np.array(tensor.quantization.zero_points, np.int64)
        made.quantization.quantizedDimension = tensor.quantization.axis
    return made


def _code(graph: Graph, op: Operator) -> Code:
    is_int4 = any(graph.tensors[index].dtype == "int4" for index in op.inputs)
    return op.opcode, INT4_VERSIONS[op.opcode] if is_int4 else OPERATOR_TABLES[op.opcode][1]


def _operator_code(opcode: str, version: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode = getattr(schema.BuiltinOperator, opcode)
    # What readers of older files look at; codes of today do not fit into its byte.
    code.deprecatedBuiltinCode = min(code.builtinCode, 127)
    code.version = version
    return code


def _operator(graph: Graph, op: Operator, codes: list[Code]) -> schema.OperatorT:
    made = schema.OperatorT()
    made.opcodeIndex = codes.index(_code(graph, op))
    made.inputs, made.outputs = list(op.inputs), list(op.outputs)
    table = OPERATOR_TABLES[op.opcode][0]
    if table is not None:
        made.builtinOptionsType = getattr(schema.BuiltinOptions, table)
        made.builtinOptions = getattr(schema, f"{table}T")()
        for field, value in _schema_fields(graph, op).items():
            setattr(made.builtinOptions, field, value)
    return made


def _schema_fields(graph: Graph, op: Operator) -> dict[str, Any]:
    """An operator's options under the schema's names."""
    fields: dict[str, Any] = {}
    options = op.options
    if "activation" in options:
        kinds = schema.ActivationFunctionType
        fields["fusedActivationFunction"] = getattr(kinds, options["activation"])
    if "stride" in options:
        fields["padding"] = getattr(schema.Padding, options["padding"])
        fields["strideH"], fields["strideW"] = options["stride"]
    if "dilation" in options:
        fields["dilationHFactor"], fields["dilationWFactor"] = options["dilation"]
    if "filter" in options:
        fields["filterHeight"], fields["filterWidth"] = options["filter"]
    if op.opcode == "RESHAPE":
        fields["newShape"] = list(graph.tensors[op.outputs[0]].shape)
    if op.opcode == "DEPTHWISE_CONV_2D":
        inputs, outputs = (graph.tensors[i].shape[3] for i in (op.inputs[0], op.outputs[0]))
        fields["depthMultiplier"] = outputs // inputs
    for option, field in (
        ("keep_dims", "keepDims"),
        ("beta", "beta"),
        ("axis", "axis"),
        ("alpha", "alpha"),
    ):
        if option in options:
            fields[field] = options[option]
    return fields
