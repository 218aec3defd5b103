"""The tensor arena that a model needs on a board, whichever kernels are linked."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge.catalog.boards import Board
from edge.memory.greedy import align_up
from edge.memory.tflm_arena import (
    ArenaPlan,
    Kernels,
    NoArenaRuleError,
    cmsis_nn_scratch_bytes,
    predict_arena,
)
from edge.runtimes.interpreters import run_tflm
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arena:
    """The tensor arena of TFLite Micro.

    Attributes:
        bytes: Size that suffices with either set of kernels, a multiple of 16.
        reference_bytes: What TFLite Micro's reference kernels use of it.
        cmsis_nn_bytes: What the kernels of CMSIS-NN use of it; None if the model's memory plan
            is not for them.
        head_bytes: Activations and scratch memory, of `bytes`; None where not known.
        is_exact: Whether the figures are exact. If not, they are an upper bound: the use that
            TFLite Micro's 64-bit build reported, with the scratch memory of CMSIS-NN on top.
    """

    bytes: int
    reference_bytes: int
    cmsis_nn_bytes: int | None
    head_bytes: int | None
    is_exact: bool


def tensor_arena(
    graph: Graph,
    board: Board,
    *,
    may_measure: bool = True,
    predicted: ArenaPlan | None = None,
) -> Arena:
    """Computes the tensor arena of a model on a board.

    Args:
        graph: An int8 model.
        board: The board; its core's extensions decide on CMSIS-NN's scratch memory.
        may_measure: Whether a model with an operator without a rule may be run to see.
        predicted: A prediction of this graph's arena, as planning leaves it in `PlannedModel`; it
            is not computed again where it is one of those needed.

    Returns:
        The `Arena`: predicted to the byte, or an upper bound measured with the tflite-micro
        package where the model has an operator without a rule.

    Raises:
        NoArenaRuleError: If a measurement is needed and not allowed.
        EdgeError: If it is needed and TFLite Micro is absent or refuses the model.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> tensor_arena(graph, find_board("nucleo-f446re")).bytes
        2560
    """
    try:
        reference = _prediction(graph, board, "reference", predicted)
        if graph.offline_offsets is not None and reference.has_overlap:
            return Arena(
                bytes=reference.arena_bytes,
                reference_bytes=reference.used_bytes,
                cmsis_nn_bytes=None,
                head_bytes=reference.head_bytes,
                is_exact=True,
            )
        cmsis_nn = _prediction(graph, board, "cmsis_nn", predicted)
    except NoArenaRuleError:
        if not may_measure:
            raise
        return _measured(graph, board)
    larger = max(reference, cmsis_nn, key=lambda plan: plan.arena_bytes)
    return Arena(
        bytes=larger.arena_bytes,
        reference_bytes=reference.used_bytes,
        cmsis_nn_bytes=cmsis_nn.used_bytes,
        head_bytes=larger.head_bytes,
        is_exact=True,
    )


def _prediction(
    graph: Graph, board: Board, kernels: Kernels, predicted: ArenaPlan | None
) -> ArenaPlan:
    has_dsp, has_mve = board.dsp, board.mve
    if predicted is not None and predicted.is_for(kernels, has_dsp=has_dsp, has_mve=has_mve):
        return predicted
    return predict_arena(graph, kernels, has_dsp=has_dsp, has_mve=has_mve)


def _measured(graph: Graph, board: Board) -> Arena:
    _, used = run_tflm(graph, np.zeros((1, *graph.input.shape[1:]), np.int8))
    scratch = sum(cmsis_nn_scratch_bytes(graph, board.dsp, board.mve))
    return Arena(
        bytes=align_up(used + scratch),
        reference_bytes=used,
        cmsis_nn_bytes=used + scratch,
        head_bytes=None,
        is_exact=False,
    )
