"""Milliseconds of one inference: each core is traced once, and what is missing is said."""

import dataclasses

from edge.catalog.boards import boards, find_board
from edge.deploy import latency
from edge.deploy.latency import latencies
from edge.errors import MissingToolError


def test_boards_with_one_core_share_a_trace(arm_compiler, qemu, network, monkeypatch):
    traced = []

    def estimate(engine, board):
        traced.append(board.core)
        return original(engine, board)

    original = latency.estimate_cycles
    monkeypatch.setattr(latency, "estimate_cycles", estimate)
    asked = [board for board in boards() if board.core == "cortex-m4"]
    found = latencies(network("odd"), asked)
    assert traced == ["cortex-m4"]
    assert [each.cycles.board for each in found] == asked
    for each in found:
        ms = each.cycles.total.high / each.board.clock_hz * 1e3
        assert each.cycles.high_ms == ms
        assert f"at {each.board.clock_hz / 1e6:g} MHz" in each.sentence()
        assert "Estimated" in each.sentence()


def test_a_missing_tool_is_a_reason(network, monkeypatch):
    def estimate(engine, board):
        raise MissingToolError("qemu-system-arm is not installed.")

    monkeypatch.setattr(latency, "estimate_cycles", estimate)
    (found,) = latencies(network("odd"), [find_board("nucleo-f446re")])
    assert found.cycles is None
    assert found.sentence() == ("Milliseconds are not estimated: qemu-system-arm is not installed.")


def test_a_model_that_does_not_fit_is_not_traced(network):
    board = find_board("arduino-zero")
    small = dataclasses.replace(board, ram=(dataclasses.replace(board.ram[0], bytes=1024),))
    (found,) = latencies(network("odd"), [small])
    assert found.cycles is None
    assert "exceeds Arduino Zero's RAM by" in found.sentence()
