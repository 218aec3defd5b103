"""Kills every command at random moments: `kills.py FOLDER MODEL [--count 100] [--seed 0]`.

Each run is a command in a session of its own, with folders of its own. After a random share of the
time that it usually takes it gets SIGKILL, SIGTERM or SIGINT. Then its exit code, its processes,
its output and its temporary files are looked at. Prints one JSON object a run, a table at the end.
"""

from __future__ import annotations

import argparse
import collections
import collections.abc
import contextlib
import io
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile

ROOT = pathlib.Path(__file__).parents[3]
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
WORDS = {signal.SIGTERM: "Error: Terminated.", signal.SIGINT: "Error: Interrupted."}
SCRATCH, STAGING = "keras-mobilenet-scratch-", ".keras-mobilenet-"
GRACE_SECONDS = 5.0
LONGEST_SECONDS = 600
LAST_SHARE = 1.05
"""Of the usual time; some runs end before the signal comes."""

QUICK = ("--float-epochs", "1", "--qat-epochs", "1")
JOBS: dict[str, tuple[str, ...]] = {
    "boards": ("boards",),
    "train": ("train", "--out", "out/model.keras", "--side", "32", *QUICK),
    "train backup": (
        *("train", "--out", "out/model.keras", "--side", "32", "--stages", "8,3,2"),
        *("--backup", "out/backup", *QUICK),
    ),
    "export": ("export", "in/real.tflite", "--out", "out"),
    "export engine": ("export", "in/real.tflite", "--runtime", "engine", "--out", "out"),
    "export keras": ("export", "in/small.keras", "--out", "out"),
    "build": ("build", "in/real.tflite", "--out", "out"),
    "run": ("run", "in/real.tflite", "--inputs", "3"),
    "flash": ("flash", "in/firmware"),
    "verify": ("verify", "in/real.tflite", "--inputs", "50"),
    "verify engine": ("verify", "in/real.tflite", "--inputs", "5", "--engine"),
    "verify keras": ("verify", "in/small.keras", "--inputs", "20"),
    "compare": ("compare", "in/small.keras", "in/small.tflite", "--plot", "out/plot.png"),
    "inspect": ("inspect", "in/real.tflite", "--plot", "out/plot.png"),
    "fit": ("fit", "in/real.tflite", "--plot", "out/plot.svg"),
    "plan": ("plan", "in/real.tflite", "--out", "out/planned.tflite"),
    "stream": ("stream", "in/real.tflite", "--plot", "out/plot.png"),
    "report": ("report", "in/real.tflite", "--out", "out/report.html", "--png", "out/report.png"),
    "run-all": ("run-all", "in/run.toml", "--out", "out"),
    "search": (
        *("search", "--out", "out", "--side", "32", "--trials", "1", "--board", "arduino-zero"),
        *QUICK,
    ),
    "demo": ("demo", "--data", "digits", "--out", "out", "--alpha", "0.15", *QUICK),
}
"""Every command of the command line, by its first word; `test_kills.py` compares the two."""

STATE = {
    "train backup": ("backup/",),
    "search": ("study.db", "artifacts"),
    "run-all": ("run.json", "backup-", "model.", "tflm/", "engine/"),
}
"""What a command writes while it works, so that the next one goes on from there."""

UNLIKE = {"model.keras": b"", "report.html": b"</html>", "plot.svg": b"</svg>"}
"""Files that hold the time at which they were made, and how they end."""

Tree = dict[str, bytes | None]
Problems = collections.abc.Iterator[str]


PYOCD = """#!/bin/sh
case "$*" in
*--targets*) echo '{"targets": [{"name": "stm32f446retx"}]}' ;;
*--probes*) echo '{"boards": [{"unique_id": "1", "target": "stm32f446retx"}]}' ;;
*read32*) echo 'e0042000:  10006421    |..d!|' ;;
*compare*) echo 'All 1 bytes match.' ;;
*) sleep 2 & wait ;;
esac
"""

RUN_FILE = """[data]
source = "faces"
side = 32
[training]
float_epochs = 1
[quantization]
epochs = 1
[export]
emulated_images = 1
"""


