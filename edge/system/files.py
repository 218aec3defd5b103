"""Writes files all or none: if anything fails, the earlier files stay as they were."""

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
        folder: The folder to write to; it is created if missing, and its other files stay.
        contents: The bytes of each file, by a name that may include a subfolder, such as
            `"firmware/main.c"`.

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
            # On the same file system as the folder, so that renaming cannot fail half way.
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
                # It was not created yet, or another process has put something into it.
                with contextlib.suppress(OSError):
                    path.rmdir()


def read_file(path: pathlib.Path) -> bytes:
    """Reads a file, but refuses devices and pipes, which may never end.

    Args:
        path: The path of the file to read.

    Returns:
        The bytes of the file.

    Raises:
        OSError: If the file cannot be read, or is no regular file.

    Example:
        >>> read_file(pathlib.Path("/dev/zero"))
        Traceback (most recent call last):
        OSError: [Errno 22] Not a file: '/dev/zero'
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "Not a file", str(path))
    return path.read_bytes()


def require_writable(folder: pathlib.Path, names: Iterable[str] = ()) -> None:
    """Checks that files can be written, so that an error comes before minutes of work.

    Args:
        folder: The folder for the files; it is not created.
        names: The names of the files.

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
        # A temporary file without a name leaves nothing behind, whatever happens.
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
        _require_no_folder(folder / name for name in names)
    except OSError as error:
        raise _refused(folder, error) from error


def _missing(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Lists the folders and parents that do not exist yet, outermost first."""
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
