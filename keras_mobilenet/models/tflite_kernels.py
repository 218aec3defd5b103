"""The kernels of a .tflite file as real numbers, in the order in which they run."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
from ai_edge_litert import schema_py_generated as schema

KINDS = {
    schema.BuiltinOperator.CONV_2D: "conv",
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: "depthwise",
    schema.BuiltinOperator.FULLY_CONNECTED: "dense",
}
DTYPES = {
    schema.TensorType.FLOAT32: "<f4",
    schema.TensorType.INT32: "<i4",
    schema.TensorType.INT8: "i1",
    schema.TensorType.UINT8: "u1",
}
PADDINGS = {schema.Padding.SAME: "same", schema.Padding.VALID: "valid"}
ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: None,
    schema.ActivationFunctionType.RELU: "relu",
    schema.ActivationFunctionType.RELU6: "relu6",
}


@dataclasses.dataclass(frozen=True)
class TfliteKernel:
    """A convolution or fully connected layer of a .tflite file.

    Attributes:
        kind: `"conv"`, `"depthwise"` or `"dense"`.
        kernel: Float array as Keras lays it out: (height, width, inputs, outputs), depthwise
            (height, width, channels, multiplier), dense (inputs, outputs).
        bias: Float array (outputs,).
        strides: Step in pixels; 1 for dense.
        padding: The convolution's own: `"same"` or `"valid"`; `"valid"` for dense.
        activation: What is fused: None, `"relu"` or `"relu6"`.
    """

    kind: str
    kernel: np.ndarray
    bias: np.ndarray
    strides: int
    padding: str
    activation: str | None


def read_kernels(path: str | os.PathLike) -> tuple[tuple[int, ...], list[TfliteKernel]]:
    """Reads a .tflite file's kernels, float, int8 per channel or uint8 per tensor.

    Args:
        path: The file.

    Returns:
        Shape of the input (height, width, channels), and the kernels in order of execution.

    Raises:
        ValueError: If the file is no .tflite or damaged, or an operator has a type or activation
            that no MobileNet has.

    Example:
        >>> shape, kernels = read_kernels("model.tflite")
        >>> shape, [kernel.kind for kernel in kernels]
        ((8, 8, 3), ['conv', 'depthwise', 'conv', 'dense'])

    Source: the TFLite schema, and the TFLite 8-bit quantization specification.
    """
    content = pathlib.Path(path).read_bytes()
    if content[4:8] != b"TFL3":
        raise ValueError(f"{os.fspath(path)} is not a .tflite file.")
    try:
        return _kernels_of(schema.Model.GetRootAs(content, 0))
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from error
    # A damaged flatbuffer leads the generated reader anywhere: any failure is the file's.
    except Exception as error:
        raise ValueError(
            f"{os.fspath(path)} is damaged: {type(error).__name__} while reading its kernels; "
            "convert or copy it again."
        ) from error


def _kernels_of(model) -> tuple[tuple[int, ...], list[TfliteKernel]]:
    graph = model.Subgraphs(0)
    kernels = []
    for number in range(graph.OperatorsLength()):
        op = graph.Operators(number)
        code = model.OperatorCodes(op.OpcodeIndex())
        kind = KINDS.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
        if kind is not None:
            kernels.append(_kernel(model, graph, op, kind))
    shape = graph.Tensors(graph.Inputs(0)).ShapeAsNumpy()
    return tuple(int(side) for side in shape[1:]), kernels


def _kernel(model, graph, op, kind: str) -> TfliteKernel:
    kernel = _real_values(model, graph.Tensors(op.Inputs(1)))
    # Otherwise (outputs, height, width, inputs), and for depthwise (1, height, width, channels).
    kernel = kernel.T if kind == "dense" else kernel.transpose(1, 2, 3, 0)
    has_bias = op.InputsLength() > 2 and op.Inputs(2) >= 0
    outputs = kernel.shape[-2] if kind == "depthwise" else kernel.shape[-1]
    bias = _real_values(model, graph.Tensors(op.Inputs(2))) if has_bias else np.zeros(outputs)
    options = {
        "conv": schema.Conv2DOptions,
        "depthwise": schema.DepthwiseConv2DOptions,
        "dense": schema.FullyConnectedOptions,
    }[kind]()
    union = op.BuiltinOptions()
    options.Init(union.Bytes, union.Pos)
    activation = options.FusedActivationFunction()
    if activation not in ACTIVATIONS:
        raise ValueError(f"a {kind} layer has fused activation {activation}, which is no ReLU.")
    if kind == "depthwise":
        kernel = kernel.reshape(*kernel.shape[:2], -1, options.DepthMultiplier())
    is_dense = kind == "dense"
    return TfliteKernel(
        kind=kind,
        kernel=kernel,
        bias=bias.reshape(-1),
        strides=1 if is_dense else int(options.StrideH()),
        padding="valid" if is_dense else PADDINGS[options.Padding()],
        activation=ACTIVATIONS[activation],
    )


def _real_values(model, tensor) -> np.ndarray:
    if tensor.Type() not in DTYPES:
        raise ValueError(f"a kernel or bias has type code {tensor.Type()}, which none has.")
    data = model.Buffers(tensor.Buffer()).DataAsNumpy()
    values = np.frombuffer(bytes(data), DTYPES[tensor.Type()]).reshape(tensor.ShapeAsNumpy())
    parameters = tensor.Quantization()
    if parameters is None or parameters.ScaleLength() == 0:
        return values.astype(np.float64)
    scales = parameters.ScaleAsNumpy().astype(np.float64)
    points = parameters.ZeroPointAsNumpy() if parameters.ZeroPointLength() else np.zeros(1)
    shape = [1] * values.ndim
    if len(scales) > 1:
        # Old converters gave a bias the axis of its kernel; a vector has but one.
        axis = parameters.QuantizedDimension() if values.ndim > 1 else 0
        if not 0 <= axis < values.ndim or values.shape[axis] != len(scales):
            raise ValueError(f"a kernel or bias of shape {values.shape} has {len(scales)} scales.")
        shape[axis] = len(scales)
    return (values.astype(np.float64) - points.reshape(shape if len(points) > 1 else -1)) * (
        scales.reshape(shape)
    )
