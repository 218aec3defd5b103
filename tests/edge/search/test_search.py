"""The search plans everything, trains the best few, and survives what happens to processes."""

import json
import os
import signal
import subprocess
import sys
import time

import optuna
import pytest

from edge.catalog.boards import find_board
from edge.search.candidates import ALPHAS, Candidate, pareto_front, plan_candidates
from edge.tflite.reader import read_graph


@pytest.fixture(scope="module")
def candidates():
    return plan_candidates(find_board("arduino-zero"), 48, 1, 10)


def test_import_of_the_search_loads_no_keras():
    code = (
        "import edge.search.candidates, edge.search.study, edge.search.training, sys; "
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_candidates_cover_every_width_and_resolution(candidates):
    assert len(candidates) == len(ALPHAS) * 3
    assert {candidate.side for candidate in candidates} == {32, 40, 48}
    assert 0 < sum(candidate.fits for candidate in candidates) < len(candidates)


def test_planned_figures_equal_those_of_a_conversion(candidates):
    import numpy as np

    import edge
    import keras_mobilenet
    from edge.deploy.budget import budget
    from edge.memory.offline_plan import planned_model

    model = keras_mobilenet.MobileNetV1((40, 40, 1), 0.15, classes=10, padding="same")
    quantized = keras_mobilenet.quantize_model(model)
    quantized(np.random.default_rng(0).uniform(-1, 1, (2, 40, 40, 1)), training=True)
    graph = planned_model(read_graph(edge.convert(quantized))).graph
    made = budget(graph, find_board("arduino-zero"))
    planned = next(c for c in candidates if (c.alpha, c.side) == (0.15, 40))
    assert planned.macs == graph.total_macs()
    assert planned.ram_bytes == made.ram_bytes
    assert planned.flash_bytes == pytest.approx(made.flash_bytes, rel=0.01)


def test_pareto_front_holds_what_fits_and_nothing_beats(candidates):
    front = pareto_front(candidates)
    assert front == sorted(front, key=lambda candidate: -candidate.macs)
    assert all(candidate.fits for candidate in front)
    largest = max((c for c in candidates if c.fits), key=lambda candidate: candidate.macs)
    assert front[0] == largest
    dominated = Candidate(
        0.1, 32, front[0].macs, front[0].flash_bytes, front[0].ram_bytes + 1, True
    )
    assert dominated not in pareto_front([*candidates, dominated])


def command(out, *more):
    short = ["--float-epochs", "2", "--qat-epochs", "1", "--trials", "3", "--json"]
    board = ["--board", "arduino-zero", "--data", "faces", "--side", "48", "--out", str(out)]
    return [sys.executable, "-m", "edge", "search", *board, *short, *more]


def trials(out):
    names = optuna.get_all_study_names(f"sqlite:///{out}/study.db")
    study = optuna.load_study(study_name=names[0], storage=f"sqlite:///{out}/study.db")
    return study.get_trials(deepcopy=False)


def wait_for(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.3)


def ended(out):
    """Candidates that were trained to the end, with how often."""
    done = [trial for trial in trials(out) if trial.state.name in ("COMPLETE", "PRUNED")]
    return sorted(t.params["candidate"] for t in done if "candidate" in t.params)


@pytest.mark.slow
@pytest.mark.exhaustive
def test_killed_search_goes_on_and_loses_no_trial(tmp_path):
    first = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for(lambda: any(tmp_path.glob("trials/*-000.keras")), 240)
    # In the middle of the second trial.
    wait_for(lambda: any(t.state.name == "RUNNING" for t in trials(tmp_path)), 60)
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    before = ended(tmp_path)
    assert 1 <= len(before) < 3

    again = subprocess.run(command(tmp_path), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    after = ended(tmp_path)
    assert len(after) == len(set(after)) == 3, "each candidate once"
    assert set(before) <= set(after)
    report = json.loads(again.stdout)
    assert report["budget"]["fits"]
    assert report["equal_count"] == report["input_count"] == 40
    assert (tmp_path / "firmware" / "model_data.cc").is_file()
    assert (tmp_path / "front.png").is_file()


@pytest.mark.slow
@pytest.mark.exhaustive
def test_study_is_shared_by_two_processes(tmp_path):
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command(tmp_path), **options) for _ in range(2)]
    for process in both:
        _, said = process.communicate(timeout=600)
        assert process.returncode == 0, said
    done = ended(tmp_path)
    assert len(done) == len(set(done)) == 3, "each candidate once, by one of the two"


def test_search_without_time_fails_in_one_line(cli, tmp_path):
    done = cli("search", "--board", "arduino-zero", "--minutes", 0, "--out", tmp_path)
    assert done.returncode == 1
    assert "the search goes on where it is" in done.stderr
    assert "Traceback" not in done.stderr
