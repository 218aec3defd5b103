"""Runs a board's images on unicorn, as a child process."""

from __future__ import annotations

import math
import os
import pathlib
import pickle
import sys
from concurrent.futures import ProcessPoolExecutor

import unicorn

from edge.firmware.machine.board_machine import BoardMachine
from edge.firmware.machine.boot import find_boot
from edge.firmware.machine.chips import make_chip
from edge.firmware.machine.image_run import CPUS, REQUEST_FILE, RUN_FILE, ImageRequest, ImageRun
from edge.firmware.machine.line import Line
from edge.firmware.machine.symbols import read_image
from edge.firmware.machine.watch import Watch
from edge.system.subprocesses import ERROR_FILE


def main(folder: pathlib.Path) -> None:
    """Runs the images that were asked for, and writes what they did.

    Args:
        folder: The folder with the requests, where the runs are written.
    """
    requests: list[ImageRequest] = pickle.loads((folder / REQUEST_FILE).read_bytes())
    if (core := requests[0].board.core) not in CPUS:
        (folder / ERROR_FILE).write_text(f"unicorn {unicorn.__version__} has no {core}.", "utf-8")
        sys.exit(1)
    if len(requests) == 1:
        runs = [run(requests[0])]
    else:
        with ProcessPoolExecutor(min(len(requests), os.cpu_count() or 1)) as processes:
            runs = list(processes.map(run, requests))
    (folder / RUN_FILE).write_bytes(pickle.dumps(runs))


def run(request: ImageRequest) -> ImageRun:
    """Runs an image.

    Args:
        request: What is to run.

    Returns:
        What it did.
    """
    board, watch = request.board, Watch()
    line = Line(watch, request.fed)
    chip = make_chip(board, line, watch, is_dead=request.is_dead)
    image = read_image(request.elf)
    boot = find_boot(board, image, watch)
    machine = BoardMachine(board, image, chip, watch, banks=[*board.flash, *board.ram])
    ended = machine.run(boot, request.limit_s)
    hz = chip.core_hz()
    return ImageRun(
        emulator=f"unicorn {unicorn.__version__}",
        way=boot.way,
        text=line.sent.decode("ascii", "replace"),
        result=machine.result,
        ended=ended,
        core_hz=None if math.isnan(hz) else hz,
        violations=tuple(watch.violations),
        fault=machine.fault,
        lamp_changes=chip.lamp.changes,
    )


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
