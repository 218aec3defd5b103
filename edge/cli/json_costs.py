"""Instructions and cycles as the commands print them with `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
