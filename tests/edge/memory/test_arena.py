"""The arena for a board is put together from predictions that are made once."""

import pytest

import edge
from edge.catalog.boards import find_board
from edge.memory import arena, offline_plan
from edge.memory.arena import tensor_arena
from edge.memory.offline_plan import planned_model
from edge.tflite.reader import read_graph


@pytest.fixture
def predictions(monkeypatch):
    """What is predicted while a test runs: the plan, the kernels and the core."""
    made = []
    real = arena.predict_arena

    def counted(graph, kernels="reference", *, has_dsp=True, has_mve=False):
        core = (has_dsp, has_mve) if kernels == "cmsis_nn" else None
        made.append((graph.offline_offsets, kernels, core))
        return real(graph, kernels, has_dsp=has_dsp, has_mve=has_mve)

    for module in (arena, offline_plan):
        monkeypatch.setattr(module, "predict_arena", counted)
    return made


@pytest.mark.parametrize(
    ("board", "count"),
    # Without the plan and with it for CMSIS-NN's kernels, and with it for the reference kernels; a
    # core with other scratch memory than was planned for needs one more.
    [("nucleo-f446re", 3), ("mps3-an547", 4)],
)
def test_an_export_predicts_no_arena_twice(vww, tmp_path, predictions, board, count):
    edge.export(vww, board, tmp_path)
    assert len(predictions) == len(set(predictions)) == count


@pytest.mark.parametrize("board", ["nucleo-f446re", "mps3-an547", "arduino-zero"])
@pytest.mark.parametrize("may_overlap", [False, True])
def test_a_prediction_at_hand_changes_no_figure(vww, board, may_overlap):
    planned = planned_model(read_graph(vww), may_overlap=may_overlap)
    target = find_board(board)
    at_hand = tensor_arena(planned.graph, target, predicted=planned.arena)
    assert at_hand == tensor_arena(planned.graph, target)
    assert at_hand.head_bytes >= planned.planned_bytes
