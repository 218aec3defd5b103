"""Temporary folders that the next run removes if this process is killed.

Each is locked for as long as its process lives. The kernel lets the lock go with the process, by
SIGKILL too, so a folder that can be locked is stale. On a file system without locks nothing is
taken for stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from edge.errors import EdgeError

ATTEMPTS = 100


class LockedFolder:
    """A new temporary folder, which no other process takes for stale while this one lives.

    Args:
        parent: The folder to make it in.
        prefix: The first letters of its name, by which `remove_stale` finds it.

    Raises:
        OSError: If the folder cannot be made.

    Example:
        >>> folder = LockedFolder(pathlib.Path("."), ".new-")
        >>> remove_stale(pathlib.Path("."), ".new-")
        >>> folder.path.is_dir()
        True
        >>> folder.remove()
        >>> folder.path.is_dir()
        False
    """

    def __init__(self, parent: pathlib.Path, prefix: str):
        for _ in range(ATTEMPTS):
            self.path = pathlib.Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # Another process took it for stale before it was locked, and removes it.
                pass
            except OSError:
                return
            if self.path.is_dir():
                return
            os.close(self._descriptor)
        raise EdgeError(f"Cannot keep a temporary folder in {parent}: another process removes it.")

    def rename(self, name: str) -> None:
        """Gives the folder another name in the same place, at once.

        Args:
            name: The new name.
        """
        self.path = self.path.rename(self.path.with_name(name))

    def remove(self) -> None:
        """Removes the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        # The numbers of closed files are given out again: never close one twice.
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def remove_stale(parent: pathlib.Path, prefix: str) -> None:
    """Removes what killed processes of this user left behind.

    Args:
        parent: The folder that holds the temporary folders; it may be missing.
        prefix: The first letters of their names.

    Example:
        >>> pathlib.Path(".new-left").mkdir()
        >>> remove_stale(pathlib.Path("."), ".new-")
        >>> os.listdir()
        []
    """
    for _ in each_stale(parent, prefix):
        pass


def each_stale(parent: pathlib.Path, prefix: str) -> Iterator[pathlib.Path]:
    """Finds what killed processes of this user left behind, and removes each after a look at it.

    Args:
        parent: The folder that holds the temporary folders; it may be missing.
        prefix: The first letters of their names.

    Yields:
        The path of a stale folder, which no other process takes meanwhile.

    Example:
        >>> pathlib.Path(".new-left").mkdir()
        >>> [path.name for path in each_stale(pathlib.Path("."), ".new-")], os.listdir()
        (['.new-left'], [])
    """
    try:
        names = [name for name in os.listdir(parent) if name.startswith(prefix)]
    except OSError:
        return
    for name in names:
        with contextlib.suppress(OSError):
            # A link is not followed: it may lead to what is not ours.
            path = parent / name
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.geteuid():
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    yield path
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)