class Stage:
    """The folder of a whole series: what the jobs read, and how long each takes undisturbed.

    Args:
        folder: A new folder.
        model: An int8 `.tflite`.
    """

    def __init__(self, folder: pathlib.Path, model: pathlib.Path):
        self.folder = folder
        self.inputs = folder / "in"
        for path in (self.inputs, folder / "home", folder / "tools"):
            path.mkdir(parents=True)
        shutil.copy(model, self.inputs / "real.tflite")
        # It programs a board, as far as anybody can see, and has a child.
        (self.inputs / "run.toml").write_text(RUN_FILE)
        tool = folder / "tools" / "pyocd"
        tool.write_text(PYOCD)
        tool.chmod(0o755)
        self._usual: dict[str, tuple[float, Tree]] = {}

    def place(self, name: str) -> pathlib.Path:
        """A new folder for one run, with one to work in and one for temporary files."""
        place = self.folder / name
        (place / "work").mkdir(parents=True)
        (place / "tmp").mkdir()
        (place / "work" / "in").symlink_to(self.inputs)
        return place

    def usual(self, job: str) -> tuple[float, Tree]:
        """How many seconds a job takes, and all that it writes."""
        if job not in self._usual:
            self._need(" ".join(JOBS[job]))
            place = self.place(f"whole {job}")
            started = time.monotonic()
            process = start(place, JOBS[job])
            code = process.wait(LONGEST_SECONDS)
            seconds = time.monotonic() - started
            said = (place / "stderr").read_text("utf-8", "replace")
            assert code == 0, f"{job}: {said}"
            self._usual[job] = (seconds, tree(place / "work" / "out"))
            problems = list(untidy(place, process.pid))
            assert not problems, f"{job}: {problems}"
        return self._usual[job]

    def note(self, job: str, seconds: float) -> None:
        """Learns from a run that ended undisturbed: the machine may have been busier before."""
        usual, complete = self._usual[job]
        self._usual[job] = (min(usual, seconds), complete)

    def _need(self, arguments: str) -> None:
        """Makes the inputs that not every job reads."""
        work = self.inputs.parent
        for word, maker in (
            ("in/small.", ("train", "--out", "in/small.keras", "--side", "32", *QUICK)),
            ("in/small.", ("plan", "in/small.keras", "--out", "in/small.tflite")),
            ("in/firmware", ("build", "in/real.tflite", "--out", "in/firmware")),
        ):
            if word in arguments and not (work / maker[maker.index("--out") + 1]).exists():
                command = [sys.executable, "-m", "edge", *maker]
                environment = os.environ | {"PYTHONPATH": str(ROOT)}
                quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
                subprocess.run(command, cwd=work, env=environment, check=True, **quiet)


def start(place: pathlib.Path, arguments: tuple[str, ...]) -> subprocess.Popen:
    """Starts a command as a shell does; its streams are files, which never fill up."""
    shared = place.parent
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place / "tmp"),
        "HOME": str(shared / "home"),
        "PATH": f"{shared / 'tools'}:{os.environ['PATH']}",
    }
    with (place / "stdout").open("wb") as out, (place / "stderr").open("wb") as error:
        return subprocess.Popen(
            [sys.executable, "-m", "edge", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=error,
            cwd=place / "work",
            env=environment,
            start_new_session=True,
        )


def tree(folder: pathlib.Path) -> Tree:
    """All files below a folder, and empty folders as None."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
        if path.is_file() or not any(path.iterdir())
    }


def session(number: int) -> list[str]:
    """The living processes of a session, by what they run."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, own = stat.read_text().rpartition(")")[2].split()[:4]
            if int(own) == number and state not in "ZX":
                found.append((stat.parent / "cmdline").read_text().replace("\0", " ")[:200])
    return found


def handles_signals(number: int) -> bool:
    """Whether Python has come so far: before, a signal is the interpreter's own affair."""
    with contextlib.suppress(OSError, StopIteration):
        status = pathlib.Path(f"/proc/{number}/status").read_text()
        caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
    return False


def run(stage: Stage, name: str, job: str, number: signal.Signals, rng: random.Random) -> dict:
    """One run: a job, a signal at a random moment, and what was wrong then."""
    usual, complete = stage.usual(job)
    place = stage.place(name)
    has_earlier = rng.random() < 0.5
    if has_earlier:
        for file in complete:
            if not file.startswith(STATE.get(job, ("\0",))):
                path = place / "work" / "out" / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"earlier\n")
    before = tree(place / "work" / "out")
    delay = rng.uniform(0, LAST_SHARE) * usual
    to_group = number == signal.SIGINT and rng.random() < 0.5
    process = start(place, JOBS[job])
    started = time.monotonic()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(delay)
        stage.note(job, time.monotonic() - started)
    was_alive = process.poll() is None
    is_early = was_alive and not handles_signals(process.pid)
    children = len(session(process.pid)) - was_alive
    signalled = time.monotonic()
    if was_alive:
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_group else os.kill)(process.pid, number)
    code = process.wait(LONGEST_SECONDS)
    seconds_to_end = time.monotonic() - signalled
    said = (place / "stderr").read_text("utf-8", "replace")
    problems = list(wrong_end(code, said, number if was_alive else None, is_early))
    problems += untidy(place, process.pid, number == signal.SIGKILL and was_alive)
    if code == -signal.SIGKILL:
        problems += left_after_the_next_run(place)
    problems += half_written(job, tree(place / "work" / "out"), before, complete, code)
    if not problems:
        shutil.rmtree(place)
    return {
        "job": job,
        "signal": number.name + (" to the group" if to_group else ""),
        "share": round(delay / usual, 3),
        "was_alive": was_alive,
        "is_early": is_early,
        "children": children,
        "has_earlier": has_earlier,
        "code": code,
        "seconds_to_end": round(seconds_to_end, 2),
        "problems": problems,
    }


