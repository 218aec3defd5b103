"""Runs tools, and native code that may abort, in processes of their own that end with this one."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from edge.errors import EdgeError
from edge.system.signals import uninterrupted

ERROR_FILE = "error.txt"
KILL_SECONDS = 2.0


def run_tool(command: Sequence[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """Runs a program to its end; if this one is interrupted, it and its children are killed.

    A compiler's driver has children of its own. They form a process group, so that none goes on
    writing into a folder that is being removed, and a terminal's Ctrl-C reaches this process alone.

    Args:
        command: Program and arguments.
        options: As of `subprocess.Popen`; also `input`, what the program reads.

    Returns:
        Exit code and what it printed.

    Raises:
        OSError: If the program cannot be started.

    Example:
        >>> run_tool(["echo", "42 bytes"], text=True).stdout.strip()
        '42 bytes'
    """
    sent = options.pop("input", None)
    options.setdefault("stdin", subprocess.DEVNULL if sent is None else subprocess.PIPE)
    process = None
    # What a killed compiler leaves behind goes with the folder.
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as scratch:
        environment = (options.pop("env", None) or os.environ) | {"TMPDIR": scratch}
        try:
            with uninterrupted():
                process = subprocess.Popen(
                    command,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    process_group=0,
                    env=environment,
                    **options,
                )
            stdout, stderr = process.communicate(sent)
        except BaseException:
            with uninterrupted():
                if process is not None:
                    _kill_group(process)
            raise
    return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


def _kill_group(process: subprocess.Popen) -> None:
    deadline = time.monotonic() + KILL_SECONDS
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        # Its children are not this process's to wait for.
        while time.monotonic() < deadline:
            os.killpg(process.pid, 0)
            time.sleep(0.01)


def run_child(module: str, folder: pathlib.Path, failure: type[EdgeError], what: str) -> str:
    """Runs `python -m module folder` and turns its end into a result or one clear error.

    The child reads and writes files in `folder`. An error that it can name it writes to
    `error.txt`; when it dies without a word, the signal and its last line stand in.

    Args:
        module: Module with a `main` guard.
        folder: Working folder, also the child's only argument.
        failure: The error to raise.
        what: Name of the work, for the message.

    Returns:
        What the child printed on its standard error.

    Raises:
        EdgeError: Of type `failure`, if the child ends with other than 0.

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
