"""What native code does in a child process stays there."""

import pytest

from edge.errors import EdgeError
from edge.system.subprocesses import ERROR_FILE, run_child


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
