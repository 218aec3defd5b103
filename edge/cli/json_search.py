"""What `search` prints as JSON."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from edge.cli.json_costs import latency_json

if TYPE_CHECKING:
    from edge.deploy.latency import Latency
    from edge.search.result import SearchResult, Trial


def search_json(result: SearchResult, latency: Latency) -> dict[str, Any]:
    """What `search` prints.

    Args:
        result: The network that the search ended with.
        latency: What one inference of it takes on the engine.

    Returns:
        What it is, how good it is, what it takes, and what became of every trial.
    """
    from edge.search.result import front_of

    front = front_of(result.trials)
    return {
        "name": result.best.design.name,
        "runtime": result.runtime,
        "design": dataclasses.asdict(result.best.design),
        "validation_accuracy": result.best.accuracy,
        "int8_accuracy": result.int8_accuracy,
        "image_count": result.image_count,
        "equal_count": result.equal_count,
        "input_count": result.input_count,
        "costs": dataclasses.asdict(result.best.costs),
        "trials": [_trial_json(trial) | {"front": trial in front} for trial in result.trials],
        "folder": str(result.folder),
        **latency_json(latency),
    }


def _trial_json(trial: Trial) -> dict[str, Any]:
    return {
        "name": trial.design.name,
        "network": trial.design.sentence(),
        "state": trial.state,
        "accuracy": trial.accuracy,
        "epochs": trial.epochs,
        "costs": dataclasses.asdict(trial.costs),
    }
