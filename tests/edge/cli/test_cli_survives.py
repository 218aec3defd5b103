"""Wrong calls, full disks and Ctrl-C: one clear line, the right exit code, nothing half-written."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[3]
WRONG_CALLS = pathlib.Path(__file__).parent / "wrong_calls.py"
LEAST_CALLS = 1_000
EARLIER = {
    "model_data.cc": b"earlier\n",
    "firmware.elf": b"\x7fELF",
    "model.keras": b"earlier too\n",
}
WRONG, INTERRUPTED = 1, 128 + signal.SIGINT


@pytest.fixture
def place(tmp_path):
    """A folder to work in with earlier output in it, and one for scratch files."""
    for name in ("work/out", "tmp"):
        (tmp_path / name).mkdir(parents=True)
    for name, content in EARLIER.items():
        (tmp_path / "work" / "out" / name).write_bytes(content)
    return tmp_path


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def start(place, *arguments, **environment):
    """The command line as a shell starts it: in a process group of its own."""
    usual = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        [sys.executable, "-m", "edge", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place / "work",
        env=usual | {"PYTHONPATH": str(ROOT), "TMPDIR": str(place / "tmp")} | environment,
        start_new_session=True,
    )


def call(place, *arguments, **environment):
    process = start(place, *arguments, **environment)
    stdout, stderr = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def assert_one_line(done, code):
    assert done.returncode == code, done.stderr
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("share", [3, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_every_wrong_call_is_one_line_and_changes_nothing(vww, tmp_path, share):
    """All at once: `wrong_calls.py` loads the libraries once, and forks for each call."""
    processes = []
    for weight in ("light", "heavy"):
        (tmp_path / weight).mkdir()
        with (tmp_path / f"{weight}.json").open("w") as results:
            command = [sys.executable, WRONG_CALLS, weight, str(share), tmp_path / weight, vww]
            processes.append(subprocess.Popen(command, stdout=results, cwd=ROOT))
    assert [process.wait() for process in processes] == [0, 0]
    lines = [line for path in tmp_path.glob("*.json") for line in path.read_text().splitlines()]
    results = [json.loads(line) for line in lines]
    assert len({tuple(result["call"]) for result in results}) >= LEAST_CALLS // share
    wrong = [(r["call"], found) for r in results if (found := list(problems(r)))]
    assert not wrong, "\n".join(map(str, wrong))


def problems(result):
    if result["code"] != WRONG:
        yield f"exit code {result['code']}, not {WRONG}"
    if result["stdout"]:
        yield f"on stdout: {result['stdout'][:200]}"
    lines = result["stderr"].splitlines()
    if len(lines) != 1 or not lines[0].startswith("Error: ") or len(lines[0]) < 20:
        yield f"on stderr: {result['stderr'][-500:]!r}"
    if result["changed"]:
        yield f"changed: {result['changed']}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "\udcff[/red] :b: \x1b[31m \n.tflite"],
        ["flash", "out", "--no-such-option"],
        ["export", "моя модель.tflite", "--out", "out"],
    ],
    ids=["name", "option", "unicode"],
)
def test_a_process_of_its_own_says_the_same(place, arguments):
    done = call(place, *arguments, PYTHONIOENCODING="ascii:strict")
    assert_one_line(done, WRONG)
    assert done.stdout == ""


def test_a_reader_that_has_seen_enough_and_an_output_that_is_full(place):
    command = f"{sys.executable} -m edge boards"
    shell = {"shell": True, "capture_output": True, "text": True, "cwd": ROOT}
    full = subprocess.run(f"{command} > /dev/full", **shell)
    assert_one_line(full, WRONG)
    assert "No space left" in full.stderr
    assert subprocess.run(f"{command} | head -1", **shell).stderr == ""


# A signal in the middle of the work.


def handles_signals(process):
    """Whether Python has come so far: before, a signal is the interpreter's own affair."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def session(process):
    """Living processes that it started, itself among them."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, number = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(number) == process.pid and state not in "ZX":
            found.append(stat.parent.name)
    return found


def runs_children(count):
    return lambda process: len(session(process)) > count


def has_printed(words):
    def look(process):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return words in line

    return look


def interrupt(place, arguments, sign, number, is_group):
    """Sends a signal when the sign is seen: as a terminal does, or to the parent alone."""
    before = tree(place)
    process = start(place, *arguments)
    while not sign(process):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    (os.killpg if is_group else os.kill)(process.pid, number)
    stdout, stderr = process.communicate(timeout=120)
    assert session(process) == [], "no process is left"
    assert_one_line(
        subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr), 128 + number
    )
    assert tree(place) == before


@pytest.mark.parametrize("is_group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_right_after_the_start(place, vww, number, is_group):
    arguments = ["verify", vww, "--inputs", 3000]
    interrupt(place, arguments, handles_signals, number, is_group)


@pytest.mark.parametrize("is_group", [False, True], ids=["parent", "group"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_an_interpreter_runs(place, vww, number, is_group):
    interrupt(place, ["verify", vww, "--inputs", 3000], runs_children(1), number, is_group)


@pytest.mark.parametrize("is_group", [False, True], ids=["parent", "group"])
def test_a_signal_while_the_compiler_runs(arm_compiler, place, vww, is_group):
    """CMake, make, gcc and cc1 end too, before their folder is removed."""
    arguments = ["build", vww, "--out", "out"]
    interrupt(place, arguments, runs_children(3), signal.SIGINT, is_group)


LOADING = """
import signal
from edge.cli import main as cli

