"""What native code does in a child process stays there, and the child ends with its parent."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from edge.errors import EdgeError
from edge.system.subprocesses import ERROR_FILE, run_child, run_tool

ROOT = pathlib.Path(__file__).parents[3]


@pytest.fixture
def child(tmp_path, monkeypatch):
    """Writes a module that a child process can run, and runs it."""

    def run(source):
        (tmp_path / "job_of_a_test.py").write_text(f"import os, sys, pathlib\n{source}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        return run_child("job_of_a_test", tmp_path, EdgeError, "The job")

    return run


def test_child_returns_its_standard_error(child):
    assert child("print('42 bytes', file=sys.stderr)") == "42 bytes\n"


def test_abort_of_a_child_becomes_an_error(child):
    with pytest.raises(EdgeError, match=r"^The job crashed \(SIGABRT\)\.$"):
        child("os.abort()")


def test_error_file_of_a_child_becomes_the_message(child):
    with pytest.raises(EdgeError, match=r"^No operator EINSUM$"):
        child(
            f"pathlib.Path(sys.argv[1], {ERROR_FILE!r}).write_text('No operator EINSUM'); exit(1)"
        )


def test_failure_without_an_error_file_brings_the_last_line(child):
    with pytest.raises(EdgeError, match=r"^The job failed: ValueError: seven$"):
        child("raise ValueError('seven')")


# A process that is killed cannot end its children itself.


def living(session):
    """The processes of a session; one that waits to be reaped is dead."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, _, _, number = stat.read_text().rpartition(")")[2].split()[:4]
            if int(number) == session and state not in "ZX":
                found.append(int(stat.parent.name))
    return found


def wait_for(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def start_tool(folder, script):
    """Runs a shell script in a process of a new session, and waits until it has begun."""
    code = f"""
from edge.system import signals, subprocesses
signals.raise_interrupted()
subprocesses.run_tool(["sh", "-c", {script!r}])
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for((folder / "started").exists)
    return process


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV])
def test_children_and_theirs_die_with_a_process_that_is_killed(tmp_path, number):
    """The tool starts a child of its own, as a compiler does."""
    process = start_tool(tmp_path, "sleep 600 & touch started; wait")
    assert len(living(process.pid)) == 4, "the process, the supervisor, the tool and its child"
    process.send_signal(number)
    assert process.wait() == -number
    wait_for(lambda: not living(process.pid))


def test_children_and_theirs_are_dead_when_an_interrupt_is_raised(tmp_path):
    process = start_tool(tmp_path, "sleep 600 & touch started; wait")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 1
    assert not living(process.pid)


def test_a_tool_ends_as_it_would_without_a_supervisor():
    assert run_tool(["sh", "-c", "exit 127"]).returncode == 127
    assert run_tool(["sh", "-c", "kill -SEGV $$"]).returncode == -signal.SIGSEGV
    assert run_tool(["sh", "-c", "cat; echo $1 >&2", "", "é\udcff"], input=b"in").stdout == b"in"
    assert run_tool(["sh", "-c", "cat; echo $1 >&2", "", "é\udcff"]).stderr == b"\xc3\xa9\xff\n"
    assert run_tool(["sh", "-c", "yes | head -1"]).stdout == b"y\n", "SIGPIPE is not ignored"


def test_a_tool_that_cannot_be_started_is_an_error_of_the_system(tmp_path):
    (tmp_path / "text").write_text("no program")
    with pytest.raises(FileNotFoundError, match="no such tool"):
        run_tool(["no such tool"])
    with pytest.raises(PermissionError):
        run_tool([tmp_path / "text"])
