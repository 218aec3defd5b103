"""Compiles changed models and compares them with LiteRT: `fuzz_compiled.py --count N [--seed S]`.

Of each mutant that LiteRT runs and the gate accepts, the engine is compiled for this machine with
gcc's sanitizers. It must give LiteRT's bytes, row by row and by whole frames, and so must the
reference in NumPy. `--count` is how many are to be compared; with `--log FILE` a run that was cut
off goes on where it stopped.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import logging
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import traceback

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).parents[3]))

from bounds import Log
from gentle_mutants import gentle_mutant
from litert_worker import LiteRT
from networks import random_graph

from edge.converter.model_source import read_model
from edge.emit.c_text import named
from edge.emit.engine.render import KERNEL_FOLDER, render_engine
from edge.engine.compile import compile_engine
from edge.errors import EdgeError
from edge.firmware.host import FLAGS, HOST_MAIN, SANITIZERS
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.transforms.dead_operators import without_dead_operators

PART = 40
"""As many mutants are linked into one program, and make a line of the log."""
MODULES = (
    *("edge/tflite/fuzz_compiled", "litert_worker", "gentle_mutants", "consequences", "mutants"),
    *("networks", "graph_builder"),
)
MOST_TRIED = 4
"""Times as many as are to be compared."""
MOST_MACS = 20_000_000
RUN_SECONDS = 60
KERNELS = tuple(
    sorted(
        path.name for path in KERNEL_FOLDER.glob("*.c") if not path.stem.endswith(("dsp", "mve"))
    )
)
BAD = ("different", "reports", "reference differs", "exceptions", "not compiled")


@dataclasses.dataclass
class Candidate:
    """A mutant to be compiled, and what LiteRT says."""

    seed: int
    files: dict[str, str]
    inputs: np.ndarray
    expected: np.ndarray

    @property
    def name(self) -> str:
        """The prefix of its names in C."""
        return f"mutant{self.seed}"


class Tally:
    """Counts what becomes of mutants, with the first of each kind that went wrong."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.reasons: collections.Counter[str] = collections.Counter()
        self.failures: list[str] = []

    def fail(self, kind: str, seed: int, what: str) -> None:
        """Something that must not be."""
        self.counts[kind] += 1
        self.failures.append(f"mutant {seed}: {kind}: {what}")

    def reason(self, kind: str, what: str) -> None:
        """Why a mutant is not compared, without its own names and numbers."""
        brief = re.sub(r"'[^']*'|[-+]?\d[\d.e+-]*", "#", what.splitlines()[0] if what else "")
        self.reasons[f"{kind}: {brief[:120]}"] += 1


def candidate(seed: int, litert: LiteRT, tally: Tally) -> Candidate | None:
    """Makes a mutant; None if there is nothing to compare."""
    tally.counts["tried"] += 1
    try:
        content = gentle_mutant(seed)
    except Exception as error:
        tally.reason("no mutant", f"{type(error).__name__} {error}")
        return None
    graph, refusal = None, ""
    try:
        graph = read_model(read_graph(content))
        tally.counts["gate accepted"] += 1
    except EdgeError as error:
        refusal = str(error)
    answer = litert.run(content if graph is None else graph.content, seed)
    if isinstance(answer, str):
        if graph is not None:
            tally.reason("LiteRT alone refuses", answer)
        return None
    tally.counts["LiteRT ran"] += 1
    if graph is None:
        tally.reason("the gate alone refuses", refusal)
        return None
    tally.counts["both"] += 1
    if graph.total_macs() > MOST_MACS:
        tally.reason("too large", "")
        return None
    inputs, expected = answer
    try:
        engine = compile_engine(graph)
    except EdgeError as error:
        tally.reason("the engine refuses", str(error))
        return None
    ours = run_reference(without_dead_operators(graph), inputs.reshape(-1, *graph.input.shape[1:]))
    if not np.array_equal(ours, expected):
        wrong = int((ours != expected).sum())
        tally.fail("reference differs", seed, f"{wrong} of {expected.size} bytes")
    tally.counts["outputs that vary"] += len(np.unique(expected)) > 3
    for opcode in {layer.op.opcode for layer in engine.network.layers}:
        tally.counts[opcode] += 1
    return Candidate(seed, render_engine(engine, f"mutant{seed}"), inputs, expected)


def compiled(source: pathlib.Path) -> str:
    """Makes an object; what gcc has to say, if anything."""
    command = ["gcc", *FLAGS, *SANITIZERS, "-I", str(source.parent), "-c", str(source)]
    done = subprocess.run([*command, "-o", str(source.with_suffix(".o"))], capture_output=True)
    return done.stderr.decode("utf-8", "replace") if done.returncode else ""


