"""What the commands print with --json."""

from __future__ import annotations

import dataclasses
from typing import Any

from edge.boards import Board
from edge.budget import Budget
from edge.graph import Graph
from edge.plan.timeline import Timeline


def board_json(board: Board) -> dict[str, Any]:
    """A board.

    Args:
        board: The board.

    Returns:
        Every figure and source.

    Example:
        >>> from edge.boards import find_board
        >>> board_json(find_board("nucleo-f446re"))["ram_bytes"]
        131072
    """
    return dataclasses.asdict(board) | {
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
    }


def budget_json(use: Budget) -> dict[str, Any]:
    """A budget.

    Args:
        use: The budget.

    Returns:
        Totals, items and banks.

    Example:
        >>> from edge.boards import find_board
        >>> from edge.budget import budget
        >>> budget_json(budget(graph, find_board("nucleo-f446re")))["arena_bytes"]
        2560
    """
    return {
        "board": use.board.id,
        "fits": use.fits,
        "arena_bytes": use.arena.bytes,
        "arena_is_exact": use.arena.is_exact,
        "flash_bytes": use.flash_bytes,
        "flash_over_bytes": use.flash_over_bytes,
        "ram_bytes": use.ram_bytes,
        "ram_over_bytes": use.ram_over_bytes,
        "items": [dataclasses.asdict(item) for item in use.items],
        "banks": [
            {
                "memory": bank.memory,
                "name": bank.bank.name,
                "bytes": bank.bank.bytes,
                "used_bytes": bank.bytes,
                "items": [item.what for item in bank.items],
            }
            for bank in use.bank_uses()
        ],
        "unmeasured_operators": use.unmeasured_operators,
    }


def graph_json(graph: Graph) -> dict[str, Any]:
    """A model.

    Args:
        graph: The model.

    Returns:
        Size, hash, inputs, outputs and operators.

    Example:
        >>> graph_json(graph)["input"]["shape"]
        (1, 8, 8, 3)
    """
    return {
        "model_bytes": graph.model_bytes,
        "sha256": graph.sha256,
        "macs": graph.total_macs(),
        "has_offline_plan": graph.offline_offsets is not None,
        "input": _tensor_json(graph, graph.inputs[0]),
        "output": _tensor_json(graph, graph.outputs[0]),
        "operators": [
            {
                "index": op.index,
                "opcode": op.opcode,
                "macs": graph.macs(op),
                "output": _tensor_json(graph, op.outputs[0]),
            }
            for op in graph.operators
        ],
    }


def timeline_json(graph: Graph, timeline: Timeline) -> dict[str, Any]:
    """Memory over time.

    Args:
        graph: The model.
        timeline: Its memory.

    Returns:
        The peak, its culprits, and every moment.

    Example:
        >>> from edge.plan.timeline import memory_timeline
        >>> timeline_json(graph, memory_timeline(graph))["peak_bytes"]
        256
    """
    return {
        "peak_bytes": timeline.peak.top_bytes,
        "peak_operator": timeline.peak.operator,
        "culprits": [
            {
                "tensor": None if buffer.tensor is None else graph.tensors[buffer.tensor].name,
                "bytes": buffer.bytes,
                "offset": offset,
            }
            for buffer, offset in timeline.culprits()
        ],
        "moments": [dataclasses.asdict(moment) for moment in timeline.moments],
    }


def _tensor_json(graph: Graph, index: int) -> dict[str, Any]:
    tensor = graph.tensors[index]
    quantization = tensor.quantization
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "scale": None if quantization is None else quantization.scales[0],
        "zero_point": None if quantization is None else quantization.zero_points[0],
    }
