"""Damaged and changed files bring a clear error or a right answer, no crash and no full memory."""

import pathlib
import re
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parent


def run(fuzzer, *words):
    """What a fuzzer counts, by its own words."""
    command = [sys.executable, FOLDER / fuzzer, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return {what: int(n) for n, what in re.findall(r"^ *(\d+) (.+)$", done.stdout, re.M)}


@pytest.mark.slow
def test_no_damaged_model_crashes_or_hangs(vww, kws):
    """A bounded share; ten thousand: `python tests/edge/tflite/fuzz_tflite.py 10000 MODEL...`."""
    command = [sys.executable, FOLDER / "fuzz_tflite.py", "200", vww, kws]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "refused" in done.stdout
    assert "answered" in done.stdout


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(200, marks=pytest.mark.slow),
        pytest.param(30_000, marks=[pytest.mark.slow, pytest.mark.exhaustive]),
    ],
)
def test_no_mutant_brings_anything_but_an_answer_or_one_line(count):
    counts = run("fuzz_structure.py", "--count", count)
    assert counts["tflm, engine"] > count // 15
    assert counts["refused at gate"] > count // 15


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(1_000, marks=[pytest.mark.slow, pytest.mark.exhaustive]),
    ],
)
def test_a_compiled_mutant_gives_the_bytes_of_litert(host_compiler, count):
    counts = run("fuzz_compiled.py", "--count", count)
    assert counts["compared"] >= count
    assert counts["different"] == counts["reports"] == 0
