"""What `demo` prints for a script to read."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from edge.cli.json import budget_json

if TYPE_CHECKING:
    from edge.deploy.demo import DemoResult


def demo_json(result: DemoResult) -> dict[str, Any]:
    """What `demo` prints.

    Args:
        result: The outcome of the demo.

    Returns:
        Accuracies, 0 to 1, how many inputs agree, and the budget; of the engine, what its firmware
        takes and did, or why it could not run.
    """
    proof, budget = result.verification, result.export.budget
    assert budget is not None, "the demo exports for TFLite Micro"
    return {
        "source": result.source,
        "baselines": dataclasses.asdict(result.simple),
        "float_accuracy": result.float_accuracy,
        "qat_accuracy": result.qat_accuracy,
        "int8_accuracy": result.int8_accuracy,
        "equal_count": proof.equal_count,
        "input_count": proof.input_count,
        "budget": budget_json(budget),
        "engine": _on_board_json(result),
        "missing": result.missing,
    }


def _on_board_json(result: DemoResult) -> dict[str, Any] | None:
    done = result.on_board
    if done is None:
        return None
    return {
        "accuracy": result.board_accuracy,
        "equal_count": result.equal_on_board,
        "ram_bytes": done.built.ram_bytes,
        "flash_bytes": done.built.flash_bytes,
        "instructions": done.cycles.total.instructions,
        "low_ms": done.cycles.low_ms,
        "high_ms": done.cycles.high_ms,
    }
