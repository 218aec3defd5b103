"""Models with something changed that an interpreter still runs, from a seed.

Numbers go to their ends, windows, outputs and operators move; shapes and scales that follow from
them are computed anew. Beside them stand some changes of `mutants`, which know no restraint.
"""

from __future__ import annotations

import copy
import functools
import random

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from consequences import KERNEL_AXES, draw, follow, opcode, resize, store
from mutants import change_wildly, opened, originals
from networks import random_graph, small_tflite

from edge.tflite.graph_writer import graph_bytes
from edge.tflite.writer import pack

MOST_BYTES = 70_000
"""Of a model that is compiled a hundred times."""
BIASES = (-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30, 2**31 - 1)
WEIGHTS = (-128, -127, -1, 0, 1, 127)
ZERO_POINTS = (-128, -127, -1, 0, 1, 126, 127)
FACTORS = (1e-6, 1e-3, 0.1, 0.5, 0.7, 1.3, 2.0, 10.0, 1e3, 1e6)
CHANNELS = (1, 2, 3, 5, 8, 15, 16, 17, 31, 32, 33, 64, 100)


@functools.cache
def real_models() -> list[bytes]:
    return [content for content in originals() if len(content) <= MOST_BYTES]


def gentle_mutant(seed: int) -> bytes:
    """A model of the seed: a random network, the small one or a real one, mostly changed."""
    generator = random.Random(seed)
    kind = generator.random()
    if kind < 0.5:
        content = graph_bytes(random_graph(seed, generator.choice((0.0, 0.0, 0.4))))
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


def _operators(model, *names):
    return [op for op in model.subgraphs[0].operators if not names or opcode(model, op) in names]


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
        store(model, tensor, values)


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
        store(model, tensor, values.reshape(tensor.shape))


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
        draw(model, tensor, [tensor.shape[0], *sides, tensor.shape[3]], generator)


def _channels(model, subgraph, generator):
    for op in _some(_operators(model, "CONV_2D", "FULLY_CONNECTED"), generator):
        counts = CHANNELS if opcode(model, op) == "CONV_2D" else (*CHANNELS, 511, 513, 1200)
        resize(model, op, generator.choice(counts), generator)


def _pads(model, subgraph, generator):
    for op in _operators(model, "PAD"):
        sides = [[0, 0], *([generator.randrange(4) for _ in "ab"] for _ in "hw"), [0, 0]]
        store(model, subgraph.tensors[op.inputs[1]], np.array(sides, np.int32))


def _input_sides(model, subgraph, generator):
    shape = subgraph.tensors[subgraph.inputs[0]].shape
    if len(shape) == 4:
        longest = generator.choice((20, 20, 20, 300))
        shape[1], shape[2] = generator.randrange(1, longest), generator.randrange(1, 20)
        if generator.random() < 0.3:
            shape[1], shape[2] = shape[2], shape[1]


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


def _lengthen(model, subgraph, generator):
    """Puts one or many QUANTIZE behind an operator: the program of the engine grows."""
    at = generator.randrange(len(subgraph.operators))
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)
    readers = subgraph.operators[at + 1 :]
    first = last = subgraph.operators[at].outputs[0]
    for n in range(generator.choice((1, 1, 1, 2, 2, 3, 3, 140))):
        made, op = copy.deepcopy(subgraph.tensors[first]), schema.OperatorT()
        op.opcodeIndex, op.inputs = len(model.operatorCodes) - 1, [last]
        last = len(subgraph.tensors)
        op.outputs, made.name = [last], b"longer"
        subgraph.tensors.append(made)
        subgraph.operators.insert(at + 1 + n, op)
    for op in readers:
        op.inputs = [last if i == first else i for i in op.inputs]
    subgraph.outputs = [last if i == first else i for i in subgraph.outputs]


def _beta(model, subgraph, generator):
    for op in _operators(model, "SOFTMAX"):
        op.builtinOptions.beta = generator.choice((1e-6, 0.01, 0.5, 1.0, 3.0, 100.0, 1e6))


CHANGES = (
    *(_scale, _scale, _kernel_scale, _bias, _bias, _weights, _activation, _window, _window),
    *(_kernel_sides, _input_sides, _output, _twin, _double, _drop, _beta, _one_scale, _pads),
    *(_channels, _channels, _lengthen),
)
