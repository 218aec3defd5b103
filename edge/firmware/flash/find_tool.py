"""Finds the programs that program boards: on the path, beside Python, and in Arduino's folders."""

from __future__ import annotations

import pathlib
import shutil
import sys

HOW_TO_INSTALL = {
    "pyocd": "pip install pyocd",
    "openocd": "Debian: apt install openocd",
    "st-flash": "Debian: apt install stlink-tools",
    "st-info": "Debian: apt install stlink-tools",
    "probe-rs": "see probe.rs",
    "bossac": "Debian: apt install bossa-cli",
    "dfu-util": "Debian: apt install dfu-util",
    "teensy_loader_cli": "Debian: apt install teensy-loader-cli",
}
ARDUINO_FOLDERS = (".arduino15", "Library/Arduino15", "AppData/Local/Arduino15")


def find_tool(name: str) -> str | None:
    """Finds a program.

    Args:
        name: The name of the command.

    Returns:
        The path of the first that is found; None if there is none.

    Example:
        >>> find_tool("no-such-tool") is None
        True
    """
    return next(iter(find_tools(name)), None)


def find_tools(name: str) -> list[str]:
    """Finds all programs of a name, since makers ship their own versions of some.

    Args:
        name: The name of the command.

    Returns:
        Their paths: that of the path first, then the one beside Python, then those that Arduino's
        IDE has installed.

    Example:
        >>> find_tools("no-such-tool")
        []
    """
    # Python's own folder is not on the path where an environment is not activated.
    beside = shutil.which(name, path=str(pathlib.Path(sys.executable).parent))
    found = [path for path in (shutil.which(name), beside) if path is not None]
    for folder in ARDUINO_FOLDERS:
        packages = pathlib.Path.home() / folder / "packages"
        found += map(str, sorted(packages.glob(f"*/tools/{name}/*/{name}")))
    return list(dict.fromkeys(found))
