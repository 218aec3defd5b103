"""The engine beside its peers and beside published figures: `make bench-engine`.

Every figure but the published ones comes from this run: instructions by QEMU's clock (`-icount
shift=0`), cycles estimated from what QEMU executed, RAM as state (or arena), image buffer, output
and painted stack, flash as linked. TFLite Micro takes part if `TFLM_DIR` names its headers and
libraries, laid out as the emitted CMakeLists.txt says; bakenn if it is installed.

Each result is written at once to `build/bench-engine.jsonl`. Run again, it goes on where it was cut
off, unless a source has changed since. `benchmarks/engine.py M4 M7` runs only on those cores.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from rich.console import Console

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import peers
import tables
from networks import CORES, TWIN, Network, inputs_for, networks

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_firmware, linked
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.cycles import estimate_cycles
from edge.firmware.emulate import Emulation
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "build" / "bench-engine.jsonl"
INPUTS = 3
PEERS_CORE = "M4"

Row = dict[str, Any]


def main() -> None:
    """Runs what is not yet known, on the cores that are named or on all; prints all tables."""
    cores = sys.argv[1:] or list(CORES)
    console = Console(width=150, soft_wrap=False)
    rows = known_rows()
    chosen = networks()
    jobs = [(network, *job) for network in chosen for job in jobs_of(network) if job[1] in cores]
    missing = set()
    for number, (network, runtime, core, run) in enumerate(jobs, start=1):
        key = f"{network.name}|{runtime}|{core}"
        if key not in rows:
            graph = network.load()
            if graph is None:
                missing.add(network.name)
                continue
            started = time.monotonic()
            rows[key] = {"key": key, "digest": digest(runtime), "model": network.name}
            rows[key] |= {"runtime": runtime, "core": core, "macs": graph.total_macs()}
            rows[key] |= attempt(run, graph)
            keep(rows[key])
            row, seconds = rows[key], time.monotonic() - started
            said = row.get("failed") or f"{row['instructions']:,} instructions"
            what = f"{number}/{len(jobs)} {network.name}, {runtime}, {core}"
            console.print(f"{what}: {said}, {seconds:.0f} s")
    for table in tables.all_tables(chosen, list(rows.values())):
        console.print(table)
    for name in sorted(missing):
        console.print(f"Not run: {name}, its file is not in ../shared/data/models.")
    if "TFLM_DIR" not in os.environ:
        console.print("Not run: TFLite Micro; TFLM_DIR names no folder with it.")
    if importlib.util.find_spec("bakenn") is None:
        console.print("Not run: bakenn; pip install -e '.[bench]' installs it.")
    console.print(tables.LEGEND)


def jobs_of(network: Network) -> Iterator[tuple[str, str, Callable[[Graph], Row]]]:
    """What is to be run of a network: the runtime, the core, and how."""
    for core in network.cores:
        yield "engine", core, lambda graph, core=core: engine_row(graph, core)
    if network.task == "VWW":
        yield "engine, whole frame", PEERS_CORE, lambda graph: engine_row(graph, PEERS_CORE, True)
    if "TFLM_DIR" in os.environ:
        yield "TFLM + CMSIS-NN", PEERS_CORE, lambda graph: tflm_row(graph, "libtflm_cmsis_nn.a")
        if network.task == "VWW":
            yield "TFLM, reference", PEERS_CORE, lambda graph: tflm_row(graph, "libtflm.a")
    if network.name == TWIN and importlib.util.find_spec("bakenn") is not None:
        yield "bakenn + CMSIS-NN", PEERS_CORE, bakenn_row


def attempt(run: Callable[[Graph], Row], graph: Graph) -> Row:
    """A peer, or a core's memory, may not take every network: its row says why."""
    try:
        return run(graph)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:160]}


