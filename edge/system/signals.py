"""Ctrl-C, and a polite kill: where they may end the program, and where they wait."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated.", signal.SIGHUP: "Hung up."}

PATIENCE_SECONDS = 5.0
"""So long a clean-up may take before the same signal counts again."""

SHOW_CURSOR = b"\x1b[?25h"
"""A progress bar hides it."""

_last_raised = -PATIENCE_SECONDS
_scratch: list[str] = []


class Interrupted(KeyboardInterrupt):
    """A signal that asks the program to end.

    Args:
        number: Of the signal.

    Example:
        >>> Interrupted(signal.SIGINT).exit_code, str(Interrupted(signal.SIGTERM))
        (130, 'Terminated.')
    """

    def __init__(self, number: int):
        super().__init__(WORDS[signal.Signals(number)])
        self.exit_code = 128 + number


def raise_interrupted() -> None:
    """Makes every such signal an `Interrupted`, raised wherever the main thread is.

    Example:
        >>> raise_interrupted()
        >>> try:
        ...     signal.raise_signal(signal.SIGTERM)
        ... except Interrupted as error:
        ...     print(error, error.exit_code)
        Terminated. 143
    """
    _handle(_raise)


def end_at_once(stderr: int = 2) -> None:
    """Makes every such signal end the process on the spot: while nothing is there to clean up.

    An exception in the middle of importing native code would be taken for something else.

    Args:
        stderr: File descriptor for the one line.

    Example:
        >>> import subprocess, sys
        >>> code = "import edge.system.signals as i; i.end_at_once(); i.signal.raise_signal(15)"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        143
    """
    _handle(lambda number, frame: _end(number, stderr))


@contextlib.contextmanager
def ending_at_once(stderr: int = 2) -> Iterator[None]:
    """`end_at_once` for a block.

    Args:
        stderr: File descriptor for the one line.

    Yields:
        Nothing; the handlers of before are back when the block ends.

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
    """`ending_at_once` for a block that runs TensorFlow, if this process is the command line.

    An exception between two of TensorFlow's calls can leave its memory damaged: the process may
    abort before anything is cleaned up. In a caller's own session nothing changes.

    Yields:
        Nothing; the block makes no files but in the folder of `make_scratch`.

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
    """Gives this process's temporary files a folder of their own, for `remove_scratch`.

    TensorFlow writes modules there, and Python their bytecode beside them.

    Example:
        >>> make_scratch()
        >>> remove_scratch()
    """
    if not _scratch:
        _scratch.append(tempfile.mkdtemp(prefix="keras-mobilenet-"))
        tempfile.tempdir = _scratch[0]


def remove_scratch() -> None:
    """Removes the scratch folder, if there is one: the process is ending.

    Example:
        >>> remove_scratch()
    """
    while _scratch:
        tempfile.tempdir = None
        shutil.rmtree(_scratch.pop(), ignore_errors=True)


def ignore() -> None:
    """Lets no such signal through any more: the outcome stands, the process is ending.

    Example:
        >>> ignore()
        >>> signal.raise_signal(signal.SIGINT)
    """
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Holds such signals back until the block is done; for steps that belong together.

    Yields:
        Nothing; a signal that came meanwhile is raised after the block.

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
    """Sets a handler, except where the caller had a signal ignored: nohup, a shell's `&`."""
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
    # A second Ctrl-C, or a shell's beside the terminal's, must not cut the clean-up short.
    if now - _last_raised >= PATIENCE_SECONDS:
        _last_raised = now
        raise Interrupted(number)


def _end(number: int, stderr: int) -> NoReturn:
    remove_scratch()
    with contextlib.suppress(OSError):
        if os.isatty(stderr):
            os.write(stderr, SHOW_CURSOR + b"\n")
        os.write(stderr, f"Error: {WORDS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)
