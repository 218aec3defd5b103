"""Runs tools, and native code that may abort, in child processes that end with this process."""

from __future__ import annotations

import os
import pathlib
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from edge.errors import EdgeError
from edge.system import supervisor
from edge.system.signals import uninterrupted

ERROR_FILE = "error.txt"
PIPE_BYTES = 1 << 16
SUPERVISOR = (sys.executable, "-I", "-S", supervisor.__file__)


def run_tool(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end, and kills it with its children if this process ends before.

    A compiler's driver starts children of its own. They form one process group, so that none keeps
    writing into a folder that is being removed, and Ctrl-C in a terminal reaches only this process.
    `edge/system/supervisor.py` kills the group, also if this process is killed itself.

    Args:
        command: The program and its arguments.
        options: Options of `subprocess.Popen`; `input`, the text or bytes that the program reads
            from its standard input; `timeout`, the seconds after which it is killed; `watch`, a
            function that is given each piece of text as soon as the program prints it.

    Returns:
        The exit code and the output of the program.

    Raises:
        OSError: If the program cannot be started.
        subprocess.TimeoutExpired: If it was killed because its time was over.

    Example:
        >>> run_tool(["echo", "42 bytes"], text=True).stdout.strip()
        '42 bytes'
    """
    sent, seconds = options.pop("input", None), options.pop("timeout", None)
    watch = options.pop("watch", None)
    options.setdefault("stdin", subprocess.DEVNULL if sent is None else subprocess.PIPE)
    process = None
    ours, theirs = socket.socketpair()
    # The temporary files of a killed compiler are removed with this folder.
    with ours, theirs, tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as scratch:
        environment = (options.pop("env", None) or os.environ) | {"TMPDIR": scratch}
        try:
            with uninterrupted():
                process = subprocess.Popen(
                    [*SUPERVISOR, str(theirs.fileno()), *map(os.fspath, command)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    process_group=0,
                    pass_fds=[theirs.fileno()],
                    env=environment,
                    **options,
                )
                theirs.close()
            if watch is None:
                stdout, stderr = process.communicate(sent, timeout=seconds)
            else:
                stdout, stderr = _watched(process, watch, seconds)
        except BaseException:
            with uninterrupted():
                # The supervisor kills the program and its children, and ends.
                ours.close()
                if process is not None:
                    process.wait()
            raise
        if process.returncode == supervisor.NOT_STARTED and (number := ours.recv(16)):
            raise OSError(int(number), os.strerror(int(number)), os.fspath(command[0]))
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _watched(
    process: subprocess.Popen, watch: Callable[[str], None], seconds: float | None
) -> tuple[bytes, bytes]:
    """Collects what a program prints, and passes on each piece as it comes."""
    end = None if seconds is None else time.monotonic() + seconds
    assert process.stdout is not None
    assert process.stderr is not None
    parts: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
    with process.stdout, process.stderr, selectors.DefaultSelector() as open_pipes:
        for pipe in parts:
            open_pipes.register(pipe, selectors.EVENT_READ)
        while open_pipes.get_map():
            left = None if end is None else max(0.0, end - time.monotonic())
            ready = open_pipes.select(left)
            if left is not None and (left <= 0 or not ready):
                raise subprocess.TimeoutExpired(process.args, seconds or 0.0)
            for key, _ in ready:
                if part := os.read(key.fd, PIPE_BYTES):
                    parts[key.fd].append(part)
                    watch(part.decode("utf-8", "replace"))
                else:
                    open_pipes.unregister(key.fd)
    process.wait(None if end is None else max(0.0, end - time.monotonic()))
    stdout, stderr = (b"".join(each) for each in parts.values())
    return stdout, stderr


def run_child(module: str, folder: pathlib.Path, failure: type[EdgeError], what: str) -> str:
    """Runs `python -m module folder` and turns a failure into one clear error.

    The child reads and writes files in `folder`. It writes an error that it can explain to
    `error.txt`; otherwise the signal or the last line that it printed explains the failure.

    Args:
        module: The name of the module to run.
        folder: The folder for input and output files, the child's only argument.
        failure: The type of the error to raise.
        what: The name of the work, with which the error message begins.

    Returns:
        The text that the child printed on its standard error.

    Raises:
        EdgeError: An error of type `failure`, if the child's exit code is not 0.

    Example:
        >>> run_child("edge.no_such", pathlib.Path("."), EdgeError, "Testing")
        Traceback (most recent call last):
        edge.errors.EdgeError: Testing failed: ...No module named edge.no_such
    """
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONWARNINGS": "ignore",
    }
    done = run_tool(
        [sys.executable, "-m", module, str(folder)], text=True, errors="replace", env=environment
    )
    if done.returncode == 0:
        return done.stderr
    named = folder / ERROR_FILE
    if named.is_file():
        raise failure(named.read_text("utf-8").strip())
    if done.returncode < 0:
        raise failure(f"{what} crashed ({signal.Signals(-done.returncode).name}).")
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no output")
    raise failure(f"{what} failed: {last.strip()}")
