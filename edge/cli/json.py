"""What the commands print with --json."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from edge.catalog.boards import Board
from edge.debugger.result import Comparison, LayerError
from edge.deploy.budget import Budget
from edge.emit.camera.render import Camera
from edge.memory.timeline import Timeline
from edge.reporting.figures import Absent, Report
from edge.tflite.graph import Graph


def board_json(board: Board) -> dict[str, Any]:
    """A board.

    Args:
        board: The board.

    Returns:
        Every figure and source.

    Example:
        >>> from edge.catalog.boards import find_board
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
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
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
        >>> from edge.memory.timeline import memory_timeline
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


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """A comparison for scripts.

    Args:
        comparison: The two models.

    Returns:
        Every figure; None for a ratio without noise, which JSON cannot write.
    """
    return dataclasses.asdict(comparison) | {
        "input": _layer_json(comparison.input),
        "layers": [_layer_json(layer) for layer in comparison.layers],
        "worst": comparison.worst.operator,
    }


def _layer_json(layer: LayerError) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isinf(value) else value
        for name, value in dataclasses.asdict(layer).items()
    }


def report_json(done: Report) -> dict[str, Any]:
    """The figures of a report.

    Args:
        done: The report.

    Returns:
        A part that could not be had is a string that says why.
    """
    profiled = done.profile
    return {
        "board": done.board.id,
        "sha256": done.graph.sha256,
        "runtimes": [
            {
                "name": runtime.name,
                "peak_bytes": runtime.memory.reason
                if isinstance(runtime.memory, Absent)
                else runtime.memory.peak_bytes,
                "banks": runtime.banks.reason
                if isinstance(runtime.banks, Absent)
                else [
                    {
                        "memory": use.memory,
                        "name": use.bank.name,
                        "bytes": use.bank.bytes,
                        "used_bytes": use.bytes,
                    }
                    for use in runtime.banks
                ],
            }
            for runtime in done.runtimes
        ],
        "layers": [dataclasses.asdict(layer) for layer in done.layers],
        "instructions": profiled.reason
        if isinstance(profiled, Absent)
        else {
            "board": profiled.board.id,
            "inference": profiled.instructions,
            "input_rows": profiled.input_instructions,
            "residual": profiled.residual,
        },
        "accuracy": done.accuracy.reason
        if isinstance(done.accuracy, Absent)
        else dataclasses.asdict(done.accuracy),
        "comparison": done.comparison.reason
        if isinstance(done.comparison, Absent)
        else comparison_json(done.comparison),
    }


def camera_json(camera: Camera | None) -> dict[str, Any]:
    """A camera for a script.

    Args:
        camera: The camera.

    Returns:
        Its format, size and memory under `"camera"`; nothing without a camera.

    Example:
        >>> camera_json(None)
        {}
    """
    if camera is None:
        return {}
    return {
        "camera": {
            "format": camera.camera_format,
            "width": camera.width,
            "height": camera.height,
            "state_bytes": camera.state_bytes,
            "row_bytes": camera.row_bytes,
            "tables_bytes": camera.tables_bytes,
        }
    }
