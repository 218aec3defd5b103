"""Computes the charts of memory over time that the report's page draws as SVG."""

from __future__ import annotations

import itertools
from typing import Any

from edge.reporting.figures import Absent, Runtime
from edge.reporting.memory import Box, MemoryView, Span

WIDTH, HEIGHT = 1000, 400
"""The size of the chart in its own coordinates; the page stretches it."""

HEADROOM = 1.11
"""The height of the chart as a multiple of the peak."""

MARK_GAP = 0.055
"""The smallest share of the width between two labels of the axis."""

COLORS = 6
"""The number of colors in the style sheet."""

LABEL_WIDTH, LABEL_HEIGHT = 0.06, 0.055
"""The smallest share of the chart that a box must fill to get a label inside it."""


def chart(runtime: Runtime) -> dict[str, Any]:
    """Computes the chart of a runtime's memory over time.

    Args:
        runtime: The runtime whose memory is drawn.

    Returns:
        What the template draws: boxes as SVG paths, labels and axes; under `"data"` the same
        figures for the page's script. Without a memory view only `id`, `name` and `reason`.

    Example:
        >>> from edge.reporting.figures import Absent
        >>> chart(Runtime("tflm", "TFLite Micro", Absent("No operators."), Absent("")))["reason"]
        'No operators.'
    """
    memory = runtime.memory
    if isinstance(memory, Absent):
        return {"id": runtime.id, "name": runtime.name, "reason": memory.reason}
    scale = memory.peak_bytes * HEADROOM
    colors = {name: n % COLORS for name, n in memory.tensor_numbers().items()}
    boxes = [_box(memory, box, scale, colors) for box in memory.boxes]
    peak = memory.moments[memory.peak]
    return {
        "id": runtime.id,
        "name": runtime.name,
        "peak": memory.peak,
        "peak_bytes": memory.peak_bytes,
        "peak_operator": peak.operator,
        "peak_row": peak.row,
        "peak_alive": peak.alive_bytes,
        "peak_y": rounded((1 - memory.peak_bytes / scale) * 100),
        "peak_x": rounded(memory.edges[memory.peak] * WIDTH),
        "peak_width": rounded((memory.edges[memory.peak + 1] - memory.edges[memory.peak]) * WIDTH),
        "boxes": boxes,
        "labels": [box["label"] for box in boxes if box["label"]],
        "ticks": [
            {"y": rounded((1 - at / scale) * 100), "bytes": at} for at in _ticks(memory.peak_bytes)
        ],
        "marks": [
            {"x": rounded(memory.edges[moment] * 100), "text": text}
            for moment, text in memory.spread_marks(MARK_GAP)
        ],
        "count": len(memory.moments),
        "by_rows": memory.moments[0].row is not None,
        "most_alive": max(len(memory.alive(n)) for n in _sample(memory)),
        "alive": [
            {
                "name": short_name(box.name),
                "kind": box.kind,
                "color": "s" if box.kind == "scratch" else colors[box.name],
                "shape": box.shape,
                "bytes": span.top - span.bottom,
                "offset": span.bottom,
            }
            for box, span in memory.alive(memory.peak)
        ],
        "data": _script_data(memory, scale, colors),
    }


def _script_data(memory: MemoryView, scale: float, colors: dict[str, int]) -> dict[str, Any]:
    """Collects what the page's script needs to show the moment under the pointer."""
    return {
        "edges": [rounded(edge, 5) for edge in memory.edges],
        "scale": scale,
        "peak": memory.peak,
        "moments": [[m.operator, m.row, m.alive_bytes, m.top_bytes] for m in memory.moments],
        "boxes": [
            {
                "name": short_name(box.name),
                "kind": box.kind,
                "shape": list(box.shape),
                "height": box.height,
                "color": "s" if box.kind == "scratch" else colors[box.name],
                "spans": [
                    [span.first, span.last, span.bottom, span.top, *(span.rows or ())]
                    for span in box.spans
                ],
            }
            for box in memory.boxes
        ],
    }


def _sample(memory: MemoryView) -> range:
    return range(0, len(memory.moments), max(1, len(memory.moments) // 200))


def _box(memory: MemoryView, box: Box, scale: float, colors: dict[str, int]) -> dict[str, Any]:
    """Draws a box as one path, with a label where there is room for one."""
    runs: list[list[Span]] = []
    for span in box.spans:
        if runs and runs[-1][-1].last + 1 == span.first:
            runs[-1].append(span)
        else:
            runs.append([span])
    label = None
    longest = max(runs, key=lambda run: memory.edges[run[-1].last + 1] - memory.edges[run[0].first])
    left, right = memory.edges[longest[0].first], memory.edges[longest[-1].last + 1]
    top = max(span.top for span in longest)
    bottom = min(span.bottom for span in longest)
    is_roomy = right - left >= LABEL_WIDTH and (top - bottom) / scale >= LABEL_HEIGHT
    if box.kind in ("tensor", "ring") and is_roomy:
        label = {
            "x": rounded(left * 100),
            "width": rounded((right - left) * 100),
            "y": rounded((1 - top / scale) * 100),
            "height": rounded((top - bottom) / scale * 100),
            "text": f"{top - bottom:,}",
        }
    return {
        "kind": box.kind.replace(" ", "-"),
        "color": "s" if box.kind == "scratch" else colors[box.name],
        "path": " ".join(_outline(memory, run, scale) for run in runs),
        "label": label,
    }


def _outline(memory: MemoryView, run: list[Span], scale: float) -> str:
    """Draws a run of spans: along the bottom to the right, and back along the top."""
    merged: list[Span] = []
    for span in run:
        if merged and (merged[-1].bottom, merged[-1].top) == (span.bottom, span.top):
            first = merged.pop().first
            span = Span(first, span.last, span.bottom, span.top)
        merged.append(span)
    there, back = [], []
    for span in merged:
        x0, x1 = memory.edges[span.first] * WIDTH, memory.edges[span.last + 1] * WIDTH
        low, high = ((1 - at / scale) * HEIGHT for at in (span.bottom, span.top))
        there += [(x0, low), (x1, low)]
        back += [(x0, high), (x1, high)]
    points = (f"{rounded(x)} {rounded(y)}" for x, y in itertools.chain(there, reversed(back)))
    return f"M{'L'.join(points)}Z"


def _ticks(highest: int) -> list[int]:
    """Chooses about four round numbers of bytes."""
    step = 1
    while highest / step > 5:
        step *= 2
    return list(range(0, highest + 1, step))


def short_name(name: str) -> str:
    """Shortens the name of a tensor, in which the converter joins the names of fused layers.

    Args:
        name: The tensor's name in the file.

    Returns:
        The layer and the operation of the first name, without the models around them.

    Example:
        >>> short_name("model/relu/Relu;model/conv/Conv2D;")
        'relu/Relu'
    """
    return "/".join((name.split(";")[0] or name).split("/")[-2:])


def rounded(value: float, digits: int = 2) -> float | int:
    """Rounds a number so that it takes few characters in the page.

    Args:
        value: The number.
        digits: The number of digits behind the decimal point.

    Returns:
        An integer where nothing is left behind the point.

    Example:
        >>> rounded(2.001), rounded(2.019)
        (2, 2.02)
    """
    result = round(value, digits)
    return int(result) if result == int(result) else result
