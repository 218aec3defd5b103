"""Instructions and cycles as the commands print them with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.deploy.latency import Latency
    from edge.firmware.cycles import Cycles
    from edge.firmware.profile import Profile


def profile_json(profiled: Profile) -> dict[str, Any]:
    """Counted instructions.

    Args:
        profiled: The instructions of one inference, step by step.

    Returns:
        The sums; each layer's stand with the layers.
    """
    return {
        "board": profiled.board.id,
        "inference": profiled.instructions,
        "input_rows": profiled.input_instructions,
        "residual": profiled.residual,
    }


def cycles_json(found: Cycles) -> dict[str, Any]:
    """Estimated cycles.

    Args:
        found: The estimate.

    Returns:
        Both ends of the range, in cycles and in milliseconds at the board's clock.
    """
    return {
        "board": found.board.id,
        "clock_hz": found.board.clock_hz,
        "low": found.total.low,
        "high": found.total.high,
        "low_ms": found.low_ms,
        "high_ms": found.high_ms,
        "flash_wait_cycles": found.flash_wait_cycles,
        "flash_wait_ms": found.flash_wait_ms,
    }


def latency_json(latency: Latency) -> dict[str, Any]:
    """Estimated milliseconds.

    Args:
        latency: What one inference of the engine takes.

    Returns:
        Both ends of the range and what waiting for the flash may add, or None and the reason.
    """
    found = latency.cycles
    if found is None:
        return {"estimated_ms": None, "not_estimated": latency.reason}
    milliseconds = {"low": found.low_ms, "high": found.high_ms, "flash_wait": found.flash_wait_ms}
    return {"estimated_ms": milliseconds, "not_estimated": None}