def wrong_end(code: int, said: str, number: int | None, is_early: bool) -> Problems:
    """The exit code and the last line."""
    if code == 0 and "Traceback" not in said:
        # It was done, or so near to it that the result stands.
        return
    if number is None:
        yield f"exit code {code} without a signal: {said[-300:]}"
    elif number == signal.SIGKILL:
        if code != -number:
            yield f"exit code {code}: {said[-300:]}"
    elif is_early:
        # The interpreter ends as it does for every program: a shell sees 128 + number, or Python's
        # own report of Ctrl-C while it loads its start-up files.
        if code not in (-number, 128 + number) and "KeyboardInterrupt" not in said:
            yield f"exit code {code} at the start: {said[-300:]}"
    elif code != 128 + number:
        yield f"exit code {code}, not {128 + number}: {said[-300:]}"
    elif "Traceback" in said or said.splitlines()[-1:] != [WORDS[number]]:
        yield f"last line: {said[-300:]!r}"


def untidy(place: pathlib.Path, number: int, was_killed: bool = False) -> Problems:
    """Processes and temporary files that are left."""
    deadline = time.monotonic() + GRACE_SECONDS
    while (left := session(number)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if left:
        yield f"processes: {left}"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(number, signal.SIGKILL)
    for path in (place / "tmp").iterdir():
        if not (was_killed and path.name.startswith(SCRATCH)):
            yield f"temporary: {path.name}"
    for path in (place / "work").rglob(f"{STAGING}*"):
        if not was_killed:
            yield f"temporary: {path.relative_to(place)}"
    for path in (place / "work").iterdir():
        if path.name not in ("in", "out") and not path.name.startswith(STAGING):
            yield f"written elsewhere: {path.name}"


def half_written(job: str, after: Tree, before: Tree, complete: Tree, code: int) -> Problems:
    """Whether the output is neither the earlier nor the new one."""
    state = STATE.get(job, ("\0",))
    after = {k: v for k, v in after.items() if not k.startswith((STAGING, *state))}
    whole = {k: v for k, v in complete.items() if not k.startswith(state)}
    if after == before and (code != 0 or not whole):
        return
    if after.keys() != whole.keys():
        yield f"missing: {sorted(whole.keys() ^ after.keys())}"
    for name, content in after.items():
        if content is None or name not in whole:
            yield f"neither old nor new: {name}"
        elif content != whole[name] and not (name in UNLIKE and is_whole(name, content)):
            yield f"another content: {name}"


def is_whole(name: str, content: bytes) -> bool:
    """Whether a file that differs from run to run is complete."""
    if name.endswith(".keras"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.testzip() is None
    return content.rstrip().endswith(UNLIKE[name])


def left_after_the_next_run(place: pathlib.Path) -> Problems:
    """What is there still after one more command with the same folders."""
    kept = tree(place / "work" / "out")
    next_run = start(place, ("plan", "in/real.tflite", "--steps", "0", "--out", "out/next.tflite"))
    if next_run.wait(LONGEST_SECONDS) != 0:
        yield f"the next run fails: {(place / 'stderr').read_text()[-300:]}"
    yield from (f"after the next run: {problem}" for problem in untidy(place, next_run.pid))
    (place / "work" / "out" / "next.tflite").unlink(missing_ok=True)
    now = tree(place / "work" / "out")
    for name in {k for k in kept if k not in now and STAGING not in k and kept[k] is not None}:
        yield f"the next run removed {name}"


def series(stage: Stage, jobs: list[str], count: int, seed: int) -> list[dict]:
    """Each job with each signal in turn, in a random order, until enough met a living process."""
    rng = random.Random(seed)
    pairs: list[tuple[str, signal.Signals]] = []
    results: list[dict] = []
    while sum(result["was_alive"] for result in results) < count and len(results) < 3 * count:
        if not pairs:
            pairs = list(itertools.product(jobs, SIGNALS))
            rng.shuffle(pairs)
        job, number = pairs.pop()
        results.append(run(stage, f"run {len(results)}", job, number, rng))
        print(json.dumps(results[-1]), flush=True)
    return results


def table(results: list[dict]) -> str:
    """How often each job met each signal, alive, and how many runs went wrong."""
    rows = [f"{'command':16}{'SIGKILL':>9}{'SIGTERM':>9}{'SIGINT':>9}{'alive':>7}{'wrong':>7}"]
    by_job = collections.defaultdict(list)
    for result in results:
        by_job[result["job"]].append(result)
        by_job["all"].append(result)
    for job in (*(j for j in JOBS if j in by_job), "all"):
        runs = by_job[job]
        counts = [sum(r["signal"].startswith(n.name) for r in runs) for n in SIGNALS]
        counts += [sum(r["was_alive"] for r in runs), sum(bool(r["problems"]) for r in runs)]
        widths = (9, 9, 9, 7, 7)
        rows.append(f"{job:16}" + "".join(f"{c:>{w}}" for c, w in zip(counts, widths, strict=True)))
    return "\n".join(rows)


def main() -> int:
    """Runs a series, and says with its exit code whether all went well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", default=",".join(JOBS), help="a comma between two")
    given = parser.parse_args()
    # In the background a shell lets its children ignore Ctrl-C, and theirs too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    stage = Stage(given.folder.absolute(), given.model)
    results = series(stage, given.jobs.split(","), given.count, given.seed)
    print(table(results))
    return int(any(result["problems"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
