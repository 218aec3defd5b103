"""Renders a report as one HTML file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any

import jinja2
from markupsafe import Markup

from edge.deploy.budget import BankUse
from edge.firmware.cycles import Cycles
from edge.firmware.profile import Profile
from edge.firmware.sizes import SectionSize
from edge.reporting.chart import COLORS, chart, rounded, short_name
from edge.reporting.curves import curves, matrix
from edge.reporting.figures import Absent, Accuracy, LayerFigures, Report, Runtime, Training

BEST_DB = 60
"""The bar of a layer's signal-to-noise ratio ends here."""

LARGEST = 12
"""The functions and objects of each section that are listed; the others are a sum."""

PERCENT = str.maketrans({"%": "\u00a0%", "-": "\u2212"})


def render_page(report: Report) -> str:
    """Renders a report as an HTML page.

    Args:
        report: The figures to show.

    Returns:
        The text of the page, which is the same whenever the figures are.

    Example:
        >>> from edge.reporting.report import collect
        >>> render_page(collect("model.tflite", "raspberry-pi-pico"))[:15]
        '<!doctype html>'
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("edge.reporting"),
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
    # These two come from this package and hold nothing of the model, so they are not escaped.
    script = environment.loader.get_source(environment, "report.js")[0]
    style = environment.loader.get_source(environment, "report.css")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    views = [chart(runtime) for runtime in report.runtimes]
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
        why_no_cycles=_reason(report.cycles),
        cycles=report.cycles if isinstance(report.cycles, Cycles) else None,
        accuracy=report.accuracy if isinstance(report.accuracy, Accuracy) else None,
        comparison=None if isinstance(report.comparison, Absent) else report.comparison,
        errors=_errors(report),
        why_no_comparison=_reason(report.comparison),
        why_no_accuracy=_reason(report.accuracy),
        training=report.training if isinstance(report.training, Training) else None,
        why_no_training=_reason(report.training),
        curves=curves(report.training) if isinstance(report.training, Training) else [],
        **_answers(report),
    )


def _answers(report: Report) -> dict[str, Any]:
    """What the model made of the test images: measured on them, or as its training says."""
    if isinstance(report.accuracy, Accuracy):
        answers, source = report.accuracy.answers, "LiteRT's reference kernels"
    elif isinstance(report.training, Training):
        answers, source = report.training.answers, "the model that trained, int8 simulated"
    else:
        return {"answers": None, "matrix": [], "answers_source": ""}
    return {"answers": answers, "matrix": matrix(answers), "answers_source": source}


def _reason(part: object) -> str:
    return part.reason if isinstance(part, Absent) else ""


def _budget(runtime: Runtime) -> dict[str, Any]:
    banks = runtime.banks
    if isinstance(banks, Absent):
        return {"name": runtime.name, "reason": banks.reason}
    return {
        "name": runtime.name,
        "id": runtime.id,
        "note": runtime.note,
        "banks": [_bank(use) for use in banks],
        "sections": [_section(section) for section in runtime.sections],
    }


def _section(section: SectionSize) -> dict[str, Any]:
    others = section.symbols[LARGEST:]
    return {
        "name": section.name,
        "bytes": section.bytes,
        "symbols": section.symbols[:LARGEST],
        "others": len(others),
        "others_bytes": sum(symbol.bytes for symbol in others),
    }


def _bank(use: BankUse) -> dict[str, Any]:
    # The bar spans the bank, or what has to go into it where that is more.
    full = max(use.bytes, use.bank.bytes)
    return {
        "memory": use.memory,
        "name": use.bank.name,
        "bytes": use.bytes,
        "has": use.bank.bytes,
        "over": use.over_bytes,
        "is_bound": use.is_bound,
        "share": use.bytes / use.bank.bytes,
        "limit": rounded(use.bank.bytes / full * 100),
        "items": [
            {
                "what": item.what,
                "bytes": item.bytes,
                "basis": item.basis,
                "width": rounded(item.bytes / full * 100, 3),
                "color": n % COLORS,
            }
            for n, item in enumerate(use.items)
        ],
    }


def _layer_rows(layers: tuple[LayerFigures, ...]) -> list[dict[str, Any]]:
    most_macs = max((layer.macs for layer in layers), default=0) or 1
    most_bytes = max((layer.weights_bytes for layer in layers), default=0) or 1
    most = max((layer.instructions or 0 for layer in layers), default=0) or 1
    return [
        {
            "cost": layer,
            "macs_share": rounded(layer.macs / most_macs * 100),
            "bytes_share": rounded(layer.weights_bytes / most_bytes * 100),
            "instructions_share": rounded((layer.instructions or 0) / most * 100),
        }
        for layer in layers
    ]


def _errors(report: Report) -> list[dict[str, Any]]:
    """Lists the noise of each layer, the input first; a long bar means little noise."""
    if isinstance(report.comparison, Absent):
        return []
    found = report.comparison
    return [
        {
            "error": error,
            "share": rounded(max(0.0, min(error.own_sqnr_db, BEST_DB)) / BEST_DB * 100),
            "is_worst": error is found.worst,
            "own": _decibel(error.own_sqnr_db),
            "here": _decibel(error.sqnr_db),
        }
        for error in (found.input, *found.layers)
    ]


def _decibel(value: float) -> str:
    return f"{value:.1f}".replace("-", "\u2212") if math.isfinite(value) else "no noise"


def _totals(layers: tuple[LayerFigures, ...]) -> dict[str, int]:
    return {
        name: sum(getattr(layer, name) or 0 for layer in layers)
        for name in (
            *("macs", "weights_bytes", "engine_macs", "engine_weights_bytes", "instructions"),
            *("low_cycles", "high_cycles"),
        )
    }
