"""Writes files all or none: if anything fails, the earlier files stay as they were.

Every output goes through here. What a name leads to must be a regular file, or nothing yet. A
device, a pipe or a socket is not replaced by a file, and not written to either: a file is complete
or not there, which neither can be. A symbolic link is refused too, because replacing it would cut
what somebody has tied, and writing through it would change a file in a place that the command does
not name. The folders on the way may be links to folders. A folder's other files are left alone.

A process that is killed by SIGKILL leaves a folder whose name begins with `.keras-mobilenet-`. The
next one that writes to the same place removes it. If all files in it were ready, and some perhaps
had taken their places, the others follow first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping

from edge.errors import EdgeError
from edge.system.signals import uninterrupted
from edge.system.temporary import LockedFolder, each_stale, remove_stale

PROBE_BYTES = 1 << 16
DRIVE_BYTES = 1 << 16
STAGING_PREFIX = ".keras-mobilenet-"
"""The first letters of the folder in which files are made before they take their places."""

READY_PREFIX = f"{STAGING_PREFIX}ready-"
"""The same once all of them are made: if the process is killed now, the next one moves them."""


def output_path(path: str | os.PathLike) -> pathlib.Path:
    """Makes the path of an output from what a user gave.

    Args:
        path: The path of a file or a folder. The current folder is `"."`, not the empty string,
            which is what an unset variable of a script leaves.

    Returns:
        The path.

    Raises:
        EdgeError: If it is empty, or no path.

    Example:
        >>> output_path("")
        Traceback (most recent call last):
        edge.errors.EdgeError: The path to write to is empty; for the current folder give a dot.
    """
    if not os.fspath(path):
        raise EdgeError("The path to write to is empty; for the current folder give a dot.")
    if "\0" in os.fspath(path):
        raise EdgeError("The path to write to has a null character in it; no path can.")
    return pathlib.Path(path)


def output_file(path: str | os.PathLike) -> pathlib.Path:
    """Makes the path of a file to write, and sees that it can be, before any work is done.

    Args:
        path: The path of the file.

    Returns:
        The path.

    Raises:
        EdgeError: If it is empty, or no file can be written there.

    Example:
        >>> output_file("/dev/null")
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot write to /dev: null is a device there, and not a file. ...
    """
    made = output_path(path)
    require_writable(made.parent, [made.name])
    return made


def output_folder(path: str | os.PathLike) -> pathlib.Path:
    """Makes the path of a folder to write to, and sees that it can be, before any work is done.

    Args:
        path: The path of the folder, which need not be there.

    Returns:
        The path.

    Raises:
        EdgeError: If it is empty, or no folder can be there.

    Example:
        >>> output_folder("/dev/null")
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot write to /dev/null: null is no folder. ...
    """
    made = output_path(path)
    require_writable(made)
    return made


def write_files(folder: pathlib.Path, contents: Mapping[str, bytes]) -> None:
    """Writes files so that a failure or a signal leaves everything as it was.

    Args:
        folder: The folder to write to; it is created if missing, and its other files stay.
        contents: The bytes of each file, by a name that may include a subfolder, such as
            `"firmware/main.c"`.

    Raises:
        EdgeError: If the folder cannot be written, or a name leads to what is no regular file.

    Example:
        >>> with tempfile.TemporaryDirectory() as name:
        ...     write_files(pathlib.Path(name), {"a.h": b""})
        ...     os.listdir(name)
        ['a.h']
    """
    staging: LockedFolder | None = None
    made: list[pathlib.Path] = []
    try:
        _require_places(folder, contents)
        _end_killed_writes(folder)
        with uninterrupted():
            made = _missing([folder])
            for path in made:
                path.mkdir(exist_ok=True)
            # On the same file system as the folder, so that renaming cannot fail half way.
            staging = LockedFolder(folder, STAGING_PREFIX)
        for name, content in contents.items():
            (staging.path / name).parent.mkdir(parents=True, exist_ok=True)
            (staging.path / name).write_bytes(content)
        with uninterrupted():
            _require_places(folder, contents)
            subfolders = _missing((folder / name).parent for name in contents)
            made += subfolders
            for path in subfolders:
                path.mkdir(exist_ok=True)
            staging.rename(READY_PREFIX + staging.path.name.removeprefix(STAGING_PREFIX))
            for name in contents:
                os.replace(staging.path / name, folder / name)
            made = []
    except OSError as error:
        raise _refused(folder, error) from error
    finally:
        with uninterrupted():
            if staging is not None:
                staging.remove()
            for path in reversed(made):
                # It was not created yet, or another process has put something into it.
                with contextlib.suppress(OSError):
                    path.rmdir()


def write_to_drive(
    folder: pathlib.Path,
    name: str,
    content: bytes,
    tell: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Writes a file to the drive of a boot loader, which knows no folders and no renaming.

    What is refused is refused before anything is written; what cannot be written to its end is
    removed.

    Args:
        folder: The drive.
        name: The name of the file.
        content: Its bytes.
        tell: The function that is told which fraction is written.

    Raises:
        EdgeError: If the drive cannot be written or is too small, or the name leads to what is no
            regular file.

    Example:
        >>> write_to_drive(pathlib.Path("."), "firmware.uf2", b"UF2")
        >>> pathlib.Path("firmware.uf2").read_bytes()
        b'UF2'
    """
    path = folder / name
    made = False
    try:
        _require_places(folder, [name])
        _require_room(folder, len(content))
        made = not _is_there(path)
        # Not through a link that has come in between, and not waiting for who reads a pipe.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        for name_of_flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
            flags |= getattr(os, name_of_flag, 0)
        with open(os.open(path, flags, 0o666), "wb") as file:
            for start in range(0, len(content), DRIVE_BYTES):
                file.write(content[start : start + DRIVE_BYTES])
                file.flush()
                # Until it is on the drive, and not in the system's memory alone.
                os.fsync(file.fileno())
                tell(min(1.0, (start + DRIVE_BYTES) / len(content)))
    except OSError as error:
        if made:
            with contextlib.suppress(OSError):
                path.unlink()
        raise _refused(folder, error, "Is it the drive of the board?") from error


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


