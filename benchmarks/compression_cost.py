"""What an int8 file reaches on LiteRT and takes of the engine: instructions, flash, RAM."""

from __future__ import annotations

from cifar10_images import accuracy
from compression_network import as_floats

from edge.catalog.boards import find_board
from edge.deploy.engine_budget import measured_firmware
from edge.deploy.verify import random_inputs
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.cycles import estimate_cycles
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph

M4 = "mps2-an386"
CLOCKED = "nucleo-f446re"
OTHERS = {"m55": "mps3-an547", "m0plus": "qemu-m0plus"}


def measured(tflite: bytes, data: dict, *, has_all_cores: bool) -> dict[str, object]:
    """The int8 file's accuracy on LiteRT, and its costs on the engine."""
    graph = read_graph(tflite)
    row: dict[str, object] = {"file_bytes": len(tflite)}
    for part in ("test", "validation"):
        inputs = to_int8(as_floats(data[f"{part}_images"]), graph.input)
        row[part] = accuracy(run_litert(graph, inputs), data[f"{part}_labels"])
    return row | costs(graph, has_all_cores=has_all_cores)


def costs(graph: Graph, *, has_all_cores: bool) -> dict[str, object]:
    """Builds and runs the engine on a Cortex-M4, and on M55 and M0+ where asked for."""
    inputs = random_inputs(graph, 2, 0)
    row: dict[str, object] = {}
    for core, name in {"m4": M4, **(OTHERS if has_all_cores else {})}.items():
        board = find_board(name)
        engine = compile_engine(graph, instruction_set(board))
        emulation, _ = emulate_engine(engine, board, inputs)
        row[core] = emulation.instructions
        row[f"{core}_weights"] = engine.weights_bytes
    board = find_board(CLOCKED)
    engine = compile_engine(graph, instruction_set(board))
    firmware = measured_firmware(engine, board)
    row["flash"] = firmware.weights_bytes + firmware.code_bytes
    row["ram"] = firmware.static_ram_bytes
    cycles = estimate_cycles(engine, board)
    return row | {"ms_low": round(cycles.low_ms, 2), "ms_high": round(cycles.high_ms, 2)}
