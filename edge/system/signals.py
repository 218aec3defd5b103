"""Handles SIGINT (Ctrl-C), SIGTERM and SIGHUP: where they end the program, and where they wait."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from edge.system.temporary import LockedFolder, remove_stale

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated.", signal.SIGHUP: "Hung up."}

PATIENCE_SECONDS = 5.0
"""A second signal within this time is ignored, so that it cannot interrupt the clean-up."""

SCRATCH_PREFIX = "keras-mobilenet-scratch-"
"""The first letters of the folder of all temporary files of a process."""

SHOW_CURSOR = b"\x1b[?25h"
"""The escape sequence that shows the cursor again, which a progress bar hides."""

_last_raised = -PATIENCE_SECONDS
_raised: list[int] = []
_scratch: list[LockedFolder] = []


class Interrupted(KeyboardInterrupt):
    """Raised where a signal asks the program to end.

    Args:
        number: The number of the signal.

    Example:
        >>> Interrupted(signal.SIGINT).exit_code, str(Interrupted(signal.SIGTERM))
        (130, 'Terminated.')
    """

    def __init__(self, number: int):
        super().__init__(WORDS[signal.Signals(number)])
        self.exit_code = 128 + number


def raise_interrupted() -> None:
    """Turns each of these signals into an `Interrupted`, raised wherever the main thread is.

    Example:
        >>> raise_interrupted()
        >>> try:
        ...     signal.raise_signal(signal.SIGTERM)
        ... except Interrupted as error:
        ...     print(error, error.exit_code)
        Terminated. 143
    """
    global _last_raised
    _last_raised = -PATIENCE_SECONDS
    _raised.clear()
    _handle(_raise)


def interruption() -> Interrupted | None:
    """The first signal that was turned into an exception, whatever became of that exception.

    Native code that it meets while it loads reports an error of its own in its place.

    Returns:
        The exception, to be raised again; None if no signal has come.

    Example:
        >>> raise_interrupted()
        >>> try:
        ...     signal.raise_signal(signal.SIGTERM)
        ... except KeyboardInterrupt:
        ...     print(interruption())
        Terminated.
    """
    return Interrupted(_raised[0]) if _raised else None


def end_at_once(stderr: int = 2) -> None:
    """Lets each of these signals end the process at once, while there is nothing to clean up.

    An exception in the middle of importing native code would be taken for another error.

    Args:
        stderr: The file descriptor to which the error message is written.

    Example:
        >>> import subprocess, sys
        >>> code = "import edge.system.signals as i; i.end_at_once(); i.signal.raise_signal(15)"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        143
    """
    _handle(lambda number, frame: _end(number, stderr))


@contextlib.contextmanager
def ending_at_once(stderr: int = 2) -> Iterator[None]:
    """Lets each of these signals end the process at once while a block runs.

    Args:
        stderr: The file descriptor to which the error message is written.

    Yields:
        Nothing; the earlier signal handlers are restored when the block ends.

    Example:
        >>> before = signal.getsignal(signal.SIGTERM)
        >>> with ending_at_once(2):
        ...     signal.getsignal(signal.SIGTERM) == before
        False
        >>> signal.getsignal(signal.SIGTERM) == before
        True
    """
    before = _handle(lambda number, frame: _end(number, stderr))
    try:
        yield
    finally:
        _restore(before)


@contextlib.contextmanager
def in_native_code() -> Iterator[None]:
    """Lets signals end the process at once while a block runs TensorFlow in the command line.

    An exception between two of TensorFlow's calls can leave its memory damaged, and the process may
    abort before anything is cleaned up. Outside the command line the block changes nothing.

    Yields:
        Nothing; the block must write files only to the folder of `make_scratch`.

    Example:
        >>> before = signal.getsignal(signal.SIGTERM)
        >>> with in_native_code():
        ...     signal.getsignal(signal.SIGTERM) == before
        True
    """
    if any(signal.getsignal(number) is _raise for number in SIGNALS):
        with ending_at_once():
            yield
    else:
        yield


def make_scratch() -> None:
    """Creates a folder for all temporary files of this process, which `remove_scratch` removes.

    TensorFlow writes Python modules there, and Python writes their bytecode beside them. What
    killed processes left is removed.

    Raises:
        OSError: If there is no folder for temporary files, or it is full.

    Example:
        >>> make_scratch()
        >>> remove_scratch()
    """
    if not _scratch:
        parent = pathlib.Path(tempfile.gettempdir())
        remove_stale(parent, SCRATCH_PREFIX)
        with uninterrupted():
            _scratch.append(LockedFolder(parent, SCRATCH_PREFIX))
        tempfile.tempdir = str(_scratch[0].path)


def remove_scratch() -> None:
    """Removes the folder of `make_scratch`, if there is one, before the process ends.

    Example:
        >>> remove_scratch()
    """
    while _scratch:
        tempfile.tempdir = None
        _scratch.pop().remove()


def ignore() -> None:
    """Ignores these signals from now on, because the result stands and the process is ending.

    Example:
        >>> ignore()
        >>> signal.raise_signal(signal.SIGINT)
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Delays these signals until a block is done, for steps that must not be separated.

    Yields:
        Nothing; a signal that arrived meanwhile is raised after the block.

    Example:
        >>> with contextlib.suppress(KeyboardInterrupt), uninterrupted():
        ...     signal.raise_signal(signal.SIGINT)
        ...     print("still here")
        still here
    """
    if threading.current_thread() is not threading.main_thread():
        # Python runs signal handlers in the main thread only.
        yield
        return
    came: list[int] = []
    before = _handle(lambda number, frame: came.append(number))
    try:
        yield
    finally:
        _restore(before)
        if came:
            signal.raise_signal(came[0])


def _handle(handler: signal._HANDLER) -> dict[int, signal._HANDLER]:
    """Sets a handler, except for signals that the caller ignores, as nohup and a shell's `&` do."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    kept: dict[int, signal._HANDLER] = {
        number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)
    }
    for number in kept:
        signal.signal(number, handler)
    return kept


def _restore(handlers: dict[int, signal._HANDLER]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    global _last_raised
    now = time.monotonic()
    # A second Ctrl-C, from the user or from a shell, must not interrupt the clean-up.
    if now - _last_raised >= PATIENCE_SECONDS:
        _last_raised = now
        _raised.append(number)
        raise Interrupted(number)


def _end(number: int, stderr: int) -> NoReturn:
    remove_scratch()
    with contextlib.suppress(OSError):
        if os.isatty(stderr):
            os.write(stderr, SHOW_CURSOR + b"\n")
        os.write(stderr, f"Error: {WORDS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)
