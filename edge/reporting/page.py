"""Renders a report as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
import itertools
import math
from typing import Any

import jinja2
from markupsafe import Markup

from edge.deploy.budget import BankUse
from edge.firmware.profile import Profile
from edge.reporting.figures import Absent, Accuracy, LayerCost, Report, Runtime
from edge.reporting.memory import Box, MemoryView, Span

WIDTH, HEIGHT = 1000, 400
"""Of the chart's own coordinates; the page stretches them."""

HEADROOM = 1.11
MARK_GAP = 0.055
BEST_DB = 60
COLORS = 6
PERCENT = str.maketrans({"%": "\u00a0%", "-": "\u2212"})
LABEL_WIDTH, LABEL_HEIGHT = 0.06, 0.055
"""The least share of the chart that a box needs for a label inside it."""


def render_page(report: Report) -> str:
    """Renders a report.

    Args:
        report: The report.

    Returns:
        HTML; the same for the same report.

    Example:
        >>> from edge.reporting.report import collect
        >>> render_page(collect("model.tflite", "raspberry-pi-pico"))[:15]
        '<!doctype html>'
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge"),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = lambda value: f"{value:,}"
    environment.filters["size"] = lambda shape: " \u00d7 ".join(f"{n:,}" for n in shape)
    environment.filters["percent"] = lambda share: f"{share:.2%}".translate(PERCENT)
    environment.filters["short"] = short_name
    assert environment.loader is not None
    # Ours alone, and not escaped: neither holds anything of the model's.
    script = environment.loader.get_source(environment, "report.js")[0]
    style = environment.loader.get_source(environment, "report.css")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    views = [_view(runtime) for runtime in report.runtimes]
    return environment.get_template("report.html.j2").render(
        report=report,
        input_shape=report.graph.input.shape[1:],
        output_count=report.graph.output.element_count,
        macs=report.graph.total_macs(),
        script=Markup(script),
        script_hash=digest,
        style=Markup(style),
        views=views,
        data={
            "operators": [op.opcode for op in report.graph.operators],
            "views": {view["id"]: view["data"] for view in views if "data" in view},
        },
        budgets=[_budget(runtime) for runtime in report.runtimes],
        layers=_layer_rows(report.layers),
        has_other_macs=any(
            layer.engine_macs is not None and layer.engine_macs != layer.macs
            for layer in report.layers
        ),
        totals=_totals(report.layers),
        profile=report.profile if isinstance(report.profile, Profile) else None,
        why_no_profile=_reason(report.profile),
        accuracy=report.accuracy if isinstance(report.accuracy, Accuracy) else None,
        comparison=None if isinstance(report.comparison, Absent) else report.comparison,
        errors=_errors(report),
        why_no_comparison=_reason(report.comparison),
        why_no_accuracy=_reason(report.accuracy),
    )


def short_name(name: str) -> str:
    """What a person reads of a tensor's name: the converter joins those of fused layers.

    Args:
        name: As in the file.

    Returns:
        Layer and operation of the first of the names, without the models around them.

    Example:
        >>> short_name("model/relu/Relu;model/conv/Conv2D;")
        'relu/Relu'
    """
    return "/".join((name.split(";")[0] or name).split("/")[-2:])


def _reason(part: object) -> str:
    return part.reason if isinstance(part, Absent) else ""


def _view(runtime: Runtime) -> dict[str, Any]:
    """A chart: the boxes as paths, labels, axes; and the same as data for the script."""
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
        "peak_y": _round((1 - memory.peak_bytes / scale) * 100),
        "peak_x": _round(memory.edges[memory.peak] * WIDTH),
        "peak_width": _round((memory.edges[memory.peak + 1] - memory.edges[memory.peak]) * WIDTH),
        "boxes": boxes,
        "labels": [box["label"] for box in boxes if box["label"]],
        "ticks": [
            {"y": _round((1 - at / scale) * 100), "bytes": at} for at in _ticks(memory.peak_bytes)
        ],
        "marks": [
            {"x": _round(memory.edges[moment] * 100), "text": text}
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
        "data": {
            "edges": [_round(edge, 5) for edge in memory.edges],
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
        },
    }


def _sample(memory: MemoryView) -> range:
    return range(0, len(memory.moments), max(1, len(memory.moments) // 200))


def _box(memory: MemoryView, box: Box, scale: float, colors: dict[str, int]) -> dict[str, Any]:
    """One path for all of a box's life, and a label where there is room for one."""
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
            "x": _round(left * 100),
            "width": _round((right - left) * 100),
            "y": _round((1 - top / scale) * 100),
            "height": _round((top - bottom) / scale * 100),
            "text": f"{top - bottom:,}",
        }
    return {
        "kind": box.kind.replace(" ", "-"),
        "color": "s" if box.kind == "scratch" else colors[box.name],
        "path": " ".join(_outline(memory, run, scale) for run in runs),
        "label": label,
    }


