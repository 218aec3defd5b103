"""When to prune, and how much: TF-MOT's two schedules, in plain Python."""

from __future__ import annotations

import dataclasses


def _check(begin_step: int, end_step: int, frequency: int, *sparsities: float) -> None:
    for sparsity in sparsities:
        if not 0 <= sparsity < 1:
            raise ValueError(f"sparsity must lie in [0, 1), got {sparsity!r}.")
    if begin_step < 0 or (end_step != -1 and end_step < begin_step):
        raise ValueError(
            f"begin_step must be at least 0 and end_step no earlier, got {begin_step} and "
            f"{end_step}."
        )
    if frequency < 1:
        raise ValueError(f"frequency must be at least 1, got {frequency!r}.")


def _is_due(step: int, begin_step: int, end_step: int, frequency: int) -> bool:
    is_past = end_step != -1 and step > end_step
    return step >= begin_step and not is_past and (step - begin_step) % frequency == 0


@dataclasses.dataclass(frozen=True)
class ConstantSparsity:
    """The same sparsity at every pruning step.

    Args:
        target_sparsity: The share of zeros, 0 to 1.
        begin_step: The first optimizer step that prunes, counted from 0.
        end_step: The last step that prunes, or -1 for no end.
        frequency: The number of steps from one pruning to the next.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> ConstantSparsity(0.5, begin_step=10)(10)
        (True, 0.5)

    Source: TF-MOT's `ConstantSparsity`.
    """

    target_sparsity: float
    begin_step: int
    end_step: int = -1
    frequency: int = 100

    def __post_init__(self):
        _check(self.begin_step, self.end_step, self.frequency, self.target_sparsity)

    def __call__(self, step: int) -> tuple[bool, float]:
        """Tells whether a step prunes, and to what share of zeros."""
        due = _is_due(step, self.begin_step, self.end_step, self.frequency)
        return due, self.target_sparsity


@dataclasses.dataclass(frozen=True)
class PolynomialDecay:
    """Sparsity that rises fast at first and levels off.

    Args:
        initial_sparsity: The share of zeros at `begin_step`.
        final_sparsity: The share of zeros at `end_step`.
        begin_step: The first optimizer step that prunes, counted from 0.
        end_step: The last step that prunes.
        power: The exponent of the decay.
        frequency: The number of steps from one pruning to the next.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=100, frequency=50)
        >>> [(due, round(sparsity, 3)) for due, sparsity in map(schedule, (0, 25, 50, 100))]
        [(True, 0.0), (False, 0.463), (True, 0.7), (True, 0.8)]

    Source: arXiv 1710.01878, equation 1; TF-MOT's `PolynomialDecay`.
    """

    initial_sparsity: float
    final_sparsity: float
    begin_step: int
    end_step: int
    power: float = 3
    frequency: int = 100

    def __post_init__(self):
        sparsities = (self.initial_sparsity, self.final_sparsity)
        _check(self.begin_step, self.end_step, self.frequency, *sparsities)
        if self.end_step <= self.begin_step:
            raise ValueError("end_step must come after begin_step.")

    def __call__(self, step: int) -> tuple[bool, float]:
        """Tells whether a step prunes, and to what share of zeros."""
        done = (step - self.begin_step) / (self.end_step - self.begin_step)
        left = (1.0 - min(max(done, 0.0), 1.0)) ** self.power
        sparsity = self.final_sparsity + (self.initial_sparsity - self.final_sparsity) * left
        return _is_due(step, self.begin_step, self.end_step, self.frequency), sparsity
