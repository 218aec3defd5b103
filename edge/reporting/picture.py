"""Draws the figures of a report as a picture, for a README."""

from __future__ import annotations

import io
from typing import Any

from edge.errors import EdgeError
from edge.reporting.figures import Absent, LayerFigures, Report, Runtime
from edge.reporting.memory import Box, MemoryView

KIB = 1024
MARK_GAP = 0.12
COLORS = ("#7aa6d6", "#e0b35c", "#7fbf9a", "#b99ad6", "#e39a8b", "#86c3cf")
SCRATCH, PEAK, INK = "#a7adb5", "#b3400c", "#191c20"


def render_picture(report: Report, suffix: str = ".png") -> bytes:
    """Draws memory over time, the use of the board's memory, and the cost of each layer.

    Args:
        report: The figures to draw.
        suffix: The suffix of the picture's file name, which names the format.

    Returns:
        The bytes of the picture's file.

    Raises:
        EdgeError: If matplotlib does not know the format.

    Example:
        >>> from edge.reporting.report import collect
        >>> render_picture(collect("model.tflite", "raspberry-pi-pico"))[1:4]
        b'PNG'
    """
    # A figure of its own needs no display and leaves pyplot's global state alone.
    from matplotlib.figure import Figure

    views = [r for r in report.runtimes if isinstance(r.memory, MemoryView)]
    figure = Figure(figsize=(14, 10), layout="constrained")
    rows: Any = figure.subfigures(2, 1, height_ratios=(1, 1.15))
    memory_row, lower_row = rows
    for axes, runtime in zip(
        memory_row.subplots(1, max(1, len(views)), squeeze=False)[0], views, strict=False
    ):
        _draw_memory(axes, runtime)
    budget_axes, layers_axes = lower_row.subplots(1, 2, width_ratios=(1, 1.25))
    _draw_budget(budget_axes, report)
    _draw_layers(layers_axes, report)
    # Dollar signs in a name do not begin a formula.
    figure.suptitle(
        f"{report.name} on {report.board.name}", fontsize=15, fontweight="bold", parse_math=False
    )
    content = io.BytesIO()
    try:
        figure.savefig(content, format=suffix.removeprefix(".") or "png", dpi=110)
    except ValueError as error:
        raise EdgeError(f"Cannot draw a picture of the format {suffix!r}: {error}") from error
    return content.getvalue()


def _draw_memory(axes: Any, runtime: Runtime) -> None:
    memory = runtime.memory
    assert isinstance(memory, MemoryView), "the caller leaves out runtimes without a view"
    numbers = memory.tensor_numbers()
    for box in memory.boxes:
        color = SCRATCH if box.kind == "scratch" else COLORS[numbers[box.name] % len(COLORS)]
        _draw_box(axes, memory, box, color)
    axes.axhline(memory.peak_bytes / KIB, color=PEAK, linestyle="--", linewidth=1)
    axes.set_title(f"{runtime.name}: {memory.peak_bytes:,} bytes", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, memory.peak_bytes / KIB * 1.06)
    marks = memory.spread_marks(MARK_GAP)
    axes.set_xticks(
        [memory.edges[at] for at, _ in marks], [text for _, text in marks], fontsize=7, ha="left"
    )
    axes.set_xlabel("operator", fontsize=8)
    axes.set_ylabel("KiB", fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_box(axes: Any, memory: MemoryView, box: Box, color: str) -> None:
    from matplotlib.collections import PolyCollection

    corners = []
    for span in box.spans:
        left, right = memory.edges[span.first], memory.edges[span.last + 1]
        low, high = span.bottom / KIB, span.top / KIB
        corners.append([(left, low), (right, low), (right, high), (left, high)])
    axes.add_collection(PolyCollection(corners, facecolors=color, edgecolors="white", linewidths=0))


def _draw_budget(axes: Any, report: Report) -> None:
    bars = [
        (runtime, use)
        for runtime in report.runtimes
        if not isinstance(runtime.banks, Absent)
        for use in runtime.banks
    ]
    for row, (_, use) in enumerate(bars):
        left = 0.0
        for number, item in enumerate(use.items):
            width = item.bytes / use.bank.bytes * 100
            axes.barh(row, width, left=left, color=COLORS[number % len(COLORS)], height=0.6)
            left += width
        state = f"{use.bytes:,} of {use.bank.bytes:,}"
        if use.over_bytes:
            state += f", over by {'at most ' * use.is_bound}{use.over_bytes:,}"
        color = PEAK if use.over_bytes else INK
        axes.text(0, row - 0.36, state, fontsize=8, va="bottom", color=color)
    axes.axvline(100, color=INK, linewidth=1)
    names = [f"{runtime.name}\n{use.memory}: {use.bank.name}" for runtime, use in bars]
    axes.set_yticks(range(len(bars)), names, fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("% of the bank", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title("Flash and RAM of the board", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_layers(axes: Any, report: Report) -> None:
    """Draws instructions where they were counted, otherwise multiply-accumulates."""
    layers = report.layers
    if isinstance(report.profile, Absent):
        title, values = "MACs of each layer (instructions were not counted)", _macs(layers)
    else:
        title = (
            f"Instructions of each layer: {report.profile.instructions:,} on a "
            f"{report.profile.board.core}"
        )
        values = [layer.instructions or 0 for layer in layers]
    rows = range(len(layers))
    axes.barh(rows, [value / 1e6 for value in values], color=COLORS[0])
    # More than 40 names cannot be read.
    shown = rows[:: max(1, -(-len(layers) // 40))]
    axes.set_yticks(
        shown, [f"{layers[n].operator} {layers[n].opcode.lower()}" for n in shown], fontsize=7
    )
    axes.invert_yaxis()
    axes.margins(y=0.01)
    axes.set_xlabel("millions", fontsize=8)
    axes.tick_params(axis="x", labelsize=8)
    axes.set_title(title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)


def _macs(layers: tuple[LayerFigures, ...]) -> list[int]:
    return [layer.macs for layer in layers]