def write(found: Candidate, folder: pathlib.Path) -> pathlib.Path:
    """One source of all of a model, its main function under its own name."""
    for file, text in found.files.items():
        if file not in KERNELS:
            (folder / file).write_text(text)
    main = named(HOST_MAIN.read_text(), found.name)
    start = f"int {found.name}_main(void)"
    main = main.replace("int main(void)", f"{start};\n{start}")
    parts = [f'#include "{found.name}.c"', f'#include "{found.name}_weights.c"', main]
    source = folder / f"{found.name}_all.c"
    source.write_text("\n".join(parts))
    return source


def linked(found: list[Candidate], folder: pathlib.Path, kernels: list[pathlib.Path]) -> str:
    """Makes a program that runs the model that its first argument names by number."""
    lines = ["#include <stdlib.h>", *(f"int {one.name}_main(void);" for one in found)]
    lines += [
        "int main(int count, char **words) {",
        "  switch ((count > 1) ? atoi(words[1]) : 0) {",
    ]
    lines += [f"    case {n}: return {one.name}_main();" for n, one in enumerate(found)]
    lines += ["    default: return 2;", "  }", "}", ""]
    source, program = folder / "main.c", str(folder / "program")
    source.write_text("\n".join(lines))
    objects = [str(folder / f"{one.name}_all.o") for one in found]
    command = ["gcc", *FLAGS, *SANITIZERS, str(source), *objects, *map(str, kernels)]
    subprocess.run([*command, "-o", program], check=True)
    return program


def compare(found: Candidate, command: list[str], tally: Tally) -> None:
    """Runs one model and holds its bytes against LiteRT's."""
    tally.counts["compared"] += 1
    try:
        done = subprocess.run(
            command, input=found.inputs.tobytes(), capture_output=True, timeout=RUN_SECONDS
        )
    except subprocess.TimeoutExpired:
        tally.fail("reports", found.seed, f"more than {RUN_SECONDS} s")
        return
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").splitlines()
        tally.fail("reports", found.seed, f"exit {done.returncode}: {' | '.join(said[:3])}")
    elif done.stdout != found.expected.tobytes():
        actual = np.frombuffer(done.stdout, np.int8)
        size = found.expected.size
        wrong = int((actual != found.expected.reshape(-1)).sum()) if actual.size == size else size
        tally.fail("different", found.seed, f"{wrong} of {size} bytes")


def fuzz(seeds: range, litert: LiteRT, kernels: list[pathlib.Path]) -> dict:
    """Tries the mutants of some seeds."""
    tally, found = Tally(), []
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        for seed in seeds:
            try:
                one = candidate(seed, litert, tally)
            except Exception:
                tally.fail("exceptions", seed, traceback.format_exc())
                continue
            said = "" if one is None else compiled(write(one, folder))
            if said:
                tally.fail("not compiled", seed, said.splitlines()[0])
            elif one is not None:
                found.append(one)
        if found:
            program = linked(found, folder, kernels)
            for number, one in enumerate(found):
                compare(one, [program, str(number)], tally)
    return {"counts": tally.counts, "reasons": tally.reasons, "failures": tally.failures}


def kernel_objects(folder: pathlib.Path) -> list[pathlib.Path]:
    """The kernels, which are the same for all models."""
    header = render_engine(compile_engine(random_graph(0)))["engine.h"]
    (folder / "engine.h").write_text(header)
    for path in (*KERNEL_FOLDER.glob("*.h"), *(KERNEL_FOLDER / file for file in KERNELS)):
        if path.name != "engine.h":
            (folder / path.name).write_text(path.read_text())
    if wrong := [said for file in KERNELS if (said := compiled(folder / file))]:
        raise RuntimeError(wrong[0])
    return [(folder / file).with_suffix(".o") for file in KERNELS]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=pathlib.Path)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    log, litert, started = Log(arguments.log, MODULES), LiteRT(), time.monotonic()
    counts: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    seed, needed = arguments.seed, max(arguments.count, PART)
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        kernels = kernel_objects(pathlib.Path(name))
        # Not for ever: where LiteRT does not start there is nothing to compare.
        while counts["compared"] < arguments.count and counts["tried"] < MOST_TRIED * needed:
            seeds = range(seed, seed + PART)
            done = log.done.get(seed) or log.write(seed, fuzz(seeds, litert, kernels))
            counts.update(done["counts"])
            reasons.update(done["reasons"])
            for text in done["failures"]:
                print(text, file=sys.stderr)
            seed += PART
    litert.close()
    for reason, times in reasons.most_common():
        print(f"{times:7} {reason}")
    for kind in dict.fromkeys((*sorted(counts), *BAD)):
        print(f"{counts[kind]:7} {kind}")
    print(f"seeds to {seed - 1}, code {log.code}, {time.monotonic() - started:.0f} s now")
    is_short = counts["compared"] < arguments.count
    return 1 if is_short or any(counts[kind] for kind in BAD) else 0


if __name__ == "__main__":
    raise SystemExit(main())