def read_folder(folder: pathlib.Path, name: str = "") -> dict[str, bytes]:
    """Reads all files below a folder, such as one in which tools have worked.

    Args:
        folder: The folder.
        name: The folder that the files go to, relative to that of `write_files`.

    Returns:
        The contents by the files' paths, `/` between their parts, as `write_files` takes them.

    Raises:
        OSError: If a file cannot be read.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_files(pathlib.Path(folder), {"src/main.c": b"int x;"})
        ...     read_folder(pathlib.Path(folder), "firmware")
        {'firmware/src/main.c': b'int x;'}
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    under = pathlib.PurePosixPath(name)
    return {(under / path.relative_to(folder)).as_posix(): path.read_bytes() for path in paths}


def require_writable(folder: pathlib.Path, names: Iterable[str] = ()) -> None:
    """Checks that files can be written, so that an error comes before minutes of work.

    Args:
        folder: The folder for the files; it is not created.
        names: The names of the files.

    Raises:
        EdgeError: If the folder cannot be written, the disk is full, or a name leads to what is no
            regular file.

    Example:
        >>> require_writable(pathlib.Path("/proc/nowhere"))
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot write to /proc/nowhere: ...
    """
    try:
        _require_places(folder, names)
        _end_killed_writes(folder)
        nearest = next(path for path in (folder, *folder.parents) if _is_there(path))
        # A temporary file without a name leaves nothing behind, whatever happens.
        with tempfile.TemporaryFile(dir=nearest) as probe:
            probe.write(bytes(PROBE_BYTES))
    except OSError as error:
        raise _refused(folder, error) from error


def _end_killed_writes(folder: pathlib.Path) -> None:
    """Moves what a killed process had ready into place, and removes what it had not."""
    for ready in each_stale(folder, READY_PREFIX):
        names = [path.relative_to(ready) for path in ready.rglob("*") if path.is_file()]
        with contextlib.suppress(OSError), uninterrupted():
            _require_places(folder, map(str, names))
            for name in names:
                os.replace(ready / name, folder / name)
    remove_stale(folder, STAGING_PREFIX)


def _missing(folders: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """Lists the folders and parents that do not exist yet, outermost first."""
    every = {path for folder in folders for path in (folder, *folder.parents)}
    return sorted((p for p in every if not p.is_dir()), key=lambda p: len(p.parts))


def _is_there(path: pathlib.Path) -> bool:
    return path.is_symlink() or path.exists()


def _require_places(folder: pathlib.Path, names: Iterable[str]) -> None:
    """Checks what stands where files and the folders on the way to them shall be."""
    paths = [folder / name for name in names]
    for parent in {folder, *(path.parent for path in paths)}:
        nearest = next((path for path in (parent, *parent.parents) if _is_there(path)), parent)
        if _is_there(nearest) and not nearest.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{nearest.name or nearest} is no folder")
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode):
                raise IsADirectoryError(errno.EISDIR, f"{path.name} is a folder there")
            if stat.S_ISLNK(mode):
                raise OSError(errno.ELOOP, f"{path.name} is a symbolic link there")
            if not stat.S_ISREG(mode):
                what = f"{path.name} is a {_kind(mode)} there, and not a file"
                raise OSError(errno.EINVAL, what)


def _require_room(folder: pathlib.Path, byte_count: int) -> None:
    if byte_count > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "pipe"
    return "socket" if stat.S_ISSOCK(mode) else "device"


def _refused(
    folder: pathlib.Path, error: OSError, hint: str = "Choose another output folder."
) -> EdgeError:
    return EdgeError(f"Cannot write to {folder}: {error.strerror or error}. {hint}")
