"""The search looks at everything, proposes what fits, and fails in one line."""

import json
import random
import subprocess
import sys

import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from edge.catalog.boards import find_board
from edge.search.costs import TflmCosts
from edge.search.engine_costs import EngineCosts
from edge.search.proposals import propose
from edge.search.space import ALPHAS, Limits, Planner, Space


def test_import_of_the_search_loads_no_keras():
    code = (
        "import edge.search.proposals, edge.search.training, edge.search.result, sys; "
        "print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def planner(kind=TflmCosts, side=32, macs=400_000, ms=None, board="arduino-zero"):
    space = Space(side, 1, 10, has_compression=kind is EngineCosts)
    return Planner(space, kind(find_board(board)), Limits(ms, macs))


def waiting(design, choice) -> FrozenTrial:
    attrs = {"design": design.to_json()}
    attrs |= {} if choice is None else {"choice": json.dumps(choice)}
    return create_trial(state=TrialState.WAITING, user_attrs=attrs)


def test_what_is_proposed_fits_and_comes_once():
    found, trials = planner(), []
    for _ in range(6):
        design, costs, choice = propose(found, trials, 6)
        assert costs.fits
        assert costs.macs <= found.limits.macs
        trials.append(waiting(design, choice))
    assert len({trial.user_attrs["design"] for trial in trials}) == 6
    assert "choice" not in trials[1].user_attrs, "MobileNetV1 is among them"
    # Another process that knows the same trials proposes the same.
    assert propose(planner(), trials[:3], 6)[0].to_json() == trials[3].user_attrs["design"]


def test_only_mobilenet_v1_is_proposed_where_that_is_asked_for():
    design, _, choice = propose(planner(), [], 4, only_plain=True)
    assert design.alpha in ALPHAS
    assert choice is None


def test_the_widest_network_of_a_choice_is_as_wide_as_fits():
    found = planner()
    choice = found.space.starts()[1]
    design = found.widest(choice)
    wider = found.space.design(choice, design.stages[0][0] + 4)
    assert found.costs(design).fits
    assert found.costs(wider).macs > found.limits.macs or not found.costs(wider).fits
    narrow = found.widest(choice | {"share": 0.5})
    assert narrow.stages[0][0] < design.stages[0][0]


def test_no_choice_leaves_a_map_of_one_pixel():
    space, rng = Space(40, 3, 10, has_compression=True), random.Random(0)
    for _ in range(200):
        choice = {name: rng.choice(values) for name, values in space.choices.items()}
        design = space.design(choice, 8)
        if design is None:
            continue
        strides = [block[2] for block in design.blocks()] + [design.stem[2]]
        assert design.side > 2 ** (sum(step == 2 for step in strides))


@pytest.mark.slow
def test_milliseconds_limit_what_is_proposed():
    design, costs, _ = propose(planner(EngineCosts, ms=60.0, macs=10**9), [], 4)
    assert costs.ms <= 60.0
    slower, more, _ = propose(planner(EngineCosts, ms=120.0, macs=10**9), [], 4)
    assert more.macs > costs.macs
    assert slower != design


def test_search_without_time_fails_in_one_line(cli, tmp_path):
    short = ["--side", 16, "--minutes", 0]
    done = cli("search", "--board", "arduino-zero", *short, "--out", tmp_path / "x")
    assert done.returncode == 1
    assert "the search goes on where it is" in done.stderr
    assert "Traceback" not in done.stderr


def test_milliseconds_of_tflm_are_refused(cli, tmp_path, assert_refused):
    done = cli("search", "--runtime", "tflm", "--ms", 5, "--out", tmp_path / "x")
    assert_refused(done, "not estimated")
    assert not (tmp_path / "x").exists()
