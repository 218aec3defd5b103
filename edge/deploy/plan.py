"""From a model to one whose file tells TFLite Micro where each tensor lies."""

from __future__ import annotations

from typing import Any

from edge.converter.model_source import read_model
from edge.memory.offline_plan import PlannedModel, planned_model


def plan(
    model: Any,
    *,
    representative_dataset: Any = None,
    may_overlap: bool = False,
    steps: int = 750_000,
) -> PlannedModel:
    """Finds the smallest memory plan of a model for stock TFLite Micro.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`; a plan that it brings is replaced.
        representative_dataset: Inputs for a Keras model that is not quantization-aware, see
            `edge.convert`.
        may_overlap: Whether an operator's output may reach into its input, which is safe with
            TFLite Micro's reference kernels only.
        steps: How many buffers to place, at most, where the proven bound is not reached at once; a
            million take some seconds, and the same number finds the same plan on every machine.

    Returns:
        The `PlannedModel`; `.graph.content` is the new .tflite.

    Raises:
        EdgeError: If the model cannot be read or converted.
        NoArenaRuleError: If the memory of one of its operators is not known.

    Example:
        >>> planned = plan("model.tflite")
        >>> planned.greedy_bytes, planned.planned_bytes, planned.plan.is_optimal
        (368, 368, True)
    """
    graph = read_model(model, representative_dataset)
    return planned_model(graph, may_overlap=may_overlap, steps=steps)
