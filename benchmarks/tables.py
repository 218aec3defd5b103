"""The tables that `benchmarks/engine.py` prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from networks import CORES, Network
from published import MEGACYCLES, SYSTEMS, published
from rich.table import Column, Table

Row = dict[str, Any]
LEGEND = (
    "equal: inputs on which all output bytes are LiteRT's reference kernels'. M cycles: estimated, "
    "at best and at worst, memory without waiting; published ones were measured on silicon. RAM: "
    "state or arena, image buffer, output, peak stack. code: flash beside the weights; of the "
    "peers, all flash. more: instructions of TFLM + CMSIS-NN, as a multiple of the engine's."
)


def all_tables(chosen: Sequence[Network], rows: Sequence[Row]) -> Iterator[Table]:
    """Every table, in the order of reading."""
    ran = [row for row in rows if "failed" not in row]
    for network in chosen:
        of_network = [row for row in rows if row["model"] == network.name]
        if of_network:
            yield network_table(network, of_network)
    yield cycles_table(chosen, ran)
    yield peers_table(chosen, ran)
    for core in ("M4", "M7"):
        for row in ran:
            is_engine = row["runtime"] == "engine" and row["core"] == core
            if is_engine and row["model"] == chosen[0].name:
                yield layers_table(row)


def network_table(network: Network, rows: Sequence[Row]) -> Table:
    """One network on every core and runtime."""
    names = ("equal", "instructions", "a MAC", "M cycles", "RAM", "code", "weights")
    columns = (Column(name, justify="right") for name in names)
    table = Table("runs on", "core", *columns, title=f"{network.name}, {rows[0]['macs']:,} MACs")
    failed = [
        f"{row['runtime']}, {row['core']}: {row['failed']}" for row in rows if "failed" in row
    ]
    table.caption = "\n".join(f"not run on {reason}" for reason in failed) or None
    for row in rows:
        if "failed" in row:
            continue
        table.add_row(
            row["runtime"],
            row["core"],
            f"{row['equal']} of {row['count']}",
            f"{row['instructions']:,}",
            f"{row['instructions'] / row['macs']:.2f}",
            megacycles(row),
            f"{row['ram']:,}",
            f"{row['code']:,}",
            f"{row['weights']:,}" if "weights" in row else "",
        )
    return table


def megacycles(row: Row) -> str:
    """Both ends of the estimate."""
    return f"{short(row['low'])} - {short(row['high'])}" if "low" in row else ""


def short(count: int) -> str:
    """Millions, to three digits and no more than three decimals."""
    millions = count / 1e6
    return f"{millions:.{3 if millions < 1 else 2 if millions < 100 else 0}f}"


def cycles_table(chosen: Sequence[Network], rows: Sequence[Row]) -> Table:
    """Estimated cycles beside those that others published."""
    title = "M cycles: estimated, and published (MLPerf Tiny, closed division)"
    table = Table("network", "core", *right("instructions", "engine"), "published, on", title=title)
    for network in chosen:
        for core in CORES:
            for row in rows:
                is_it = row["runtime"] == "engine" and row["core"] == core
                if not is_it or row["model"] != network.name:
                    continue
                others = ""
                if (network.task, core) in MEGACYCLES:
                    others = f"{published(network.task, core)} ({SYSTEMS[core]})"
                count = f"{short(row['instructions'])} M"
                table.add_row(network.name, core, count, megacycles(row), others)
    return table


def peers_table(chosen: Sequence[Network], rows: Sequence[Row]) -> Table:
    """Instructions of the engine beside TFLite Micro's, on the M4."""
    title = "TFLM + CMSIS-NN on the M4"
    names = ("engine", "TFLM + CMSIS-NN", "more", "engine, M cycles", "TFLM, M cycles")
    table = Table("network", *right(*names), title=title)
    found = {(row["model"], row["runtime"], row["core"]): row for row in rows}
    for network in chosen:
        ours = found.get((network.name, "engine", "M4"))
        theirs = found.get((network.name, "TFLM + CMSIS-NN", "M4"))
        if ours is None or theirs is None:
            continue
        table.add_row(
            network.name,
            f"{ours['instructions']:,}",
            f"{theirs['instructions']:,}",
            f"{theirs['instructions'] / ours['instructions']:.2f}",
            megacycles(ours),
            megacycles(theirs),
        )
    return table


def layers_table(row: Row) -> Table:
    """One network layer by layer, by both models of a core."""
    title = f"{row['model']} on the {row['core']}, layer by layer"
    names = ("MACs", "instructions", "cycles, low", "cycles, high")
    table = Table(*right("#"), "kernel", *right(*names), title=title)
    for number, (kernel, *figures) in enumerate(row["layers"]):
        table.add_row(str(number), kernel, *(f"{figure:,}" for figure in figures))
    sums = [sum(column) for column in zip(*(layer[1:] for layer in row["layers"]), strict=True)]
    table.add_section()
    table.add_row("", "all layers", *(f"{figure:,}" for figure in sums))
    return table


def right(*names: str) -> list[Column]:
    """Columns of numbers."""
    return [Column(name, justify="right") for name in names]
