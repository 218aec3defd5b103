"""Which network to train next: a good start, MobileNetV1, then what Optuna's TPE asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from edge.search.costs import Costs
from edge.search.design import Design
from edge.search.space import Planner

PLAIN_SHARE = 4
"""Of so many trials, one is a MobileNetV1."""

STARTUP_TRIALS = 6
MOST_ASKED = 300
"""Where so many choices bring nothing new that fits, there is hardly anything left."""

Proposal = tuple[Design, Costs, dict[str, Any] | None]


def propose(
    planner: Planner, trials: Sequence[FrozenTrial], count: int, *, only_plain: bool = False
) -> Proposal | None:
    """Chooses the next design; the same one in every process that knows the same trials.

    Args:
        planner: Finds the widths that fit.
        trials: The trials so far.
        count: The number of designs that the search is to train.
        only_plain: Whether only MobileNetV1 at every width and resolution is tried.

    Returns:
        The design, what it takes (its image linked), and what was chosen of the space; None if
        nothing new fits.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.search.costs import TflmCosts
        >>> from edge.search.space import Limits, Space
        >>> costs = TflmCosts(find_board("arduino-zero"))
        >>> space = Space(16, 1, 10, has_compression=False)
        >>> planner = Planner(space, costs, Limits(ms=None, macs=300_000))
        >>> propose(planner, [], 4)[0].sentence()
        '16x16x1, stem 12, 24/2 x2, 48/2 x2, 96/2 x2, residual'
    """
    known = {trial.user_attrs["design"] for trial in trials}
    for design, choice in _candidates(planner, trials, count, only_plain):
        if design is None or design.to_json() in known:
            continue
        linked = _linked(planner, design, choice)
        if linked is not None and linked[0].to_json() not in known:
            return (*linked, choice)
    return None


def _candidates(
    planner: Planner, trials: Sequence[FrozenTrial], count: int, only_plain: bool
) -> Iterator[tuple[Design | None, dict[str, Any] | None]]:
    if only_plain:
        yield from ((design, None) for design in planner.plain)
        return
    first, *more = planner.space.starts()
    yield planner.widest(first), first
    yield from ((design, None) for design in planner.plain[: max(1, count // PLAIN_SHARE)])
    yield from ((planner.widest(choice), choice) for choice in more)
    yield from _asked(planner, trials)


def _linked(
    planner: Planner, design: Design, choice: dict[str, Any] | None
) -> tuple[Design, Costs] | None:
    """The design with its image linked; a little narrower where its code was underrated."""
    costs = planner.costs.linked(design)
    if costs.fits:
        return design, costs
    if choice is None:
        return None
    narrower = planner.space.design(choice, design.stages[0][0] - 4)
    if narrower is None or narrower == design or narrower.stages[0][0] < 4:
        return None
    costs = planner.costs.linked(narrower)
    return (narrower, costs) if costs.fits else None


def _asked(
    planner: Planner, trials: Sequence[FrozenTrial]
) -> Iterator[tuple[Design | None, dict[str, Any]]]:
    """What TPE asks for, by a copy of the study: the shared one holds designs that fit only."""
    distributions: dict[str, BaseDistribution] = {
        name: CategoricalDistribution(values) for name, values in planner.space.choices.items()
    }
    sampler = optuna.samplers.TPESampler(
        seed=len(trials), n_startup_trials=STARTUP_TRIALS, multivariate=True, constant_liar=True
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for trial in trials:
        if "choice" in trial.user_attrs:
            study.add_trial(_copied(trial, distributions))
    for _ in range(MOST_ASKED):
        asked = study.ask(distributions)
        yield planner.widest(asked.params), dict(asked.params)
        study.tell(asked, state=TrialState.FAIL)


def _copied(trial: FrozenTrial, distributions: dict[str, BaseDistribution]) -> FrozenTrial:
    state = trial.state
    has_values = state == TrialState.PRUNED and bool(trial.intermediate_values)
    if state not in (TrialState.COMPLETE, TrialState.PRUNED) or (
        state == TrialState.PRUNED and not has_values
    ):
        state = TrialState.RUNNING
    return optuna.create_trial(
        state=state,
        value=trial.value if state == TrialState.COMPLETE else None,
        params=json.loads(trial.user_attrs["choice"]),
        distributions=distributions,
        intermediate_values=trial.intermediate_values if has_values else None,
    )
