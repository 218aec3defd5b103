"""The command monitor."""

from __future__ import annotations

import time

from edge.cli.console import print_note, say
from edge.cli.options import MonitorBoardOption, MonitorPortOption, SecondsOption


def monitor(
    port: MonitorPortOption = "auto",
    board: MonitorBoardOption = None,
    seconds: SecondsOption = None,
) -> None:
    """Print what a board says on its serial port, until Ctrl-C."""
    from edge.catalog.boards import find_board
    from edge.firmware.serial_link import open_link
    from edge.firmware.serial_ports import find_port

    name = find_port(port, None if board is None else find_board(board))
    end = None if seconds is None else time.monotonic() + seconds
    with open_link(name) as link:
        print_note(f"Listening to {name}; press the board's reset button to see its start.")
        for line in link.lines():
            if line:
                say(line)
            if end is not None and time.monotonic() >= end:
                return