def engine_row(graph: Graph, core: str, is_frame: bool = False) -> Row:
    """Runs the engine, and traces it."""
    board, inputs = find_board(CORES[core]), inputs_for(graph, INPUTS)
    engine = compile_engine(graph, instruction_set(board))
    with linked(engine, board, is_frame=is_frame) as firmware:
        emulation = emulate_firmware(engine, board, firmware, inputs)
        row = measured(graph, inputs, emulation) | {"code": firmware.code_bytes}
        row |= {"weights": firmware.weights_bytes}
        if not is_frame:
            found = estimate_cycles(engine, board, elf=firmware.elf)
            kernels = [kernel.name for kernel in engine.kernels]
            layers = [
                [name, engine.network.graph.macs(layer.op), cost.instructions, cost.low, cost.high]
                for name, layer, cost in zip(
                    kernels, engine.network.layers, found.layers, strict=True
                )
            ]
            row |= {"low": found.total.low, "high": found.total.high, "layers": layers}
    return row | {"plan": engine.plan.memory_bytes}


def tflm_row(graph: Graph, library: str) -> Row:
    """Runs TFLite Micro with one of its sets of kernels."""
    if graph.file_dtypes[0] != "int8":
        raise EdgeError(
            f"the file's input is {graph.file_dtypes[0]}, which the engine's copy lacks"
        )
    inputs = inputs_for(graph, INPUTS)
    run = peers.run_tflm(graph, find_board(CORES[PEERS_CORE]), inputs, library)
    if run is None:
        raise EdgeError(f"TFLM_DIR has no {library}")
    return peer_row(graph, inputs, run)


def bakenn_row(graph: Graph) -> Row:
    """Runs what bakenn makes, with the kernels of CMSIS-NN."""
    inputs = inputs_for(graph, INPUTS)
    return peer_row(graph, inputs, peers.run_bakenn(graph, find_board(CORES[PEERS_CORE]), inputs))


def peer_row(graph: Graph, inputs: np.ndarray, run: peers.PeerRun) -> Row:
    """The figures of a peer, whose weights are part of its flash."""
    row = measured(graph, inputs, run.emulation) | {"code": run.flash_bytes}
    return row | {"low": run.cost.low, "high": run.cost.high}


def measured(graph: Graph, inputs: np.ndarray, emulation: Emulation) -> Row:
    """What a run on QEMU says."""
    equal = (emulation.outputs == run_litert(graph, inputs)).all(axis=1)
    return {
        "equal": int(equal.sum()),
        "count": len(inputs),
        "instructions": emulation.instructions,
        "ram": emulation.ram_bytes,
    }


@functools.cache
def digest(runtime: str) -> str:
    """A digest of what a runtime's figures depend on: sources, and TFLite Micro's library."""
    found = hashlib.sha256()
    engine = ("transforms", "memory", "engine", "emit/engine", "catalog")
    folders = [ROOT / "edge" / name for name in engine if runtime.startswith("engine")]
    for folder in (ROOT / "edge" / "firmware", *folders):
        for path in sorted(folder.rglob("*")):
            if path.suffix in (".py", ".c", ".h", ".j2", ".toml"):
                found.update(path.read_bytes())
    for name in ("networks.py", "peers.py"):
        found.update((ROOT / "benchmarks" / name).read_bytes())
    tflm = pathlib.Path(os.environ.get("TFLM_DIR", "/nowhere"))
    for library in sorted(tflm.glob("lib*.a")) if runtime.startswith("TFLM") else []:
        found.update(str(library.stat().st_mtime).encode())
    return found.hexdigest()[:16]


def known_rows() -> dict[str, Row]:
    """The results of an earlier run of the same sources, by key."""
    if not RESULTS.is_file():
        return {}
    rows = [json.loads(line) for line in RESULTS.read_text("utf-8").splitlines()]
    kept = [row for row in rows if row["digest"] == digest(row["runtime"])]
    return {row["key"]: row for row in kept}


def keep(row: Row) -> None:
    """Writes a result, so that it is not lost."""
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
