"""Models with something changed in their tables, from a seed: operators, tensors, options, ends.

A mutant is a well-formed flatbuffer of which one to three things say something else.
"""

from __future__ import annotations

import functools
import pathlib
import pickle
import random

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from graph_builder import with_file_ends
from networks import small_tflite

from edge.tflite.writer import pack, unpack

NUMBERS = (
    -(2**31),
    -1000,
    -129,
    -128,
    -2,
    -1,
    0,
    1,
    2,
    3,
    4,
    7,
    8,
    127,
    128,
    255,
    2**15,
    2**31 - 1,
)
FLOATS = (0.0, -1.0, 1e-45, 1e-38, 1e-20, 1e-9, 0.5, 1.0, 1e9, 3e38, float("inf"), float("nan"))
NAMES = (b"", b"a\nb\x1b[31m", b"x" * 3500, b"\xff\xfe", "\u202eabc".encode())
DATA = pathlib.Path(__file__).parents[2] / "shared" / "data"


def originals() -> list[bytes]:
    """The models to change: those of the tests, and real ones where they are."""
    paths = [*DATA.glob("models/public/*.tflite"), *DATA.glob("faults/*.tflite")]
    real = [path.read_bytes() for path in sorted(paths) if path.stat().st_size < 400_000]
    ends = [with_file_ends(small_tflite(), end, end) for end in ("float32", "uint8")]
    return [small_tflite()] * (1 + len(real) // 2) + ends + real


def mutant(content: bytes, generator: random.Random) -> bytes:
    """A copy with one to three changes."""
    model = opened(content)
    change_wildly(model, generator)
    return pack(model)


def opened(content: bytes) -> schema.ModelT:
    """A model's tables, with lists where `unpack` leaves views of the file."""
    return pickle.loads(_pickled(content))


@functools.lru_cache(maxsize=32)
def _pickled(content: bytes) -> bytes:
    """Copies of a model are made faster than the model is read."""
    model = unpack(content)
    subgraph = model.subgraphs[0]
    for op in subgraph.operators:
        op.inputs, op.outputs = [int(i) for i in op.inputs], [int(i) for i in op.outputs]
    for tensor in subgraph.tensors:
        tensor.shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    subgraph.inputs = [int(i) for i in subgraph.inputs]
    subgraph.outputs = [int(i) for i in subgraph.outputs]
    return pickle.dumps(model)


def change_wildly(model: schema.ModelT, generator: random.Random) -> None:
    """One to three changes, whatever becomes of the model."""
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        generator.choice(CHANGES)(model, model.subgraphs[0], generator)


def _change_quantization(model, subgraph, generator):
    tensor = generator.choice(subgraph.tensors)
    q = tensor.quantization
    if q is None:
        q = tensor.quantization = schema.QuantizationParametersT()
    scales = [] if q.scale is None else [float(s) for s in q.scale]
    points = [] if q.zeroPoint is None else [int(z) for z in q.zeroPoint]
    kind = generator.randrange(8)
    if kind == 0:
        tensor.quantization = None
        return
    if kind == 1 and scales:
        scales[generator.randrange(len(scales))] = generator.choice(FLOATS)
    elif kind == 2 and points:
        points[generator.randrange(len(points))] = generator.choice(NUMBERS)
    elif kind == 3:
        scales, points = scales[:-1], points[:-1]
    elif kind == 4:
        scales, points = [*scales, 0.5], [*points, 0]
    elif kind == 5:
        points = points[:-1]
    elif kind == 6:
        q.quantizedDimension = generator.choice(NUMBERS)
    elif kind == 7 and scales:
        scales = [s * generator.choice((1e-30, 1e-6, 0.1, 3.0, 1e6, 1e30)) for s in scales]
    q.scale, q.zeroPoint = np.array(scales, np.float32), np.array(points, np.int64)


def _change_tensor(model, subgraph, generator):
    tensor = generator.choice(subgraph.tensors)
    kind = generator.randrange(8)
    if kind == 0:
        tensor.type = generator.randrange(18)
    elif kind == 1 and tensor.shape:
        tensor.shape[generator.randrange(len(tensor.shape))] = generator.choice(NUMBERS)
    elif kind == 2:
        tensor.shape = tensor.shape[1:] if generator.random() < 0.5 else [1, *tensor.shape]
    elif kind == 3:
        tensor.name = generator.choice(NAMES)
    elif kind == 4:
        tensor.isVariable = not tensor.isVariable
    elif kind == 5:
        tensor.buffer = generator.randrange(len(model.buffers))
    elif kind == 6:
        tensor.buffer = 0
    else:
        generator.shuffle(tensor.shape)


def _change_operator(model, subgraph, generator):
    if not subgraph.operators:
        return
    op, count = generator.choice(subgraph.operators), len(subgraph.tensors)
    ends = generator.choice((op.inputs, op.inputs, op.outputs))
    kind = generator.randrange(8)
    if kind == 0 and ends:
        ends[generator.randrange(len(ends))] = generator.randrange(-1, count)
    elif kind == 1:
        ends.append(generator.randrange(-1, count))
    elif kind == 2 and ends:
        ends.pop(generator.randrange(len(ends)))
    elif kind == 3:
        generator.shuffle(op.inputs)
    elif kind == 4:
        op.opcodeIndex = generator.randrange(len(model.operatorCodes))
    elif kind == 5:
        subgraph.operators.remove(op)
    elif kind == 6:
        # A twin whose output nobody reads.
        subgraph.tensors.append(subgraph.tensors[op.outputs[0]] if op.outputs else op)
        twin = schema.OperatorT()
        twin.__dict__.update(op.__dict__)
        twin.inputs, twin.outputs = [*op.inputs], [count]
        subgraph.operators.insert(subgraph.operators.index(op) + 1, twin)
    else:
        code = model.operatorCodes[op.opcodeIndex]
        number = generator.choice((32, 32, *range(130)))
        code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
        code.customCode = generator.choice((b"CONV_2D", *NAMES))


def _change_option(model, subgraph, generator):
    tables = [op.builtinOptions for op in subgraph.operators if op.builtinOptions is not None]
    if not tables:
        return
    table = generator.choice(tables)
    name = generator.choice(sorted(vars(table)) or [""])
    value = getattr(table, name, None)
    if isinstance(value, bool):
        setattr(table, name, not value)
    elif isinstance(value, int):
        small = "ctivation" in name or "adding" in name or "ormat" in name
        setattr(table, name, generator.randrange(6) if small else generator.choice(NUMBERS))
    elif isinstance(value, float):
        setattr(table, name, generator.choice(FLOATS))
    else:
        op = generator.choice(subgraph.operators)
        op.builtinOptions, op.builtinOptionsType = None, 0


def _change_ends(model, subgraph, generator):
    ends, count = generator.choice((subgraph.inputs, subgraph.outputs)), len(subgraph.tensors)
    kind = generator.randrange(6)
    if kind == 0:
        ends.append(generator.choice(ends or [0]))
    elif kind == 1 and ends:
        ends.pop()
    else:
        made = [i for op in subgraph.operators for i in op.outputs]
        subgraph.outputs = [generator.choice((*made, generator.randrange(count)))]


def _change_values(model, subgraph, generator):
    buffer = generator.choice(model.buffers)
    if buffer.data is None or len(buffer.data) == 0:
        return
    data = np.array(buffer.data, np.uint8)
    if len(data) % 4 == 0 and generator.random() < 0.7:
        words = data.view("<i4")
        words[generator.randrange(len(words))] = generator.choice(NUMBERS)
    else:
        data = data[: generator.randrange(len(data))] if generator.random() < 0.3 else data ^ 0x80
    buffer.data = data


CHANGES = (
    *(_change_quantization, _change_quantization, _change_tensor, _change_operator),
    *(_change_operator, _change_option, _change_option, _change_ends, _change_values),
)
