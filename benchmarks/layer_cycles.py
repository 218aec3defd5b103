"""Traces networks of the family on every core, and fits `edge/search/layer_cycles.toml` to them.

    benchmarks/layer_cycles.py trace --networks 30    # a line a network; run again it goes on
    benchmarks/layer_cycles.py fit

To be run again where kernels have changed: `tests/edge/search/test_costs.py` compares with a trace.
"""

from __future__ import annotations

import argparse
import collections
import json
import pathlib
import random

import numpy as np
from scipy.optimize import nnls

from edge.catalog.boards import built_core, find_board
from edge.engine.compile import schedule_and_pack
from edge.engine.layers import network_of
from edge.engine.packing import instruction_set
from edge.firmware.cycles import estimate_cycles
from edge.search.design import Design
from edge.search.design_graph import graph_of
from edge.search.engine_costs import with_zero_blocks
from edge.search.layer_cycles import TABLE, LayerShape, family

ROWS = pathlib.Path(__file__).parent.parent / "build" / "layer_cycles.jsonl"
BOARDS = (
    "arduino-zero",
    "mps2-an385",
    "nucleo-f446re",
    "nucleo-u575zi-q",
    "nucleo-h743zi2",
    "mps3-an547",
)
"""One of each core that has a pipeline."""

MOST_MACS = 8e6
FOLDS = 4
"""Of so many parts of the networks, each is compared with figures fitted to the others."""


def main() -> None:
    """Does what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["trace", "fit"])
    parser.add_argument("--rows", type=pathlib.Path, default=ROWS)
    parser.add_argument("--networks", type=int, default=30)
    parser.add_argument("--boards", nargs="*", default=BOARDS)
    options = parser.parse_args()
    options.rows.parent.mkdir(parents=True, exist_ok=True)
    if options.what == "fit":
        fit(options.rows)
        return
    known = {(row["board"], row["seed"]) for row in rows_of(options.rows)}
    for seed in range(options.networks):
        for board in options.boards:
            if (board, seed) not in known:
                row = {"board": board, "seed": seed, **traced(board, seed)}
                with options.rows.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(board, seed, len(row["layers"]), flush=True)


def drawn(rng: random.Random) -> Design:
    """A network of random numbers, small enough to be traced in seconds."""
    while True:
        width, stages = rng.choice([6, 8, 12, 16, 24, 32]), []
        for number in range(rng.choice([2, 3, 4])):
            kind = rng.choice(["separable"] * 4 + ["conv"]) if width <= 32 else "separable"
            kernel, strides = rng.choice([3, 3, 5]), 2 if number else rng.choice([1, 2])
            stages.append((width, kernel, strides, rng.choice([1, 2, 3]), kind))
            width = int(width * rng.choice([1.5, 2, 2]))
        design = Design(
            side=rng.choice([16, 20, 24, 28, 32, 40, 48, 64, 96]),
            channels=rng.choice([1, 3]),
            classes=rng.choice([2, 10]),
            stem=(rng.choice([4, 6, 8, 12, 16, 24]), rng.choice([3, 3, 5]), rng.choice([1, 2])),
            stages=tuple(stages),
            is_residual=rng.random() < 0.5,
            weight_bits=rng.choice([8, 8, 8, 4]),
            sparsity=rng.choice([0.0, 0.0, 0.0, 0.5, 0.75]),
        )
        if graph_of(design).total_macs() <= MOST_MACS:
            return design


def traced(name: str, seed: int) -> dict:
    """The layers of a random network, with the cycles that their trace gives."""
    board, design = find_board(name), drawn(random.Random(seed))
    kind = instruction_set(board)
    network = with_zero_blocks(network_of(graph_of(design)), design.sparsity, board)
    engine = schedule_and_pack(network, [kind])[kind]
    cycles = estimate_cycles(engine, board)
    layers = [
        {
            "kernel": kernel.name,
            "shape": LayerShape.of(network, layer, len(kernel.weights)),
            "cycles": (cost.low + cost.high) / 2,
        }
        for layer, kernel, cost in zip(network.layers, engine.kernels, cycles.layers, strict=True)
    ]
    rows = network.rows[network.input]
    took = (cycles.input.low + cycles.input.high) / 2
    of_input = {"rows": [rows.height, rows.bytes], "cycles": took}
    return {"input": of_input, "layers": layers, "design": design.to_json()}


def rows_of(path: pathlib.Path) -> list[dict]:
    """The networks that were traced."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def fit(path: pathlib.Path) -> None:
    """Writes the table, and how wrong it is of the networks that it was not fitted to."""
    lines = [
        "# Written by benchmarks/layer_cycles.py: do not edit. Cycles for each of what",
        "# LayerShape.features lists, fitted to traced layers; the middle of the trace's bounds.",
    ]
    for name in BOARDS:
        rows = [row for row in rows_of(path) if row["board"] == name]
        errors = left_out_errors(rows)
        sizes = np.abs(errors)
        print(name, len(rows), "networks:", " ".join(f"{100 * e:+.1f} %" for e in errors))
        whole = figures_of(rows) | {"errors": [np.median(sizes), sizes.max()]}
        lines += ["", f"[{built_core(find_board(name))}]"]
        lines += [
            f"{key} = [{', '.join(f'{value:.4g}' for value in values)}]"
            for key, values in sorted(whole.items())
        ]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")


def left_out_errors(rows: list[dict]) -> list[float]:
    """The relative error of each network, by figures that were not fitted to it."""
    errors = []
    for fold in range(FOLDS):
        fitted = figures_of([row for row in rows if row["seed"] % FOLDS != fold])
        found = [error_of(row, fitted) for row in rows if row["seed"] % FOLDS == fold]
        errors += [error for error in found if error is not None]
    return errors


def figures_of(rows: list[dict]) -> dict[str, list[float]]:
    """The figures of each family of layers, fitted to relative errors: small layers count."""
    groups: dict[str, list] = collections.defaultdict(list)
    for row in rows:
        groups["input"].append((row["input"]["rows"], row["input"]["cycles"]))
        for layer in row["layers"]:
            shape = LayerShape(*layer["shape"])
            key = family(layer["kernel"], shape.stride)
            groups[key].append((shape.features(layer["kernel"]), layer["cycles"]))
    found = {}
    for key, group in groups.items():
        took = np.array([cycles for _, cycles in group])
        known = np.array([features for features, _ in group], float) / took[:, None]
        found[key] = nnls(known, np.ones(len(took)))[0].tolist()
    return found


def error_of(row: dict, fitted: dict[str, list[float]]) -> float | None:
    """The relative error of a whole network; None if a kind of layer was not fitted."""
    total, estimated = row["input"]["cycles"], float(np.dot(row["input"]["rows"], fitted["input"]))
    for layer in row["layers"]:
        shape = LayerShape(*layer["shape"])
        figures = fitted.get(family(layer["kernel"], shape.stride))
        if figures is None:
            return None
        total += layer["cycles"]
        estimated += float(np.dot(shape.features(layer["kernel"]), figures))
    return estimated / total - 1


if __name__ == "__main__":
    main()
