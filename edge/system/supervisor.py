"""Runs one program, and kills it with its children once the process that asked for it is dead.

A process that is killed by SIGKILL, or by the system for want of memory, cannot end its children.
So each of them gets this small process above it: `python -I -S supervisor.py SOCKET COMMAND...`.
The kernel closes the other end of the socket with the process that asked, however that one ends,
and the supervisor kills the program's process group. It is run as a file, since a package would
load slowly.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Sequence

NOT_STARTED = 127
"""The exit code if the program cannot be started; the number of the error is in the socket."""

KILL_SECONDS = 2.0
"""How long to wait for the end of the children of a killed program."""

PR_SET_CHILD_SUBREAPER = 36


def supervise(socket: int, command: Sequence[str]) -> int:
    """Starts a program and waits until it ends; kills it if the other end of a socket is closed.

    Args:
        socket: The file descriptor of one end of a socket. The other end belongs to the process
            that asked, and to no other.
        command: The program and its arguments.

    Returns:
        The exit code, as `os.waitstatus_to_exitcode` gives it.

    Example:
        >>> import socket, subprocess
        >>> here, there = socket.socketpair()
        >>> command = [sys.executable, __file__, str(there.fileno()), "sh", "-c", "exit 3"]
        >>> subprocess.run(command, pass_fds=[there.fileno()]).returncode
        3
    """
    awake, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    # A handler must be there, or the signal would not write to the pipe.
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    try:
        # Python ignores these two, and a program would inherit that.
        usual = (signal.SIGPIPE, signal.SIGXFSZ)
        program = os.posix_spawnp(command[0], [*command], os.environ, setpgroup=0, setsigdef=usual)
    except OSError as error:
        os.write(socket, str(error.errno).encode())
        return NOT_STARTED
    while True:
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        ready, _, _ = select.select([socket, awake], [], [])
        if socket in ready:
            return _kill_group(program)
        os.read(awake, 1)


def _kill_group(program: int) -> int:
    """Kills a program and its children, and waits until none of them can write any more."""
    deadline = time.monotonic() + KILL_SECONDS
    _adopt_orphans()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(program, signal.SIGKILL)
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            # Those that are not children of this process are not waited for: is the group gone?
            os.killpg(program, 0)
            time.sleep(0.01)
    return -signal.SIGKILL


def _adopt_orphans() -> None:
    """Makes grandchildren this process's own, where the system can: the first process is slow."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _main() -> None:
    """Supervises the program of this process's arguments, and ends as that ends."""
    code = supervise(int(sys.argv[1]), sys.argv[2:])
    if code < 0:
        # It has left its own core file, if it may.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    _main()
