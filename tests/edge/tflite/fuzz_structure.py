"""Changes models in their tables and drives every stage: `fuzz_structure.py --count N [--seed S]`.

A mutant is a well-formed flatbuffer: an operator, a tensor, a quantization, an output or an option
says something else, once or several times. It is read, planned for TFLite Micro, budgeted, compiled
for each kind of core, rendered as C and run on the reference. What comes out must be an answer or
one clear line, within five seconds.
"""

from __future__ import annotations

import argparse
import collections
import logging
import pathlib
import random
import signal
import sys
import time
import traceback

import numpy as np
from ai_edge_litert import schema_py_generated as schema

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))

from networks import small_tflite

from edge.catalog.boards import find_board
from edge.cli.json import inspect_json
from edge.converter.model_source import read_model
from edge.deploy.budget import budget
from edge.emit.engine.render import render_engines
from edge.emit.tflm.render import render
from edge.engine.compile import compile_engines
from edge.errors import EdgeError
from edge.memory.arena import tensor_arena
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import NoArenaRuleError, predict_arena
from edge.memory.timeline import memory_timeline
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.tflite.writer import pack, unpack

SECONDS = 5
LONGEST_LINE = 300
BOARD = "nucleo-f446re"
STEPS = 15_000
"""How long a search for a memory plan may take."""
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
DATA = pathlib.Path(__file__).parents[4] / "shared" / "data"


def originals() -> list[bytes]:
    """The models to change: those of the tests, and real ones where they are."""
    paths = [*DATA.glob("models/public/*.tflite"), *DATA.glob("faults/*.tflite")]
    real = [path.read_bytes() for path in sorted(paths) if path.stat().st_size < 400_000]
    return [small_tflite()] * (1 + len(real) // 2) + real


def mutant(content: bytes, generator: random.Random) -> bytes:
    """A copy with one to three changes."""
    model = unpack(content)
    subgraph = model.subgraphs[0]
    for op in subgraph.operators:
        # As read they are views of the file.
        op.inputs, op.outputs = [int(i) for i in op.inputs], [int(i) for i in op.outputs]
    for tensor in subgraph.tensors:
        tensor.shape = [] if tensor.shape is None else [int(n) for n in tensor.shape]
    subgraph.inputs = [int(i) for i in subgraph.inputs]
    subgraph.outputs = [int(i) for i in subgraph.outputs]
    for _ in range(generator.choice((1, 1, 1, 2, 3))):
        generator.choice(CHANGES)(model, subgraph, generator)
    return pack(model)


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


def exercise(content: bytes) -> str:
    """Drives every stage, and says how far it came."""
    stage = "read"
    try:
        graph = read_graph(content)
        stage = "gate"
        graph = read_model(graph)
        inspect_json(graph, None)
    except EdgeError as error:
        return _judged(stage, error)
    return f"{_tflm(graph)}, {_engine(graph)}"


def _tflm(graph) -> str:
    board, stage = find_board(BOARD), "tflm operators"
    try:
        require_tflm_operators(graph)
        stage = "arena"
        predict_arena(graph)
        stage = "plan"
        planned = planned_model(graph, steps=STEPS).graph
        planned_model(graph, may_overlap=True, steps=STEPS)
        inspect_json(planned, memory_timeline(planned))
        stage = "fit"
        budget(planned, board)
        stage = "tflm sources"
        render(planned, board, tensor_arena(planned, board, may_measure=False))
    except NoArenaRuleError:
        return "no arena rule"
    except EdgeError as error:
        return _judged(stage, error)
    return "tflm"


def _engine(graph) -> str:
    stage = "compile"
    try:
        engines = compile_engines(graph, ["portable", "dsp", "mve"])
        stage = "engine sources"
        render_engines(engines)
        stage = "reference"
        if max(tensor.element_count for tensor in graph.tensors) < 1 << 20:
            run_reference(graph, np.zeros((1, *graph.input.shape[1:]), np.int8))
    except EdgeError as error:
        return _judged(stage, error)
    return "engine"


def _judged(stage: str, error: EdgeError) -> str:
    message = str(error)
    if not message.isprintable() or len(message) > LONGEST_LINE or len(message) < 10:
        raise AssertionError(f"no clear line: {message!r}")
    return f"refused at {stage}"


class HangError(BaseException):
    """Nothing that works on a model may catch this."""


def _hang(*_: object) -> None:
    raise HangError


def fuzz(count: int, seed: int = 0) -> tuple[collections.Counter[str], dict[str, str]]:
    """Tries mutants; the outcomes, and the first mutant of each kind of failure."""
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _hang)
    models = originals()
    outcomes: collections.Counter[str] = collections.Counter()
    failures: dict[str, str] = {}
    for number in range(seed, seed + count):
        generator = random.Random(number)
        original = generator.choice(models)
        try:
            content = mutant(original, generator)
        except Exception:
            # The schema's writer has no bytes for it.
            outcomes["not a flatbuffer"] += 1
            continue
        signal.alarm(SECONDS)
        try:
            outcomes[exercise(content)] += 1
        except (Exception, HangError) as error:
            outcomes["FAILED"] += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {pathlib.Path(last.filename).name}:{last.lineno}"
            failures.setdefault(where, f"mutant {number}: {traceback.format_exc()}")
        finally:
            signal.alarm(0)
    return outcomes, failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    started = time.monotonic()
    outcomes, failures = fuzz(arguments.count, arguments.seed)
    for where, text in failures.items():
        print(f"== {where}\n{text}", file=sys.stderr)
    for outcome, times in outcomes.most_common():
        print(f"{times:7} {outcome}")
    print(
        f"{arguments.count} mutants in {time.monotonic() - started:.0f} s, {len(failures)} faults"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
