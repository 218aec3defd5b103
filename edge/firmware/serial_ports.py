"""Finds the serial port of a board by the USB ids of what takes it to the computer."""

from __future__ import annotations

from edge.catalog.boards import Board, boards
from edge.errors import EdgeError

AUTO = "auto"


def find_port(asked: str, board: Board | None = None) -> str:
    """Finds a port.

    Args:
        asked: The port's name, or `"auto"` to look for a board.
        board: The board to look for; any that the catalog knows if None.

    Returns:
        The port's name; `asked` itself unless it is `"auto"`.

    Raises:
        EdgeError: If no such board is connected, or several; or if the board's firmware needs an
            adapter of the user's.

    Example:
        >>> find_port("/dev/ttyUSB0")
        '/dev/ttyUSB0'
    """
    if asked != AUTO:
        return asked
    wanted = boards() if board is None else [board]
    ids = {usb_id for one in wanted if one.port is not None for usb_id in one.port.usb_ids}
    if board is not None and not ids:
        raise EdgeError(f"{_adapter(board)} Name the adapter's port with --port.")
    found = sorted(port for port, usb_id in connected_ports().items() if usb_id in ids)
    whose = "of a board" if board is None else f"of the {board.name} ({', '.join(sorted(ids))})"
    if not found:
        others = ", ".join(connected_ports()) or "none"
        raise EdgeError(
            f"No serial port {whose} is connected; ports: {others}. Connect its USB, or name a "
            "port with --port."
        )
    if len(found) > 1:
        raise EdgeError(
            f"{len(found)} serial ports {whose}: {', '.join(found)}. Choose one with --port."
        )
    return found[0]


def connected_ports() -> dict[str, str]:
    """Lists the serial ports of this computer.

    Returns:
        The USB vendor and product ids of each, such as `"0483:374b"`, by its name; empty ids where
        it is none of USB.

    Example:
        >>> all(isinstance(usb_id, str) for usb_id in connected_ports().values())
        True
    """
    from serial.tools import list_ports

    return {
        port.device: "" if port.vid is None else f"{port.vid:04x}:{port.pid:04x}"
        for port in list_ports.comports()
    }


def _adapter(board: Board) -> str:
    if board.port is None:
        return f"The firmware of the {board.name} speaks on no serial port."
    return (
        f"The {board.name} needs a serial adapter of 3.3 V: its input to {board.port.tx}, its "
        f"output to {board.port.rx}, and ground."
    )
