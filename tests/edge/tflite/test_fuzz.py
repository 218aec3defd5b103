"""Damaged files bring a clear error or a right answer, never a crash, a hang or a full memory."""

import pathlib
import subprocess
import sys

import pytest

FUZZER = pathlib.Path(__file__).parent / "fuzz_tflite.py"


@pytest.mark.slow
def test_no_damaged_model_crashes_or_hangs(vww, kws):
    """A bounded share; ten thousand: `python tests/edge/tflite/fuzz_tflite.py 10000 MODEL...`."""
    command = [sys.executable, FUZZER, "500", vww, kws]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout
    assert "answered" in done.stdout
