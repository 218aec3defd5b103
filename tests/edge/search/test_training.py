"""A training that was cut goes on from its last epoch, and ends as firmware."""

import dataclasses
import json
import pathlib

import pytest

from edge.catalog.boards import find_board
from edge.search.costs import TflmCosts
from edge.search.design import Design
from edge.search.result import finish, trials_of
from edge.search.storage import study_url
from edge.search.study import Job, SharedStudy
from edge.search.training import planner_of, train_trials

SMALL = Design(
    side=16,
    channels=1,
    classes=2,
    stem=(4, 3, 2),
    stages=((8, 3, 2, 1, "separable"),),
    is_residual=True,
)


@pytest.mark.slow
def test_a_training_that_time_cut_goes_on_and_its_model_is_exported(tmp_path):
    job = Job(
        source="faces",
        images="any",
        side=16,
        channels=1,
        classes=2,
        board=find_board("arduino-zero"),
        folder=tmp_path,
        storage=study_url(tmp_path),
        artifacts=str(tmp_path / "artifacts"),
        seconds=0.5,
        trials=1,
        runtime="tflm",
        float_epochs=2,
        qat_epochs=1,
    )
    costs = TflmCosts(job.board)(SMALL)
    SharedStudy(job, print).add(SMALL, costs, None)
    cut = trials_of(train_trials(job, planner_of(job)))
    assert [(trial.state, trial.epochs) for trial in cut] == [("waiting", 1)]
    assert len(list((tmp_path / "artifacts").glob("*.checkpoint"))) == 1

    epochs = []
    longer = dataclasses.replace(job, seconds=600)
    shared = train_trials(longer, planner_of(job), lambda name, epoch: epochs.append(epoch))
    assert epochs == [2, 3], "the first is not trained again"
    result = finish(shared)
    assert [(trial.state, trial.epochs) for trial in result.trials] == [("complete", 3)]
    assert result.equal_count == result.input_count == 40
    assert (result.folder / "model_data.cc").is_file()
    left = sorted(pathlib.Path(job.artifacts).iterdir())
    assert [path.suffix for path in left] == [".json", ".keras", ""], "no checkpoint stays"
    assert len(json.loads(left[0].read_text())["val_accuracy"]) == 3
    # Finished trials stay: nothing is trained again.
    again = train_trials(longer, planner_of(job), lambda name, epoch: epochs.append(epoch))
    assert len(epochs) == 2
    assert trials_of(again) == result.trials
