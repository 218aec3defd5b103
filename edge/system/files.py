"""Writes files all or none: whatever happens, earlier ones stay as they were."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterable, Mapping

from edge.errors import EdgeError
from edge.system.signals import uninterrupted

PROBE_BYTES = 1 << 16


def write_files(folder: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Writes files so that a failure or a signal leaves everything as it was.

    Args:
        folder: Made if it is not there; its other files stay.
        contents: Bytes by file name, which may name a subfolder: `"firmware/main.c"`.

    Raises:
        EdgeError: If the folder cannot be written.

    Example:
        >>> with tempfile.TemporaryDirectory() as name:
        ...     write_files(pathlib.Path(name), {"a.h": b""})
        ...     os.listdir(name)
        ['a.h']
    """
    staging = None
    made: list[pathlib.Path] = []
    try:
        with uninterrupted():
            made = _missing({(folder / name).parent for name in contents} | {folder})
            for path in made:
                path.mkdir(exist_ok=True)
            # Inside the folder: on the same file system, renaming cannot fail half way.
            staging = pathlib.Path(tempfile.mkdtemp(prefix=".keras-mobilenet-", dir=folder))
        for name, content in contents.items():
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            (staging / name).write_bytes(content)
        _require_no_folder(folder / name for name in contents)
        with uninterrupted():
            for name in contents:
                os.replace(staging / name, folder / name)
            made = []
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        with uninterrupted():
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)
            for path in reversed(made):
                # Not there yet, or another process has put something into it.
                with contextlib.suppress(OSError):
                    path.rmdir()


def read_file(path: pathlib.Path) -> bytes:
    """Reads a file, and no device or pipe, which may never end.

    Args:
        path: Of the file.

    Returns:
        Its bytes.

    Raises:
        OSError: If it cannot be read.

    Example:
        >>> read_file(pathlib.Path("/dev/zero"))
        Traceback (most recent call last):
        OSError: [Errno 22] Not a file: '/dev/zero'
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "Not a file", str(path))
    return path.read_bytes()


def require_writable(folder: pathlib.Path, names: Iterable[str] = ()) -> None:
    """Says that files cannot be written before minutes of work, not after.

    Args:
        folder: Where they shall be; nothing is made.
        names: Of the files.

    Raises:
        EdgeError: If the folder cannot be written, the disk is full, or a file's name is taken by
            a folder.

    Example:
        >>> require_writable(pathlib.Path("/proc/nowhere"))
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot write to /proc/nowhere: ...
    """
    try:
        nearest = next(path for path in (folder, *folder.parents) if _is_there(path))
        # Without a name: nothing is left behind, whatever happens.
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
        _require_no_folder(folder / name for name in names)
    except OSError as error:
        raise _refused(folder, error) from error


def _missing(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Those folders and their parents that are not there, outermost first."""
    every = {path for folder in folders for path in (folder, *folder.parents)}
    return sorted((p for p in every if not p.is_dir()), key=lambda p: len(p.parts))


def _is_there(path: pathlib.Path) -> bool:
    return path.is_symlink() or path.exists()


def _require_no_folder(paths: Iterable[pathlib.Path]) -> None:
    for path in paths:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder there")


def _refused(folder: pathlib.Path, error: OSError) -> EdgeError:
    return EdgeError(
        f"Cannot write to {folder}: {error.strerror or error}. Choose another output folder."
    )
