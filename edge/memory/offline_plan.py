"""Finds the best memory plan of a model and writes it into the .tflite.

TFLite Micro reads such a plan from the file's metadata and obeys it, unmodified.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from edge.memory.optimal import OfflinePlan, plan_offline
from edge.memory.overlap import reference_overlaps
from edge.memory.tflm_arena import ArenaPlan, Kernels, predict_arena
from edge.tflite.graph import Graph
from edge.tflite.metadata import with_metadata
from edge.tflite.reader import OFFLINE_PLAN_NAME, read_graph

PLAN_VERSION = 1
SUBGRAPH = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class PlannedModel:
    """A model before and after planning.

    Attributes:
        graph: The model with the plan, or as it was where TFLite Micro's own is as good.
        plan: The plan that was found.
        greedy_bytes: Head of the arena under TFLite Micro's greedy planner.
        planned_bytes: Head of the arena under the plan.
        arena: The arena of `graph`, for the kernels that it was planned for.
    """

    graph: Graph
    plan: OfflinePlan
    greedy_bytes: int
    planned_bytes: int
    arena: ArenaPlan


def planned_graph(graph: Graph, *, may_overlap: bool = False, steps: int = 150_000) -> PlannedModel:
    """Plans a model's memory, without writing the plan into the file's bytes.

    Args:
        graph: The model; a plan that it brings is planned anew.
        may_overlap: Whether an operator's output may reach into its input, which is safe with
            TFLite Micro's reference kernels only; run `edge.verify` on the result.
        steps: How many buffers to place, at most, where the bound is not reached at once.

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
    unplanned = dataclasses.replace(graph, offline_offsets=None)
    greedy = predict_arena(unplanned, kernels)
    overlaps = reference_overlaps(graph, greedy.buffers) if may_overlap else None
    plan = plan_offline(greedy.buffers, overlaps, steps)
    offsets = [-1] * len(graph.tensors)
    for buffer, offset in zip(plan.buffers, plan.offsets, strict=True):
        if buffer.tensor is not None:
            offsets[buffer.tensor] = offset
    planned = dataclasses.replace(graph, offline_offsets=tuple(offsets))
    arena = predict_arena(planned, kernels)
    planned_bytes = arena.head_bytes
    if planned_bytes >= greedy.head_bytes:
        # As good without: the file stays as it is, with the plan that it brings.
        planned, planned_bytes = graph, greedy.head_bytes
        arena = greedy if graph.offline_offsets is None else predict_arena(graph, kernels)
    return PlannedModel(
        graph=planned,
        plan=plan,
        greedy_bytes=greedy.head_bytes,
        planned_bytes=planned_bytes,
        arena=arena,
    )


def planned_model(graph: Graph, *, may_overlap: bool = False, steps: int = 150_000) -> PlannedModel:
    """Plans a model's memory and writes the plan into the .tflite.

    Args:
        graph: The model; a plan that it brings is replaced.
        may_overlap: Whether an operator's output may reach into its input, which is safe with
            TFLite Micro's reference kernels only.
        steps: How many buffers to place, at most, where the bound is not reached at once.

    Returns:
        The `PlannedModel`, with a graph that has been read back.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> planned_model(graph).planned_bytes
        368
    """
    planned = planned_graph(graph, may_overlap=may_overlap, steps=steps)
    offsets = planned.graph.offline_offsets
    if offsets is None or planned.graph is graph:
        return planned
    content = with_offline_plan(graph.content, offsets)
    return dataclasses.replace(planned, graph=read_graph(content))


def with_offline_plan(content: bytes, offsets: Sequence[int]) -> bytes:
    """Adds a memory plan to a .tflite; one that is already there is replaced.

    Args:
        content: The file's bytes.
        offsets: An offset in the arena per tensor, in bytes; -1 leaves it to TFLite Micro's own
            planner.

    Returns:
        The new file's bytes: the same network, the same weights.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> offsets = [-1] * len(graph.tensors)
        >>> len(read_graph(with_offline_plan(graph.content, offsets)).offline_offsets)
        17

    Source: tflite-micro, docs/memory_management.md, "Offline planned tensor allocations".
    """
    table = np.array([PLAN_VERSION, SUBGRAPH, len(offsets), *offsets], "<i4")
    return with_metadata(content, OFFLINE_PLAN_NAME, table.tobytes(), "a memory plan")
