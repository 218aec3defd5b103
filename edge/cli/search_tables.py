"""The table of a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from edge.cli.tables import right

if TYPE_CHECKING:
    from edge.search.result import Trial


def trials_table(trials: Sequence[Trial]) -> Table:
    """What became of every trial.

    Args:
        trials: The trials.

    Returns:
        A table; a star marks the front.

    Example:
        >>> from edge.search.costs import Costs
        >>> from edge.search.design import mobilenet_v1
        >>> from edge.search.result import Trial
        >>> costs = Costs(9, 60_000, 20_000, 1.5, True)
        >>> trial = Trial(mobilenet_v1(0.1, 32, 1, 10), costs, "complete", 0.9, 38)
        >>> trials_table([trial]).row_count
        1
    """
    from edge.search.result import front_of

    front = front_of(trials)
    table = Table(
        "",
        "network",
        "trial",
        right("validation"),
        right("epochs"),
        right("flash"),
        right("RAM"),
        right("ms, estimated"),
    )
    for trial in trials:
        costs = trial.costs
        table.add_row(
            "*" if trial in front else "",
            trial.design.sentence(),
            trial.state,
            "" if trial.accuracy is None else f"{trial.accuracy:.2%}",
            str(trial.epochs),
            f"{costs.flash_bytes:,}",
            f"{costs.ram_bytes:,}",
            "" if costs.ms is None else f"{costs.ms:.1f}",
        )
    return table
