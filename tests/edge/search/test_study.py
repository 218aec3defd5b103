"""A study knows its images, its artifacts and its networks; nothing is trained twice."""

import dataclasses
import json
import pathlib
import sys
import warnings

import pytest
from optuna.trial import TrialState

from edge.catalog.boards import find_board
from edge.errors import EdgeError
from edge.search.artifacts import Artifacts
from edge.search.costs import Costs
from edge.search.design import Design, mobilenet_v1
from edge.search.result import finish, front_of, trials_of
from edge.search.storage import study_url
from edge.search.study import Job, SharedStudy

COSTS = Costs(macs=1, flash_bytes=2, ram_bytes=3, ms=4.0, fits=True)


@pytest.fixture
def job(tmp_path):
    return Job(
        source="faces",
        images="0123456789abcdef",
        side=32,
        channels=1,
        classes=2,
        board=find_board("arduino-zero"),
        folder=tmp_path / "found",
        storage=study_url(tmp_path / "found"),
        artifacts=str(tmp_path / "found" / "artifacts"),
        seconds=60,
        trials=2,
    )


pytestmark = pytest.mark.filterwarnings("ignore:Heartbeat of storage")


@pytest.fixture
def lines():
    return []


def trained(shared, design, accuracy, model=b"model"):
    """What a worker leaves behind."""
    shared.add(design, COSTS, None)
    trial = shared.study.ask()
    assert not shared.gives_up(trial)
    trial.report(accuracy, 1)
    shared.artifacts.write(f"{trial.number}.keras", model)
    trial.set_user_attr("model", f"{trial.number}.keras")
    shared.study.tell(trial, accuracy)


def test_a_study_is_found_again_by_all_that_is_trained(job):
    assert dataclasses.replace(job, seconds=1, trials=9, folder=pathlib.Path("x")).name == job.name
    others = [
        dataclasses.replace(job, **{name: value})
        for name, value in {
            "images": "fedcba9876543210",
            "side": 40,
            "channels": 3,
            "board": find_board("nucleo-f446re"),
            "runtime": "tflm",
            "ms": 10.0,
            "float_epochs": 3,
            "qat_epochs": 3,
            "augment": ("mirror",),
        }.items()
    ]
    assert len({job.name, *(other.name for other in others)}) == 10


def test_more_images_begin_a_new_study_and_a_line_says_so(job, lines):
    first = SharedStudy(job, lines.append)
    trained(first, mobilenet_v1(0.1, 32, 1, 2), 0.9)
    assert lines == []
    more = SharedStudy(dataclasses.replace(job, images="f" * 16), lines.append)
    assert trials_of(more) == ()
    assert lines == ["The images of faces are not those of the last search: a new study begins."]
    assert len(trials_of(SharedStudy(job, lines.append))) == 1
    assert len(lines) == 1


def test_a_model_that_was_moved_away_is_trained_again(job, lines):
    shared = SharedStudy(job, lines.append)
    trained(shared, mobilenet_v1(0.1, 32, 1, 2), 0.9)
    trained(shared, mobilenet_v1(0.15, 32, 1, 2), 0.8)
    shared.renew_lost()
    assert lines == []
    shared.artifacts.remove("0.keras")
    shared.renew_lost()
    assert [line.split(" is ")[0] for line in lines] == ["The model of alpha 0.1, side 32"]
    states = {trial.design.alpha: trial.state for trial in trials_of(shared)}
    assert states == {0.1: "waiting", 0.15: "complete"}
    second = shared.study.ask()
    assert not shared.gives_up(second)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        second.report(0.85, 1)
    assert trials_of(shared)[-1].accuracy == 0.85, "not what the lost one had reported"
    again = SharedStudy(job, lines.append)
    again.renew_lost()
    assert len(lines) == 1, "queued once"


def test_artifacts_that_were_moved_away_as_a_whole_are_made_again(job, lines):
    trained(SharedStudy(job, lines.append), mobilenet_v1(0.1, 32, 1, 2), 0.9)
    pathlib.Path(job.artifacts).rename(job.folder / "elsewhere")
    shared = SharedStudy(job, lines.append)
    shared.renew_lost()
    assert len(lines) == 1
    assert trials_of(shared)[0].state == "waiting"


def test_a_shared_storage_with_other_artifacts_is_refused(job, tmp_path, lines):
    trained(SharedStudy(job, lines.append), mobilenet_v1(0.1, 32, 1, 2), 0.9)
    other = dataclasses.replace(
        job, folder=tmp_path / "other", artifacts=str(tmp_path / "other" / "artifacts")
    )
    with pytest.raises(EdgeError, match="share with --artifacts"):
        SharedStudy(other, lines.append)
    # In the same place under another folder of results, all is there.
    same = dataclasses.replace(other, artifacts=job.artifacts)
    assert SharedStudy(same, lines.append).model_of(
        SharedStudy(same, lines.append).trials()[0]
    ) == (b"model")


