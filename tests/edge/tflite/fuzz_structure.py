"""Changes models in their tables and drives every stage: `fuzz_structure.py --count N [--seed S]`.

A mutant is read, planned for TFLite Micro, budgeted, compiled for each kind of core, rendered as C
and run on the reference. What comes out must be an answer or one clear line, within five seconds
and a gibibyte. With `--log FILE` a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import collections
import logging
import pathlib
import random
import sys
import time
import traceback

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))

from bounds import HangError, Log, Usage, bounded
from mutants import mutant, originals

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

LONGEST_LINE = 300
BOARD = "nucleo-f446re"
MODULES = ("edge/tflite/fuzz_structure", "mutants", "networks", "graph_builder")
STEPS = 15_000
"""How long a search for a memory plan may take."""
PART = 250
"""As many mutants make a line of the log."""


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
    except NoArenaRuleError as error:
        return _judged("the arena's rules", error)
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
    if "MemoryError" in message:
        raise AssertionError(f"out of memory: {message!r}")
    return f"refused at {stage}"


def fuzz(seeds: range, models: list[bytes]) -> dict:
    """Tries mutants: the outcomes, the first mutant of each kind of failure, the most it took."""
    outcomes: collections.Counter[str] = collections.Counter()
    failures: dict[str, str] = {}
    usage = Usage()
    for number in seeds:
        generator = random.Random(number)
        original = generator.choice(models)
        try:
            content = mutant(original, generator)
        except Exception:
            # The schema's writer has no bytes for it.
            outcomes["not a flatbuffer"] += 1
            continue
        try:
            with bounded(usage):
                outcome = exercise(content)
        except (Exception, HangError) as error:
            outcome = "FAILED"
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {pathlib.Path(last.filename).name}:{last.lineno}"
            failures.setdefault(where, f"mutant {number}: {traceback.format_exc()}")
        outcomes[outcome] += 1
    took = {"seconds": round(usage.seconds, 2), "mebibytes": usage.mebibytes}
    return {"count": len(seeds), "outcomes": outcomes, "failures": failures} | took


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=pathlib.Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    started, end = time.monotonic(), arguments.seed + arguments.count
    log, models, parts = Log(arguments.log, MODULES), originals(), []
    for seed in range(arguments.seed, end, PART):
        seeds = range(seed, min(seed + PART, end))
        done = log.done.get(seed)
        if done is None or done["count"] != len(seeds):
            done = log.write(seed, fuzz(seeds, models))
        parts.append(done)
    outcomes: collections.Counter[str] = collections.Counter()
    for part in parts:
        outcomes.update(part["outcomes"])
        for where, text in part["failures"].items():
            print(f"== {where}\n{text}", file=sys.stderr)
    for outcome, times in outcomes.most_common():
        print(f"{times:7} {outcome}")
    longest, most = (max(part[name] for part in parts) for name in ("seconds", "mebibytes"))
    print(
        f"{sum(outcomes.values())} mutants, {outcomes['FAILED']} failed; the longest took "
        f"{longest} s of the processor, the largest {most} MiB; code {log.code}, "
        f"{time.monotonic() - started:.0f} s now"
    )
    return 1 if outcomes["FAILED"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
