"""Boards as the commands print them with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.catalog.boards import Board
    from edge.deploy.run_port import PortRun


def fields(of: object, names: str) -> dict[str, Any]:
    """The attributes of an object whose keys are their names.

    Args:
        of: The object.
        names: The names, with spaces between them.

    Returns:
        The values by name.

    Example:
        >>> fields(1 + 2j, "real imag")
        {'real': 1.0, 'imag': 2.0}
    """
    return {name: getattr(of, name) for name in names.split()}


def board_json(board: Board) -> dict[str, Any]:
    """A board, as `boards` lists it.

    Args:
        board: The board.

    Returns:
        Every figure and its source.
    """
    banks = {
        name: [fields(bank, "name address bytes") for bank in getattr(board, name)]
        for name in ("flash", "ram")
    }
    names = "id name vendor mcu core fpu dsp mve clock_hz aliases flash_method flash_target"
    names += " flash_wait_states flash_line_bytes uf2_family boot_block qemu_machine sources"
    port = board.port and fields(board.port, "name tx rx bridge usb_ids")
    parts = {"chip": board.chip.family, "uart": port, "led": board.led and board.led.name}
    return fields(board, f"{names} flash_bytes ram_bytes is_at_full_clock") | parts | banks


def run_port_json(done: PortRun) -> dict[str, Any]:
    """What `run --port` prints.

    Args:
        done: A run on a connected board.

    Returns:
        The board and its port, how many inputs agree, how many have the right class, and what an
        inference takes.
    """
    figures = "port input_count equal_count correct_count median_cycles milliseconds"
    device = {"board": done.device.board, "clock_hz": done.device.clock_hz}
    return device | fields(done, figures)
