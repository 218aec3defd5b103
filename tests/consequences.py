"""What follows from a change of a model: shapes, weights and scales are brought in line."""

from __future__ import annotations

import copy
import math

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge.tflite.writer import AlignedBuffer

OPCODES = {number: name for name, number in vars(schema.BuiltinOperator).items()}
SAME_SCALE = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "RESHAPE")
"""The engine takes these with one scale on both sides."""
KERNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


def opcode(model, op) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    return OPCODES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")


def follow(model, generator) -> None:
    """Brings shapes, weights and scales that follow from others in line with these."""
    subgraph = model.subgraphs[0]
    for op in subgraph.operators:
        name = opcode(model, op)
        source, made = subgraph.tensors[op.inputs[0]], subgraph.tensors[op.outputs[0]]
        rule = SHAPES.get(name, _kept)
        made.shape = [int(n) for n in rule(model, op, source.shape, generator)]
        made.shapeSignature = None
        if name in SAME_SCALE and made.quantization is not None:
            made.quantization = copy.deepcopy(source.quantization)
        if name in KERNEL_AXES and len(op.inputs) > 2:
            _follow_bias(subgraph, op)


def _follow_bias(subgraph, op):
    source, kernel, bias = (subgraph.tensors[i] for i in op.inputs[:3])
    if bias.quantization is None or kernel.quantization is None or source.quantization is None:
        return
    if bias.quantization.scale is not None and source.quantization.scale is not None:
        scales = np.array(kernel.quantization.scale, np.float64)
        bias.quantization.scale = (scales * source.quantization.scale[0]).astype(np.float32)
        bias.quantization.zeroPoint = np.zeros(len(scales), np.int64)


def _kept(model, op, shape, generator):
    return shape


def _slid(model, op, shape, generator):
    table, channels = op.builtinOptions, shape[3]
    if hasattr(table, "filterHeight"):
        window, dilations = (table.filterHeight, table.filterWidth), (1, 1)
    else:
        kernel = model.subgraphs[0].tensors[op.inputs[1]]
        if opcode(model, op) == "CONV_2D" and channels % kernel.shape[3]:
            draw(model, kernel, [*kernel.shape[:3], channels], generator)
        elif opcode(model, op) != "CONV_2D" and kernel.shape[3] != channels * table.depthMultiplier:
            table.depthMultiplier = generator.choice((1, 1, 2, 3))
            resize(model, op, channels * table.depthMultiplier, generator)
        window, dilations = kernel.shape[1:3], (table.dilationHFactor, table.dilationWFactor)
        channels = kernel.shape[KERNEL_AXES[opcode(model, op)]]
    strides = (table.strideH, table.strideW)
    sides = [
        (n - ((w - 1) * d + 1 if table.padding == schema.Padding.VALID else 1)) // s + 1
        for n, w, d, s in zip(shape[1:3], window, dilations, strides, strict=True)
    ]
    return [shape[0], *sides, channels]


def _dense(model, op, shape, generator):
    weights = model.subgraphs[0].tensors[op.inputs[1]]
    if weights.shape[1] != math.prod(shape):
        draw(model, weights, [weights.shape[0], math.prod(shape)], generator)
    return [1, weights.shape[0]]


def _averaged(model, op, shape, generator):
    axes = np.array(model.buffers[model.subgraphs[0].tensors[op.inputs[1]].buffer].data, np.uint8)
    gone = {int(axis) % len(shape) for axis in axes.view("<i4")}
    if op.builtinOptions.keepDims:
        return [1 if n in gone else size for n, size in enumerate(shape)]
    return [size for n, size in enumerate(shape) if n not in gone]


def _padded(model, op, shape, generator):
    pads = np.array(model.buffers[model.subgraphs[0].tensors[op.inputs[1]].buffer].data, np.uint8)
    return np.add(shape, pads.view("<i4").reshape(-1, 2).sum(axis=1))


def _reshaped(model, op, shape, generator):
    stated = model.subgraphs[0].tensors[op.outputs[0]].shape
    if math.prod(stated) == math.prod(shape):
        return stated
    flat = [1, math.prod(shape)]
    if op.builtinOptions is not None:
        op.builtinOptions.newShape = flat
    if len(op.inputs) > 1:
        store(model, model.subgraphs[0].tensors[op.inputs[1]], np.array(flat, np.int32))
    return flat


SHAPES = {
    "CONV_2D": _slid,
    "DEPTHWISE_CONV_2D": _slid,
    "AVERAGE_POOL_2D": _slid,
    "MAX_POOL_2D": _slid,
    "FULLY_CONNECTED": _dense,
    "MEAN": _averaged,
    "PAD": _padded,
    "RESHAPE": _reshaped,
}


def store(model, tensor, values):
    """Gives a tensor values of its own."""
    tensor.buffer, tensor.shape = len(model.buffers), list(values.shape)
    model.buffers.append(AlignedBuffer())
    model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)


def draw(model, tensor, shape, generator):
    rng = np.random.default_rng(generator.randrange(2**32))
    store(model, tensor, rng.integers(-127, 128, shape, np.int8))
    tensor.type = schema.TensorType.INT8


def resize(model, op, count, generator):
    """Gives an operator other channels: weights anew, biases and scales over again."""
    subgraph, axis = model.subgraphs[0], KERNEL_AXES[opcode(model, op)]
    kernel = subgraph.tensors[op.inputs[1]]
    shape = list(kernel.shape)
    shape[axis] = count
    draw(model, kernel, shape, generator)
    ends = [kernel]
    if len(op.inputs) > 2:
        bias = subgraph.tensors[op.inputs[2]]
        values = np.array(model.buffers[bias.buffer].data, np.uint8).view("<i4")
        store(model, bias, np.resize(values, count))
        ends.append(bias)
    for tensor in ends:
        q = tensor.quantization
        if q is not None and q.scale is not None and len(q.scale) > 1:
            q.scale, q.zeroPoint = np.resize(q.scale, count), np.zeros(count, np.int64)
