"""The tensor arena that a model needs on a board, whichever kernels are linked."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge.catalog.boards import Board
from edge.memory.greedy import align_up
from edge.memory.planned_model import plan_overlaps
from edge.memory.tflm_arena import NoArenaRuleError, cmsis_nn_scratch_bytes, predict_arena
from edge.runtimes.interpreters import run_tflm
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
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


def tensor_arena(graph: Graph, board: Board, may_measure: bool = True) -> Arena:
    """Computes the tensor arena of a model on a board.

    Args:
        graph: An int8 model.
        board: The board; its core's extensions decide on CMSIS-NN's scratch memory.
        may_measure: Whether a model with an operator without a rule may be run to see.

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
        reference = predict_arena(graph)
        if plan_overlaps(graph):
            return Arena(
                reference.arena_bytes, reference.used_bytes, None, reference.head_bytes, True
            )
        cmsis_nn = predict_arena(graph, "cmsis_nn", board.dsp, board.mve)
    except NoArenaRuleError:
        if not may_measure:
            raise
        return _measured(graph, board)
    larger = max(reference, cmsis_nn, key=lambda plan: plan.arena_bytes)
    return Arena(
        larger.arena_bytes, reference.used_bytes, cmsis_nn.used_bytes, larger.head_bytes, True
    )


def _measured(graph: Graph, board: Board) -> Arena:
    _, used = run_tflm(graph, np.zeros((1, *graph.input.shape[1:]), np.int8))
    scratch = sum(cmsis_nn_scratch_bytes(graph, board.dsp, board.mve))
    total = align_up(used + scratch)
    return Arena(total, used, used + scratch, None, False)
