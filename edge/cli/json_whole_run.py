"""A whole run as `run-all` prints it with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.deploy.run_all import WholeRun


def whole_run_json(done: WholeRun) -> dict[str, Any]:
    """What `run-all` prints.

    Args:
        done: The outcome of the run.

    Returns:
        The folder, which steps an earlier run had done, and each step's figures and sentence.
    """
    return {
        "folder": str(done.folder),
        "done_before": list(done.done_before),
        "steps": done.steps,
    }
