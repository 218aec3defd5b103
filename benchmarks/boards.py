"""Every board of the catalogue in software: its own image, as `build` makes it, from reset on.

    python benchmarks/boards.py MODEL.tflite [BOARD ...] [--jsonl FILE]

One row a board: whether it builds, how a boot ROM or a bootloader gets into it, which clock the
written registers make, what the manual forbids, and what the board says on its serial port.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
from typing import Any

from rich.console import Console
from rich.table import Table

from edge.catalog.boards import Board, boards, find_board
from edge.deploy.build import build
from edge.errors import EdgeError
from edge.firmware.machine.chips import has_model
from edge.firmware.machine.image_run import ImageRun, can_run_image, run_image
from edge.firmware.machine.qemu_board import (
    installed_machine,
    machines_with_map,
    run_image_on_qemu,
)

Row = dict[str, Any]


def measure(model: str, board: Board) -> Row:
    """Builds the image of a board, and runs it wherever it runs unchanged."""
    row: Row = {"board": board.id, "core": board.core, "clock_hz": board.clock_hz}
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        try:
            firmware = build(model, board, pathlib.Path(name) / "firmware").firmware
            row["flash_bytes"] = firmware.flash_bytes
            if can_run_image(board):
                row["unicorn"] = figures(run_image(firmware.elf, board), has_model(board))
            if (machine := installed_machine(board)) is not None:
                done = run_image_on_qemu(firmware.elf, board, machine)
                row["qemu"] = figures(done, False)
            elif missing := machines_with_map(board):
                row["qemu_lacks"] = missing[0].name
        except EdgeError as error:
            row["failed"] = str(error)
    return row


def figures(done: ImageRun, is_modelled: bool) -> Row:
    """What is kept of a run."""
    return {
        "emulator": done.emulator,
        "way": done.way,
        "outcome": done.outcome,
        "ended": done.ended,
        "text": done.text,
        "lamp_changes": done.lamp_changes,
        "core_hz": done.core_hz if is_modelled else None,
        "violations": [violation.sentence() for violation in done.violations],
    }


def table_of(rows: list[Row]) -> Table:
    """One row a board."""
    table = Table("board", "core", "flash", "entered through", "self-test", "clock", "says", "QEMU")
    for row in rows:
        if "failed" in row:
            table.add_row(row["board"], row["core"], "", f"[red]{row['failed']}[/]")
            continue
        done = row.get("unicorn")
        machine = row.get("qemu")
        table.add_row(
            row["board"],
            row["core"].removeprefix("cortex-"),
            f"{row['flash_bytes']:,}",
            done["way"] if done else "not run: no model of the core or the chip",
            done["outcome"] if done else "",
            clock_of(row) if done else "",
            f"{done['text'].count(chr(10))} lines" if done else "",
            f"{machine['outcome']}, {machine['emulator']}"
            if machine
            else (f"has no {row['qemu_lacks']}" if "qemu_lacks" in row else "no such map"),
        )
    return table


def clock_of(row: Row) -> str:
    """The clock that the registers make, beside what the board should have."""
    done = row["unicorn"]
    if done["core_hz"] is None:
        return "not modelled"
    is_right = abs(done["core_hz"] / row["clock_hz"] - 1) < 0.001
    order = "in order" if not done["violations"] else "; ".join(done["violations"])
    color = "green" if is_right and not done["violations"] else "red"
    return f"[{color}]{done['core_hz'] / 1e6:g} of {row['clock_hz'] / 1e6:g} MHz, {order}[/]"


def main() -> None:
    """Measures the boards that were asked for, all real ones if none was."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an int8 .tflite")
    parser.add_argument("boards", nargs="*", help="names of boards; all that are no emulator's")
    parser.add_argument("--jsonl", type=pathlib.Path, help="where a line a board is written")
    given = parser.parse_args()
    chosen = [find_board(name) for name in given.boards]
    chosen = chosen or [board for board in boards() if board.qemu_machine is None]
    rows = []
    for board in chosen:
        rows.append(measure(given.model, board))
        print(json.dumps(rows[-1]), flush=True)
    if given.jsonl is not None:
        given.jsonl.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    Console(width=200).print(table_of(rows))


if __name__ == "__main__":
    main()
