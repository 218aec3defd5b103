"""Workers that share a database and artifacts, and nothing else; what happens to their processes.

Each test reads what the workers left in the study, and never what a worker said of itself.
"""

import json
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from edge.errors import EdgeError
from edge.search.storage import open_storage

SHORT = ("--board", "arduino-zero", "--data", "faces", "--side", "16", "--qat-epochs", "1")
MINUTES = ("--minutes", "60")
"""More than a busy machine takes."""


def command(out, *more, epochs=2, trials=2):
    options = ["--float-epochs", str(epochs), "--trials", str(trials), "--out", str(out), "--json"]
    given = [*SHORT, *MINUTES, *options, *map(str, more)]
    return [sys.executable, "-m", "edge", "search", *given]


@pytest.fixture
def start():
    """Starts a worker; none outlives its test."""
    started = []

    def begin(out, *more, **counts):
        out.mkdir(exist_ok=True)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        given = command(out / "found", *more, **counts)
        started.append(subprocess.Popen(given, cwd=out, **pipes))
        return started[-1]

    yield begin
    for process in started:
        process.kill()


def trials(url):
    try:
        storage = open_storage(url)
        (study,) = storage.get_all_studies()
        return storage.get_all_trials(study._study_id, deepcopy=False)
    except (EdgeError, ValueError, optuna.exceptions.StorageInternalError):
        return []


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def ended(url):
    """The networks that were trained to their end, a line a training."""
    done = [trial for trial in trials(url) if trial.state.name in ("COMPLETE", "PRUNED")]
    # Without an epoch it was given up for one that stood for the same network.
    return [trial.user_attrs["design"] for trial in done if trial.intermediate_values]


def is_in_the_middle(url):
    return any(t.state.name == "RUNNING" and t.intermediate_values for t in trials(url))


def finish(process, seconds=1800):
    stdout, stderr = process.communicate(timeout=seconds)
    assert process.returncode == 0, stderr
    return json.loads(stdout)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_two_workers_share_a_database_and_artifacts_only(start, postgresql, tmp_path):
    shared = ["--storage", postgresql, "--artifacts", tmp_path / "artifacts"]
    killed, other = (start(tmp_path / name, *shared) for name in ("one", "two"))
    # In the middle of a training of whichever process is the first.
    wait_for(lambda: is_in_the_middle(postgresql), 1200)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    report = finish(other)
    done = ended(postgresql)
    assert len(done) == len(set(done)) == 2, "each network once"
    assert {trial["state"] for trial in report["trials"]} <= {"complete", "pruned"}
    assert all(trial.state.name != "RUNNING" for trial in trials(postgresql))
    # A third folder has nothing to train, and exports the same.
    third = finish(start(tmp_path / "three", *shared))
    assert third["design"] == report["design"]
    assert third["equal_count"] == third["input_count"] > 0
    found = [tmp_path / name / "found" for name in ("two", "three")]
    assert len({(folder / "model.tflite").read_bytes() for folder in found}) == 1
    assert (found[1] / "firmware" / "firmware.elf").is_file()
    assert len(ended(postgresql)) == 2


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("cut", ["killed", "out of time"])
def test_a_search_that_was_cut_goes_on_from_its_last_epoch(start, cut, tmp_path):
    url = f"sqlite:///{tmp_path}/found/study.db"
    if cut == "killed":
        process = start(tmp_path, epochs=8, trials=1)
        wait_for(lambda: is_in_the_middle(url), 1200)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    else:
        process = start(tmp_path, "--minutes", "0.2", epochs=30, trials=1)
        _, said = process.communicate(timeout=1200)
        assert process.returncode == 1
        assert "epochs are kept" in said
        assert [t.state.name for t in trials(url)][-1] == "WAITING", "nothing shown as running"
        return
    before = max(max(t.intermediate_values, default=0) for t in trials(url))
    report = finish(start(tmp_path, epochs=8, trials=1))
    assert [trial["epochs"] for trial in report["trials"]] == [9]
    model = tmp_path / "found" / "artifacts"
    (history,) = model.glob("*.history.json")
    assert len(json.loads(history.read_text())["val_accuracy"]) == 9
    assert before >= 1
    assert not list(model.glob("*.checkpoint"))