@cli.app.command()
def load():
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        raise ImportError("initialization failed")

cli.main(["load"])
"""


def test_a_signal_that_native_code_takes_for_an_error_of_its_own(place):
    """As NumPy's and matplotlib's modules do while they load."""
    streams = {"capture_output": True, "text": True, "cwd": ROOT}
    environment = os.environ | {"TMPDIR": str(place / "tmp")}
    done = subprocess.run([sys.executable, "-c", LOADING], env=environment, **streams)
    assert_one_line(done, INTERRUPTED)
    assert list((place / "tmp").iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sign", "number"),
    [
        (["train", "--out", "out/model.keras"], has_printed("Epoch 2/"), signal.SIGINT),
        (["search", "--out", "new/search"], handles_signals, signal.SIGINT),
        (["demo", "--data", "digits", "--out", "out"], has_printed("Epoch 1/"), signal.SIGTERM),
    ],
    ids=["train", "search", "demo"],
)
def test_a_signal_while_training(place, arguments, sign, number):
    interrupt(place, arguments, sign, number, is_group=True)


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.6, 0.9])
def test_an_export_is_whole_or_not_there(place, vww, delay):
    process = start(place, "export", vww, "--out", "new", "--json")
    while not handles_signals(process):
        time.sleep(0.02)
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode in (0, INTERRUPTED), stderr
    written = place / "work" / "new"
    if written.exists():
        assert "CMakeLists.txt" in tree(written)
        assert not any(name.startswith(".") for name in tree(written))
    else:
        assert process.returncode == INTERRUPTED
    assert list((place / "tmp").iterdir()) == []


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_search_that_was_interrupted_goes_on(place):
    short = ["--trials", 2, "--float-epochs", 1, "--qat-epochs", 1, "--board", "arduino-zero"]
    arguments = ["search", "--out", "new", "--data", "faces", *short]
    process = start(place, *arguments)
    while not (place / "work" / "new" / "study.db").exists():
        time.sleep(0.1)
    time.sleep(3)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    assert stderr.splitlines()[-1] == "Error: Interrupted."
    left = tree(place / "work" / "new")
    assert all(name in ("study.db", "artifacts") or name.startswith("artifacts/") for name in left)
    assert call(place, *arguments).returncode == 0


# A disk that is full, and one that is read-only.


@pytest.fixture
def small_disk(place):
    """Two megabytes at `work/disk`, with a folder that holds something; root alone may mount."""
    disk = place / "work" / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
        if os.environ.get("CI") and os.geteuid() == 0:
            pytest.fail("CI must be able to mount a tmpfs")
        pytest.skip("cannot mount a tmpfs here")
    shutil.copytree(place / "work" / "out", disk / "out")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk, spare_bytes):
    free = os.statvfs(disk)
    (disk / "filler").write_bytes(bytes(max(free.f_bavail * free.f_frsize - spare_bytes, 0)))


WRITERS = {
    "export": (["export", "vww", "--out", "disk/out"], 200_000),
    "export to a new folder": (["export", "vww", "--out", "disk/new/folder"], 200_000),
    "plan": (["plan", "vww", "--out", "disk/out/model.tflite"], 200_000),
    "inspect": (["inspect", "vww", "--plot", "disk/out/x.png"], 4096),
    "fit": (["fit", "vww", "--plot", "disk/new/x.png"], 4096),
    "train": (["train", "--out", "disk/out/model.keras"], 0),
    "search": (["search", "--out", "disk/new"], 0),
    "demo": (["demo", "--data", "digits", "--out", "disk/out"], 0),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk(small_disk, place, vww, writer):
    arguments, spare_bytes = WRITERS[writer]
    fill(small_disk, spare_bytes)
    before = tree(place)
    done = call(place, *(vww if a == "vww" else a for a in arguments))
    assert_one_line(done, 1)
    assert "No space left on device" in done.stderr
    assert tree(place) == before


def test_a_full_disk_under_a_build(arm_compiler, small_disk, place, vww):
    fill(small_disk, 100_000)
    before = tree(place)
    done = call(place, "build", vww, "--out", "disk/out")
    assert_one_line(done, 1)
    assert tree(place) == before


@pytest.mark.parametrize("command", ["verify", "build"])
def test_no_room_for_scratch_files(arm_compiler, small_disk, place, vww, command):
    fill(small_disk, 50_000)
    before = tree(place)
    done = call(place, command, vww, TMPDIR=str(small_disk))
    assert_one_line(done, 1)
    assert tree(place) == before


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_disk_that_is_full_at_the_end_of_a_training(small_disk, place):
    fill(small_disk, 100_000)
    before = tree(place)
    short = ["--alpha", 0.25, "--float-epochs", 1, "--qat-epochs", 1, "--json"]
    done = call(place, "train", "--out", "disk/out/model.keras", *short)
    assert_one_line(done, 1)
    assert tree(place) == before


def test_a_disk_that_is_read_only(small_disk, place, vww):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    before = tree(place)
    for arguments in (["export", vww, "--out", "disk/out"], ["train", "--out", "disk/new/x.keras"]):
        done = call(place, *arguments)
        assert_one_line(done, 1)
        assert "Read-only file system" in done.stderr
    assert tree(place) == before
