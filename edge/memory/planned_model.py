"""A model with the best memory plan written into it."""

from __future__ import annotations

import dataclasses

from edge.memory.optimal import OfflinePlan, plan_offline
from edge.memory.overlap import reference_overlaps
from edge.memory.tflm_arena import Kernels, predict_arena
from edge.tflite.graph import Graph
from edge.tflite.offline_plan import with_offline_plan
from edge.tflite.reader import read_graph


@dataclasses.dataclass(frozen=True)
class PlannedModel:
    """A model before and after planning.

    Attributes:
        graph: The model with the plan, or as it was where TFLite Micro's own is as good.
        plan: The plan that was found.
        greedy_bytes: Head of the arena under TFLite Micro's greedy planner.
        planned_bytes: Head of the arena under the plan.
    """

    graph: Graph
    plan: OfflinePlan
    greedy_bytes: int
    planned_bytes: int


def planned_graph(graph: Graph, may_overlap: bool = False, seconds: float = 1.0) -> PlannedModel:
    """Plans a model's memory, without writing the plan into the file's bytes.

    Args:
        graph: The model; a plan that it brings is planned anew.
        may_overlap: Whether an operator's output may reach into its input, which is safe with
            TFLite Micro's reference kernels only; run `edge.verify` on the result.
        seconds: How long to search where the bound is not reached at once.

    Returns:
        The `PlannedModel`; the `content` of its graph is still the original's.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> planned_graph(graph).planned_bytes
        368
    """
    # CMSIS-NN's scratch memory is planned for, so that it finds a gap; its kernels do not overlap.
    kernels: Kernels = "reference" if may_overlap else "cmsis_nn"
    greedy = predict_arena(dataclasses.replace(graph, offline_offsets=None), kernels)
    overlaps = reference_overlaps(graph, greedy.buffers) if may_overlap else None
    plan = plan_offline(greedy.buffers, overlaps, seconds)
    offsets = [-1] * len(graph.tensors)
    for buffer, offset in zip(plan.buffers, plan.offsets, strict=True):
        if buffer.tensor is not None:
            offsets[buffer.tensor] = offset
    planned = dataclasses.replace(graph, offline_offsets=tuple(offsets))
    head_bytes = predict_arena(planned, kernels).head_bytes
    if head_bytes >= greedy.head_bytes:
        return PlannedModel(graph, plan, greedy.head_bytes, greedy.head_bytes)
    return PlannedModel(planned, plan, greedy.head_bytes, head_bytes)


def planned_model(graph: Graph, may_overlap: bool = False, seconds: float = 1.0) -> PlannedModel:
    """Plans a model's memory and writes the plan into the .tflite.

    Args:
        graph: As in `planned_graph`.
        may_overlap: As in `planned_graph`.
        seconds: As in `planned_graph`.

    Returns:
        The `PlannedModel`, with a graph that has been read back.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> planned_model(graph).planned_bytes
        368
    """
    planned = planned_graph(graph, may_overlap, seconds)
    offsets = planned.graph.offline_offsets
    if offsets is None or planned.graph is graph:
        return planned
    content = with_offline_plan(graph.content, offsets)
    return dataclasses.replace(planned, graph=read_graph(content))


def plan_overlaps(graph: Graph) -> bool:
    """Whether the plan that a model brings lets two live tensors share memory.

    Args:
        graph: The model.

    Returns:
        True if it runs with TFLite Micro's reference kernels only.

    Example:
        >>> plan_overlaps(Graph((), (), (), (), b""))
        False
    """
    if graph.offline_offsets is None:
        return False
    arena = predict_arena(graph)
    placed = list(zip(arena.buffers, arena.offsets, strict=True))
    return any(
        first.overlaps(second) and at < other + second.bytes and other < at + first.bytes
        for n, (first, at) in enumerate(placed)
        for second, other in placed[:n]
    )
