"""What a piece of work may take, five seconds and a gibibyte, and a log that a long run resumes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import pathlib
import resource
import signal
import time
from collections.abc import Iterable, Iterator

SECONDS = 5
"""Of the processor: a busy machine makes nothing slow."""
HANG_SECONDS = 120
"""Of the clock, for what waits instead of working."""
MOST_BYTES = 1 << 30
"""Beside what the process holds before."""
ADDRESS_BYTES = 2 * MOST_BYTES
"""Beyond it an allocation fails, before the machine suffers."""
SOURCES = (".py", ".c", ".h", ".j2", ".toml")
ROOT = pathlib.Path(__file__).parent.parent


class HangError(BaseException):
    """Nothing that works on a model may catch this."""


class Usage:
    """The most that a piece of work has taken so far."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.mebibytes = 0


@contextlib.contextmanager
def bounded(usage: Usage) -> Iterator[None]:
    """Stops work that takes too long; raises a `MemoryError` after work that held too much."""
    before = _status_bytes("VmRSS")
    # The peak starts anew, at what is resident now.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status_bytes("VmSize") + ADDRESS_BYTES, hard))
    handlers = {n: signal.signal(n, _hang) for n in (signal.SIGPROF, signal.SIGALRM)}
    started = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        usage.seconds = max(usage.seconds, time.process_time() - started)
        held = _status_bytes("VmHWM") - before
        usage.mebibytes = max(usage.mebibytes, held >> 20)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if held > MOST_BYTES:
        raise MemoryError(f"{held >> 20} MiB")


def _hang(*_: object) -> None:
    raise HangError


def _status_bytes(name: str) -> int:
    status = pathlib.Path("/proc/self/status").read_text()
    return int(status.split(f"{name}:")[1].split()[0]) << 10


class Log:
    """The parts of a long run that are done, a line of JSON each; those of other code count not."""

    def __init__(self, path: pathlib.Path | None, modules: Iterable[str]) -> None:
        self.path = path
        self.code = _code_digest(modules)
        lines = path.read_text().splitlines() if path is not None and path.is_file() else []
        parts = [json.loads(line) for line in lines]
        self.done = {part["seed"]: part for part in parts if part["code"] == self.code}

    def write(self, seed: int, part: dict) -> dict:
        """Keeps the part that starts at a seed."""
        self.done[seed] = part | {"seed": seed, "code": self.code}
        if self.path is not None:
            with self.path.open("a") as file:
                file.write(json.dumps(self.done[seed]) + "\n")
        return self.done[seed]


def _code_digest(modules: Iterable[str]) -> str:
    """What changes with any line of `edge`, and of the modules that the mutants are made by."""
    files = [path for path in (ROOT / "edge").rglob("*.*") if path.suffix in SOURCES]
    files += [ROOT / "tests" / f"{name}.py" for name in modules]
    texts = [path.read_bytes() for path in sorted(files)]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:8]
