"""Finds the drives that boards show up as, on Linux, macOS and Windows."""

from __future__ import annotations

import contextlib
import os
import pathlib
import string
import sys

from edge.system.files import output_path

MOUNT_FOLDERS = {"linux": ("/media", "/run/media", "/mnt"), "darwin": ("/Volumes",)}
DEEPEST = 2
LARGEST_TEXT = 1 << 16


def drives(below: str | os.PathLike | None = None) -> list[pathlib.Path]:
    """Lists the folders that may be a board's drive.

    Args:
        below: The folder below which drives are mounted; None for where the system mounts them.

    Returns:
        The folders: on Linux those in `/media`, `/run/media` and `/mnt`, also one per user; on
        macOS those in `/Volumes`; on Windows the drives by their letters.

    Raises:
        EdgeError: If the folder's name is empty.

    Example:
        >>> pathlib.Path("media/user/RPI-RP2").mkdir(parents=True)
        >>> [path.as_posix() for path in drives("media")]
        ['media', 'media/user', 'media/user/RPI-RP2']
    """
    if below is None and sys.platform == "win32":
        return [pathlib.Path(f"{letter}:\\") for letter in string.ascii_uppercase[2:]]
    named = MOUNT_FOLDERS.get(sys.platform, MOUNT_FOLDERS["linux"])
    found: list[pathlib.Path] = []
    for root in named if below is None else [output_path(below)]:
        found += _folders(pathlib.Path(root), DEEPEST)
    return found


def _folders(folder: pathlib.Path, depth: int) -> list[pathlib.Path]:
    """A folder and those in it; what cannot be read, such as another user's, has none."""
    found = [folder]
    if depth:
        with contextlib.suppress(OSError):
            for path in sorted(folder.iterdir()):
                if path.is_dir():
                    found += _folders(path, depth - 1)
    return found


def read_fields(path: pathlib.Path) -> dict[str, str] | None:
    """Reads a text file of a drive that holds `Name: value` lines.

    Args:
        path: The path of the file.

    Returns:
        The values by their names; None if the file is not there.

    Example:
        >>> pathlib.Path("INFO_UF2.TXT").write_text("UF2 Bootloader v1.0\\nBoard-ID: RPI-RP2\\n")
        38
        >>> read_fields(pathlib.Path("INFO_UF2.TXT"))
        {'Board-ID': 'RPI-RP2'}
    """
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            text = file.read(LARGEST_TEXT).decode("ascii", "replace")
    except OSError:
        return None
    pairs = [line.partition(":") for line in text.splitlines() if ":" in line]
    return {name.strip(): value.strip() for name, _, value in pairs}


def is_mounted(drive: pathlib.Path, file: str) -> bool:
    """Says whether a drive is still there: a system may keep names of what has been unplugged.

    Args:
        drive: The drive.
        file: A file that is on it.

    Returns:
        Whether the file can be found and, where the system tells, the drive's device is there.

    Example:
        >>> is_mounted(pathlib.Path("nowhere"), "INFO_UF2.TXT")
        False
    """
    try:
        mounts = pathlib.Path("/proc/mounts").read_text("utf-8").splitlines()
    except OSError:
        mounts = []
    place = str(drive.resolve())
    devices = [line.split()[0] for line in mounts if line.split()[1:2] == [place]]
    is_unplugged = any(d.startswith("/dev/") and not pathlib.Path(d).exists() for d in devices)
    with contextlib.suppress(OSError):
        return not is_unplugged and (drive / file).is_file()
    return False
