"""Ctrl-C, and a polite kill: where they may end the program, and where they wait."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = {signal.SIGINT: "Interrupted.", signal.SIGTERM: "Terminated.", signal.SIGHUP: "Hung up."}

PATIENCE_SECONDS = 5.0
"""So long a clean-up may take before the same signal counts again."""

_last_raised = -PATIENCE_SECONDS


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
        >>> code = "import edge.interrupt as i; i.end_at_once(); i.signal.raise_signal(15)"
        >>> subprocess.run([sys.executable, "-c", code], stderr=subprocess.DEVNULL).returncode
        143
    """
    _handle(lambda number, frame: _end(number, stderr))


@contextlib.contextmanager
def ending_at_once(stderr: int) -> Iterator[None]:
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
    with contextlib.suppress(OSError):
        os.write(stderr, f"Error: {WORDS[signal.Signals(number)]}\n".encode())
    os._exit(128 + number)