def _outline(memory: MemoryView, run: list[Span], scale: float) -> str:
    """Along the bottom, and back along the top."""
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
    points = (f"{_round(x)} {_round(y)}" for x, y in itertools.chain(there, reversed(back)))
    return f"M{'L'.join(points)}Z"


def _ticks(highest: int) -> list[int]:
    """About four round numbers of bytes."""
    step = 1
    while highest / step > 5:
        step *= 2
    return list(range(0, highest + 1, step))


def _budget(runtime: Runtime) -> dict[str, Any]:
    banks = runtime.banks
    if isinstance(banks, Absent):
        return {"name": runtime.name, "reason": banks.reason}
    return {
        "name": runtime.name,
        "id": runtime.id,
        "note": runtime.note,
        "banks": [_bank(use) for use in banks],
    }


def _bank(use: BankUse) -> dict[str, Any]:
    # A bar is as wide as the bank, or as what is to go into it.
    full = max(use.bytes, use.bank.bytes)
    return {
        "memory": use.memory,
        "name": use.bank.name,
        "bytes": use.bytes,
        "has": use.bank.bytes,
        "over": use.over_bytes,
        "share": use.bytes / use.bank.bytes,
        "limit": _round(use.bank.bytes / full * 100),
        "items": [
            {
                "what": item.what,
                "bytes": item.bytes,
                "basis": item.basis,
                "width": _round(item.bytes / full * 100, 3),
                "color": n % COLORS,
            }
            for n, item in enumerate(use.items)
        ],
    }


def _layer_rows(layers: tuple[LayerCost, ...]) -> list[dict[str, Any]]:
    most_macs = max((layer.macs for layer in layers), default=0) or 1
    most_bytes = max((layer.weights_bytes for layer in layers), default=0) or 1
    most = max((layer.instructions or 0 for layer in layers), default=0) or 1
    return [
        {
            "cost": layer,
            "macs_share": _round(layer.macs / most_macs * 100),
            "bytes_share": _round(layer.weights_bytes / most_bytes * 100),
            "instructions_share": _round((layer.instructions or 0) / most * 100),
        }
        for layer in layers
    ]


def _errors(report: Report) -> list[dict[str, Any]]:
    """The noise of each layer, the input first; a bar is long where the noise is small."""
    if isinstance(report.comparison, Absent):
        return []
    found = report.comparison
    return [
        {
            "error": error,
            "share": _round(max(0.0, min(error.own_sqnr_db, BEST_DB)) / BEST_DB * 100),
            "is_worst": error is found.worst,
            "own": _decibel(error.own_sqnr_db),
            "here": _decibel(error.sqnr_db),
        }
        for error in (found.input, *found.layers)
    ]


def _decibel(value: float) -> str:
    return f"{value:.1f}".replace("-", "\u2212") if math.isfinite(value) else "no noise"


def _totals(layers: tuple[LayerCost, ...]) -> dict[str, int]:
    return {
        name: sum(getattr(layer, name) or 0 for layer in layers)
        for name in (
            *("macs", "weights_bytes", "engine_macs", "engine_weights_bytes", "instructions"),
        )
    }


def _round(value: float, digits: int = 2) -> float | int:
    """As few characters as do."""
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded
