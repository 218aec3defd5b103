"""Models with something changed that an interpreter still runs, from a seed.

Numbers go to their ends, windows, outputs and operators move; shapes and scales that follow from
them are computed anew. Beside them stand some changes of `mutants`, which know no restraint.
"""

from __future__ import annotations

import copy
import functools
import math
import random

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from graph_builder import tflite_of
from mutants import change_wildly, opened, originals
from networks import random_graph, small_tflite

from edge.tflite.writer import AlignedBuffer, pack

OPCODES = {number: name for name, number in vars(schema.BuiltinOperator).items()}
MOST_BYTES = 70_000
"""Of a model that is compiled a hundred times."""
BIASES = (-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1)
WEIGHTS = (-128, -127, -1, 0, 1, 127)
ZERO_POINTS = (-128, -127, -1, 0, 1, 126, 127)
FACTORS = (1e-6, 1e-3, 0.1, 0.5, 0.7, 1.3, 2.0, 10.0, 1e3, 1e6)
SAME_SCALE = ("AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "RESHAPE")
"""The engine takes these with one scale on both sides."""
KERNEL_AXES = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3, "FULLY_CONNECTED": 0}


@functools.cache
def real_models() -> list[bytes]:
    return [content for content in originals() if len(content) <= MOST_BYTES]


def gentle_mutant(seed: int) -> bytes:
    """A model of the seed: a random network, the small one or a real one, mostly changed."""
    generator = random.Random(seed)
    kind = generator.random()
    if kind < 0.5:
        content = tflite_of(random_graph(seed, generator.choice((0.0, 0.0, 0.4))))
    else:
        content = small_tflite() if kind < 0.65 else generator.choice(real_models())
    model = opened(content)
    if generator.random() < 0.15:
        change_wildly(model, generator)
        return pack(model)
    for _ in range(generator.choice((1, 2, 2, 3, 4, 6))):
        generator.choice(CHANGES)(model, model.subgraphs[0], generator)
    follow(model, generator)
    return pack(model)


def opcode(model, op) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    return OPCODES.get(max(code.builtinCode, code.deprecatedBuiltinCode), "")


def _operators(model, *names):
    return [op for op in model.subgraphs[0].operators if not names or opcode(model, op) in names]


def _is_constant(model, tensor):
    data = model.buffers[tensor.buffer].data
    return data is not None and len(data) > 0


def _store(model, tensor, values):
    """Gives a tensor values of its own."""
    tensor.buffer, tensor.shape = len(model.buffers), list(values.shape)
    model.buffers.append(AlignedBuffer())
    model.buffers[-1].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)


def _scale(model, subgraph, generator):
    made = [i for op in subgraph.operators for i in op.outputs] + subgraph.inputs
    q = subgraph.tensors[generator.choice(made)].quantization
    if q is None or q.scale is None or len(q.scale) != 1:
        return
    if generator.random() < 0.6:
        q.scale = np.array(q.scale, np.float32) * np.float32(generator.choice(FACTORS))
    if generator.random() < 0.6:
        q.zeroPoint = [generator.choice((*ZERO_POINTS, generator.randrange(-128, 128)))]


def _kernel_scale(model, subgraph, generator):
    for op in _some(_operators(model, *KERNEL_AXES), generator):
        q = subgraph.tensors[op.inputs[1]].quantization
        scales = np.array(q.scale, np.float32)
        chosen = generator.randrange(len(scales)) if generator.random() < 0.5 else slice(None)
        scales[chosen] *= np.float32(generator.choice((*FACTORS, 1e-12, 1e-20)))
        q.scale = scales


def _one_scale(model, subgraph, generator):
    """One scale for all channels, or one for each."""
    for op in _some(_operators(model, *KERNEL_AXES), generator):
        kernel = subgraph.tensors[op.inputs[1]]
        scale, axis = kernel.quantization.scale[0], KERNEL_AXES[opcode(model, op)]
        count = 1 if len(kernel.quantization.scale) > 1 else kernel.shape[axis]
        kernel.quantization.scale = np.full(count, scale, np.float32)
        kernel.quantization.zeroPoint = np.zeros(count, np.int64)
        kernel.quantization.quantizedDimension = 0 if count == 1 else axis


def _bias(model, subgraph, generator):
    for op in _some(_operators(model, *KERNEL_AXES), generator):
        if len(op.inputs) < 3:
            continue
        if generator.random() < 0.15 and opcode(model, op) != "CONV_2D":
            # LiteRT runs no CONV_2D without one.
            del op.inputs[2:]
            continue
        tensor = subgraph.tensors[op.inputs[2]]
        values = np.array(model.buffers[tensor.buffer].data, np.uint8).view("<i4").copy()
        number = generator.choice((*BIASES, generator.randrange(-(2**31), 2**31)))
        values[_part(len(values), generator)] = number
        _store(model, tensor, values)


def _weights(model, subgraph, generator):
    for op in _some(_operators(model, *KERNEL_AXES), generator):
        tensor = subgraph.tensors[op.inputs[1]]
        if tensor.type != schema.TensorType.INT8:
            return
        values = np.array(model.buffers[tensor.buffer].data, np.uint8).view(np.int8).copy()
        part = _part(len(values), generator)
        if generator.random() < 0.7:
            values[part] = generator.choice(WEIGHTS)
        else:
            rng = np.random.default_rng(generator.randrange(2**32))
            values[part] = rng.integers(-128, 128, len(values), np.int8)[part]
        _store(model, tensor, values.reshape(tensor.shape))


def _some(found, generator):
    return found if generator.random() < 0.2 else [generator.choice(found)] if found else []


def _part(count, generator):
    """All, every second, the last ones, or one."""
    one = generator.randrange(count)
    return generator.choice(
        (slice(None), slice(None, None, 2), slice(one, None), slice(one, one + 1))
    )


def _activation(model, subgraph, generator):
    tables = [op.builtinOptions for op in subgraph.operators]
    tables = [table for table in tables if hasattr(table, "fusedActivationFunction")]
    for table in _some(tables, generator):
        table.fusedActivationFunction = generator.randrange(4)


def _window(model, subgraph, generator):
    tables = [op.builtinOptions for op in subgraph.operators]
    for table in _some([table for table in tables if hasattr(table, "strideH")], generator):
        kind = generator.randrange(4)
        if kind == 0:
            table.padding = 1 - table.padding
        elif kind == 1:
            table.strideH, table.strideW = generator.randrange(1, 5), generator.randrange(1, 5)
        elif hasattr(table, "filterHeight"):
            table.filterHeight = generator.randrange(1, 6)
            table.filterWidth = generator.randrange(1, 6)
        else:
            table.dilationHFactor = generator.randrange(1, 4)
            table.dilationWFactor = generator.randrange(1, 4)


def _kernel_sides(model, subgraph, generator):
    found = _operators(model, "CONV_2D", "DEPTHWISE_CONV_2D")
    if found:
        tensor = subgraph.tensors[generator.choice(found).inputs[1]]
        sides = [generator.randrange(1, 6), generator.randrange(1, 6)]
        _draw(model, tensor, [tensor.shape[0], *sides, tensor.shape[3]], generator)


def _draw(model, tensor, shape, generator):
    rng = np.random.default_rng(generator.randrange(2**32))
    _store(model, tensor, rng.integers(-127, 128, shape, np.int8))
    tensor.type = schema.TensorType.INT8


def _pads(model, subgraph, generator):
    for op in _operators(model, "PAD"):
        sides = [[0, 0], *([generator.randrange(4) for _ in "ab"] for _ in "hw"), [0, 0]]
        _store(model, subgraph.tensors[op.inputs[1]], np.array(sides, np.int32))


def _input_sides(model, subgraph, generator):
    shape = subgraph.tensors[subgraph.inputs[0]].shape
    if len(shape) == 4:
        shape[1], shape[2] = generator.randrange(1, 20), generator.randrange(1, 20)


def _output(model, subgraph, generator):
    subgraph.outputs = [generator.choice([i for op in subgraph.operators for i in op.outputs])]


def _twin(model, subgraph, generator):
    """An operator once more, whose output nobody reads, or which becomes a second input of ADD."""
    op = generator.choice(subgraph.operators)
    twin, made = copy.deepcopy(op), copy.deepcopy(subgraph.tensors[op.outputs[0]])
    twin.outputs = [len(subgraph.tensors)]
    subgraph.tensors.append(made)
    subgraph.operators.insert(subgraph.operators.index(op) + 1, twin)
    for addition in _operators(model, "ADD"):
        if op.outputs[0] in addition.inputs and generator.random() < 0.5:
            addition.inputs = [op.outputs[0], twin.outputs[0]]


def _double(model, subgraph, generator):
    """An ADD reads one tensor twice, or its two the other way round."""
    for addition in _some(_operators(model, "ADD"), generator):
        first, second = addition.inputs[:2]
        addition.inputs = generator.choice(([first, first], [second, second], [second, first]))


def _drop(model, subgraph, generator):
    """Takes an operator out; its readers read what it read."""
    found = [
        op
        for op in subgraph.operators
        if subgraph.tensors[op.inputs[0]].shape[-1:] == subgraph.tensors[op.outputs[0]].shape[-1:]
    ]
    if not found or len(subgraph.operators) < 2:
        return
    dropped = generator.choice(found)
    subgraph.operators.remove(dropped)
    swap = {dropped.outputs[0]: dropped.inputs[0]}
    for op in subgraph.operators:
        op.inputs = [swap.get(i, i) for i in op.inputs]
    subgraph.outputs = [swap.get(i, i) for i in subgraph.outputs]


def _beta(model, subgraph, generator):
    for op in _operators(model, "SOFTMAX"):
        op.builtinOptions.beta = generator.choice((1e-6, 0.01, 0.5, 1.0, 3.0, 100.0, 1e6))


CHANGES = (
    *(_scale, _scale, _kernel_scale, _bias, _bias, _weights, _activation, _window, _window),
    *(_kernel_sides, _input_sides, _output, _twin, _double, _drop, _beta, _one_scale, _pads),
)


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
        kernel = model.subgraphs[0].tensors[op.inputs[1]].shape
        window, dilations = kernel[1:3], (table.dilationHFactor, table.dilationWFactor)
        channels = kernel[KERNEL_AXES[opcode(model, op)]]
    strides = (table.strideH, table.strideW)
    sides = [
        (n - ((w - 1) * d + 1 if table.padding == schema.Padding.VALID else 1)) // s + 1
        for n, w, d, s in zip(shape[1:3], window, dilations, strides, strict=True)
    ]
    return [shape[0], *sides, channels]


def _dense(model, op, shape, generator):
    weights = model.subgraphs[0].tensors[op.inputs[1]]
    if weights.shape[1] != math.prod(shape):
        _draw(model, weights, [weights.shape[0], math.prod(shape)], generator)
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
        _store(model, model.subgraphs[0].tensors[op.inputs[1]], np.array(flat, np.int32))
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
