"""LLVM's scheduling models beside the project's own: a network on the M4 and the M7, by layers.

Usage: python benchmarks/second_opinion.py [model.tflite]. Needs `llvm-mca` 19 (Debian: llvm-19).
Blocks are weighed by their steady state, jumps left out, so what a taken branch costs is not in it.
"""

from __future__ import annotations

import collections
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np
from networks import CORES, SHARED
from rich.console import Console
from rich.table import Column, Table

from edge.catalog.boards import Board, find_board
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.cycles import PIPELINES, blocks_of, weigh
from edge.firmware.image import build_image
from edge.firmware.instructions import LINE, Instruction, disassemble, functions
from edge.firmware.step_counts import INPUT, passages
from edge.firmware.trace import trace
from edge.tflite.reader import read_graph

TURNS = 32
JUMPS = ("branch", "call", "table", "loop")


def main() -> None:
    """Prints a table for each core."""
    path = sys.argv[1] if len(sys.argv) > 1 else SHARED / "models" / "vww_96_int8.tflite"
    graph = read_graph(path)
    for core in ("M4", "M7"):
        board = find_board(CORES[core])
        Console(width=100).print(opinions(compile_engine(graph, instruction_set(board)), board))


def opinions(engine: Engine, board: Board) -> Table:
    """Cycles of each layer: by the project's two models, and by LLVM's."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        elf = build_image(engine, board, folder).elf.rename(folder / "firmware.elf")
        image = np.random.default_rng(0).integers(-128, 128, engine.network.graph.input.shape[1:])
        (folder / "inputs.bin").write_bytes(image.astype(np.int8).tobytes())
        assert board.qemu_machine is not None
        traced = trace(folder, board.qemu_machine)
        counted = passages(traced, functions(elf), engine)
        blocks = blocks_of(traced, disassemble(elf, board.core))
        text = source_of(elf)
    costs = weigh(counted, blocks, PIPELINES[board.core])
    used = {passage.block for passage in counted}
    each = llvm_cycles({at: blocks[at] for at in sorted(used)}, text, board.core)
    theirs: collections.Counter[int] = collections.Counter()
    for passage in counted:
        theirs[passage.layer] += round(each[passage.block] * passage.count)
    columns = (Column(name, justify="right") for name in ("instructions", "low", "high", "LLVM"))
    table = Table("layer", *columns, title=board.core)
    names = {INPUT: "input"} | {n: f"{n} {k.name}" for n, k in enumerate(engine.kernels)}
    for layer, label in names.items():
        cost = costs[layer]
        figures = (cost.instructions, cost.low, cost.high, theirs[layer])
        table.add_row(label, *(f"{figure:,}" for figure in figures))
    totals = [sum(getattr(c, n) for c in costs.values()) for n in ("instructions", "low", "high")]
    table.add_row("all", *(f"{figure:,}" for figure in (*totals, sum(theirs.values()))))
    return table


def source_of(elf: pathlib.Path) -> dict[int, str]:
    """The text of each instruction, as an assembler takes it."""
    command = ["arm-none-eabi-objdump", "-d", "-j", ".text", str(elf)]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    matches = [found for found in map(LINE.match, listing.splitlines()) if found]
    return {
        int(m[1], 16): f"{re.sub(r'[.][nw]$', '', m[3])} {re.split('[@;<]', m[4] or '')[0]}".strip()
        for m in matches
    }


def llvm_cycles(
    blocks: dict[int, tuple[Instruction, ...]], text: dict[int, str], core: str
) -> dict[int, float]:
    """Cycles of each block when it follows itself."""
    lines = [".syntax unified", ".thumb"]
    for start, block in blocks.items():
        kept = [text[i.address] for i in block if i.kind not in JUMPS and not i.writes_pc]
        # An empty region has no cycles, and no entry.
        lines += [f"# LLVM-MCA-BEGIN {start}", *kept, f"# LLVM-MCA-END {start}"]
    # LLVM has no model of the M33 and its M4's is meant for both.
    command = ["llvm-mca-19", "-mtriple=thumbv7em-none-eabi", f"-mcpu={core}", "-json"]
    command += [f"-iterations={TURNS}", "-skip-unsupported-instructions=any"]
    done = subprocess.run(command, input="\n".join([*lines, ""]), capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[:2000])
    found = {int(region["Name"]): region for region in json.loads(done.stdout)["CodeRegions"]}
    return {
        start: found[start]["SummaryView"]["TotalCycles"] / TURNS if start in found else 0.0
        for start in blocks
    }


if __name__ == "__main__":
    main()