def test_one_network_stands_once_whoever_queued_it(job, lines):
    shared = SharedStudy(job, lines.append)
    design = mobilenet_v1(0.1, 32, 1, 2)
    shared.add(design, COSTS, None)
    shared.add(design, COSTS, None)
    first, second = shared.study.ask(), shared.study.ask()
    assert not shared.gives_up(first)
    assert shared.gives_up(second)
    shared.study.tell(second, state=TrialState.PRUNED)
    shared.study.tell(first, state=TrialState.FAIL)
    assert trials_of(shared) == (), "what failed or was given up stands for nothing"
    shared.give_back(first.number)
    assert not shared.gives_up(shared.study.ask())
    assert [trial.design for trial in trials_of(shared)] == [design]


def test_a_trial_that_was_cut_waits_with_its_checkpoint(job, lines):
    shared = SharedStudy(job, lines.append)
    shared.add(mobilenet_v1(0.1, 32, 1, 2), COSTS, None)
    trial = shared.study.ask()
    trial.set_user_attr("checkpoint", "kept")
    trial.report(0.5, 3)
    shared.study.tell(trial, state=TrialState.FAIL)
    shared.give_back(trial.number)
    (waiting,) = trials_of(shared)
    assert (waiting.state, waiting.accuracy, waiting.epochs) == ("waiting", 0.5, 3)
    assert shared.study.ask().user_attrs["checkpoint"] == "kept"
    with pytest.raises(EdgeError, match="3 epochs are kept"):
        finish(shared)


def test_a_training_in_the_lower_half_of_its_rung_no_longer_pays(job, lines):
    shared = SharedStudy(dataclasses.replace(job, float_epochs=8), lines.append)
    behind = {}
    for alpha, accuracy in ((0.1, 0.5), (0.15, 0.4), (0.2, 0.6), (0.25, 0.55)):
        shared.add(mobilenet_v1(alpha, 32, 1, 2), COSTS, None)
        trial = shared.study.ask()
        for epoch in (1, 2, 3, 4):
            trial.report(accuracy, epoch)
        behind[alpha] = [shared.is_behind(trial.number, epoch, accuracy) for epoch in (1, 2, 3, 4)]
    never, at_each_rung = [False] * 4, [False, True, False, True]
    assert behind == {0.1: never, 0.15: at_each_rung, 0.2: never, 0.25: never}


def test_a_training_that_goes_on_is_no_rival_of_itself(job, lines):
    shared = SharedStudy(dataclasses.replace(job, float_epochs=4), lines.append)
    shared.add(mobilenet_v1(0.1, 32, 1, 2), COSTS, None)
    for epoch, accuracy in ((1, 0.7), (2, 0.6), (4, 0.5)):
        trial = shared.study.ask()
        trial.report(accuracy, epoch)
        assert not shared.is_behind(trial.number, epoch, accuracy)
        shared.study.tell(trial, state=TrialState.FAIL)
        shared.give_back(trial.number)


def test_front_holds_what_nothing_beats(job, lines):
    shared = SharedStudy(job, lines.append)
    for alpha, accuracy in ((0.1, 0.8), (0.15, 0.9), (0.2, 0.7)):
        trained(shared, mobilenet_v1(alpha, 32, 1, 2), accuracy)
    assert [trial.design.alpha for trial in front_of(trials_of(shared))] == [0.15]


def test_artifacts_in_a_bucket_need_boto3(monkeypatch):
    with pytest.raises(EdgeError, match="names no bucket"):
        Artifacts("s3://")
    try:
        import boto3  # noqa: F401
    except ImportError:
        with pytest.raises(EdgeError, match="pip install boto3"):
            Artifacts("s3://bucket/prefix")


def test_postgresql_without_a_driver_names_it(monkeypatch):
    from edge.search.storage import with_driver

    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EdgeError, match=r"keras-mobilenet\[postgres\]") as refused:
        with_driver("postgresql://ann:secret@host/studies")
    assert "secret" not in str(refused.value)


def test_postgresql_takes_the_driver_that_is_there(monkeypatch):
    from edge.search.storage import with_driver

    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: object() if name == "psycopg" else None
    )
    assert with_driver("postgresql://host/x") == "postgresql+psycopg://host/x"
    assert with_driver("postgresql+pg8000://host/x") == "postgresql+pg8000://host/x"


def test_a_study_lives_in_postgresql(job, postgresql, lines):
    job = dataclasses.replace(job, storage=postgresql)
    trained(SharedStudy(job, lines.append), mobilenet_v1(0.1, 32, 1, 2), 0.9)
    again = SharedStudy(dataclasses.replace(job, folder=job.folder / "other"), lines.append)
    assert [trial.accuracy for trial in trials_of(again)] == [0.9]


def test_designs_are_read_as_they_were_written():
    design = Design(32, 3, 10, (8, 3, 1), ((16, 3, 2, 2, "conv"),), is_residual=True)
    assert Design.from_json(json.dumps(json.loads(design.to_json()))) == design
    assert Design.from_json(design.to_json()).name == design.name
