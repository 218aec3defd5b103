"""The command plan."""

from __future__ import annotations

from edge.cli import json
from edge.cli.arguments import open_model
from edge.cli.console import print_json, say, status
from edge.cli.options import (
    CalibrationOption,
    JsonOption,
    ModelArgument,
    OverlapOption,
    PlanStepsOption,
    TfliteOutOption,
)


def plan(
    model: ModelArgument,
    out: TfliteOutOption = None,
    data: CalibrationOption = None,
    overlap: OverlapOption = False,
    steps: PlanStepsOption = 750_000,
    as_json: JsonOption = False,
) -> None:
    """Find the smallest memory plan for stock TFLite Micro; with --overlap, prove it there."""
    from edge.deploy.plan import plan
    from edge.deploy.verify import verify_plan
    from edge.system.files import write_files

    graph = open_model(model, data)
    with status(f"Planning {model}"):
        planned = plan(graph, may_overlap=overlap, steps=steps)
        verified_count = verify_plan(graph, planned.graph) if overlap else None
    if out is not None:
        write_files(out.parent, {out.name: planned.graph.content})
    if as_json:
        print_json(json.plan_json(planned, verified_count))
        return
    say(
        f"TFLite Micro's own plan {planned.greedy_bytes:,} bytes, this one "
        f"{planned.planned_bytes:,}; none can do with less than "
        f"{planned.plan.lower_bound_bytes:,}."
    )
    if verified_count is not None:
        say(f"Same bytes out on TFLite Micro for {verified_count} of {verified_count} inputs.")
    if out is not None:
        say(f"Wrote {out}.")
