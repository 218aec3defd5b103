"""What the examples in the docstrings may use: `graph`, a small int8 network."""

from __future__ import annotations

import pytest


def _small_model() -> bytes:
    """A .tflite of an image of 8x8 pixels: convolutions, a residual sum, pooling, two classes."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    from edge.tflite_file import AlignedBuffer, pack

    rng = np.random.default_rng(0)
    subgraph, model = schema.SubGraphT(), schema.ModelT()
    model.version, model.subgraphs, model.buffers = 3, [subgraph], [AlignedBuffer()]
    model.operatorCodes, subgraph.tensors, subgraph.operators = [], [], []

    def tensor(name, shape, scales=(), zero_point=0, values=None, axis=0):
        made = schema.TensorT()
        made.name, made.shape, made.buffer = name, list(shape), 0
        made.type = schema.TensorType.INT8
        if values is not None:
            made.buffer = len(model.buffers)
            buffer = AlignedBuffer()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            model.buffers.append(buffer)
            if values.dtype == np.int32:
                made.type = schema.TensorType.INT32
        if scales:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = list(scales)
            made.quantization.zeroPoint = [zero_point] * len(scales)
            made.quantization.quantizedDimension = axis
        subgraph.tensors.append(made)
        return len(subgraph.tensors) - 1

    def operator(name, inputs, output, options, **fields):
        code, made = schema.OperatorCodeT(), schema.OperatorT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, name)
        code.version = 1
        made.opcodeIndex = len(model.operatorCodes)
        model.operatorCodes.append(code)
        made.inputs, made.outputs = inputs, [output]
        made.builtinOptionsType = getattr(schema.BuiltinOptions, options)
        made.builtinOptions = getattr(schema, f"{options}T")()
        for field, value in fields.items():
            setattr(made.builtinOptions, field, value)
        subgraph.operators.append(made)
        return output

    def weights(name, shape, axis, source_scale):
        channels = shape[axis]
        kernel = rng.integers(-127, 128, shape, np.int8)
        bias = rng.integers(-20000, 20000, channels, np.int32)
        scales = [2.0**-9] * channels
        return [
            tensor(f"{name}/kernel", shape, scales, values=kernel, axis=axis),
            tensor(f"{name}/bias", (channels,), [source_scale * 2.0**-9] * channels, values=bias),
        ]

    relu6 = {"fusedActivationFunction": schema.ActivationFunctionType.RELU6}
    square = {"strideW": 1, "strideH": 1, "dilationWFactor": 1, "dilationHFactor": 1}
    grid = ((2.0**-5,), -128)
    image = tensor("image", (1, 8, 8, 3), (2.0**-7,), 0)
    stem = operator(
        "CONV_2D",
        [image, *weights("stem", (4, 3, 3, 3), 0, 2.0**-7)],
        tensor("stem", (1, 4, 4, 4), *grid),
        "Conv2DOptions",
        **relu6 | square | {"strideW": 2, "strideH": 2},
    )
    depthwise = operator(
        "DEPTHWISE_CONV_2D",
        [stem, *weights("depthwise", (1, 3, 3, 4), 3, 2.0**-5)],
        tensor("depthwise", (1, 4, 4, 4), *grid),
        "DepthwiseConv2DOptions",
        **relu6 | square | {"depthMultiplier": 1},
    )
    pointwise = operator(
        "CONV_2D",
        [depthwise, *weights("pointwise", (4, 1, 1, 4), 0, 2.0**-5)],
        tensor("pointwise", (1, 4, 4, 4), (2.0**-5,), 0),
        "Conv2DOptions",
        **square,
    )
    total = operator(
        "ADD",
        [stem, pointwise],
        tensor("sum", (1, 4, 4, 4), (2.0**-4,), -64),
        "AddOptions",
    )
    pooled = operator(
        "MEAN",
        [total, tensor("axes", (2,), values=np.array([1, 2], np.int32))],
        tensor("pooled", (1, 4), (2.0**-4,), -64),
        "ReducerOptions",
        keepDims=False,
    )
    logits = operator(
        "FULLY_CONNECTED",
        [pooled, *weights("logits", (2, 4), 0, 2.0**-4)],
        tensor("logits", (1, 2), (2.0**-4,), 0),
        "FullyConnectedOptions",
    )
    classes = operator(
        "SOFTMAX",
        [logits],
        tensor("classes", (1, 2), (2.0**-8,), -128),
        "SoftmaxOptions",
        beta=1.0,
    )
    subgraph.inputs, subgraph.outputs = [image], [classes]
    return pack(model)


@pytest.fixture(scope="session", autouse=True)
def _example_names(doctest_namespace):
    from edge.graph import read_graph

    doctest_namespace["graph"] = read_graph(_small_model())
