"""Runs native code that may abort in a process of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys

from edge.errors import EdgeError

ERROR_FILE = "error.txt"


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
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
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
