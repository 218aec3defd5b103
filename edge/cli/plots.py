"""Pictures, for what a person would rather look at than read."""

from __future__ import annotations

import io
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from edge.debugger.advice import ALARM_DB
from edge.errors import EdgeError
from edge.system.files import write_files

if TYPE_CHECKING:
    from edge.debugger.result import Comparison
    from edge.deploy.budget import Budget
    from edge.engine.stream_plan import StreamPlan
    from edge.memory.timeline import Timeline
    from edge.search.result import Trial
    from edge.tflite.graph import Graph

KIB = 1024


def budget_picture(budget: Budget, path: pathlib.Path) -> None:
    """Draws a bar per bank of memory, with what lies in it.

    Args:
        budget: The budget.
        path: The file to write; its suffix names the format.

    Raises:
        EdgeError: If the file cannot be written.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
        >>> use = budget(graph, find_board("nucleo-f446re"))
        >>> budget_picture(use, pathlib.Path("budget.png"))
        >>> pathlib.Path("budget.png").is_file()
        True
    """
    uses = [use for use in budget.bank_uses() if use.items]
    figure, axes = _figure(height=1.2 + 0.9 * len(uses))
    for row, use in enumerate(reversed(uses)):
        # In percent of the bank: flash and RAM differ too much for one scale in bytes.
        scale, left = 100 / use.bank.bytes, 0.0
        axes.barh(row, 100, color="none", edgecolor="black")
        for item in use.items:
            bar = axes.barh(row, item.bytes * scale, left=left)
            left += item.bytes * scale
            label = f"{item.what}\n{item.bytes:,}" if item.bytes * scale > 12 else ""
            axes.bar_label(bar, [label], label_type="center", fontsize=8)
    names = [f"{use.memory}: {use.bank.name}\n{use.bytes:,} of {use.bank.bytes:,}" for use in uses]
    axes.set_yticks(range(len(uses)), reversed(names), fontsize=8)
    axes.set_xlabel("% of the bank")
    axes.set_title(budget.board.name)
    _save(figure, path)


def stream_picture(plan: StreamPlan, path: pathlib.Path) -> None:
    """Draws the engine's memory over time: workspaces of segments, and tensors that are whole.

    Args:
        plan: The schedule.
        path: The file to write; its suffix names the format.

    Raises:
        EdgeError: If the file cannot be written.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> stream_picture(compile_engine(graph).plan, pathlib.Path("stream.png"))
        >>> pathlib.Path("stream.png").is_file()
        True
    """
    figure, axes = _figure(height=5.0)
    at, last_start = 0, 0
    for number, segment in enumerate(plan.segments):
        # Time goes by rows made.
        steps = len(segment.steps)
        bottom = plan.scratch_offset[number]
        bar = axes.barh(
            bottom / KIB,
            steps,
            left=at,
            height=segment.workspace_bytes / KIB,
            align="edge",
            color="tab:gray",
            edgecolor="white",
        )
        first, end = segment.layers
        axes.bar_label(bar, [f"{first}-{end - 1}"], label_type="center", fontsize=7)
        store = plan.stores[segment.result]
        rows = plan.network.rows[segment.result]
        following = plan.segments[number + 1 : number + 2]
        axes.barh(
            store.offset / KIB,
            steps + sum(len(other.steps) for other in following),
            left=at,
            height=rows.bytes / KIB,
            align="edge",
            color=f"C{number % 10}",
            alpha=0.5,
            edgecolor="white",
        )
        at, last_start = at + steps, at
    axes.axhline(plan.memory_bytes / KIB, color="black", linestyle="--")
    axes.set_xlim(0, max(at, last_start + 1))
    axes.set_xlabel(
        "steps of the schedule (gray: rings of the layers named; colours: whole tensors)"
    )
    axes.set_ylabel("KiB")
    axes.set_title(f"The engine's memory: {plan.memory_bytes:,} bytes")
    _save(figure, path)


def memory_picture(graph: Graph, timeline: Timeline, path: pathlib.Path) -> None:
    """Draws every buffer as a box: when it is alive, and where it lies.

    Args:
        graph: The model.
        timeline: Its memory over time.
        path: The file to write; its suffix names the format.

    Raises:
        EdgeError: If the file cannot be written.

    Example:
        >>> from edge.memory.timeline import memory_timeline
        >>> memory_picture(graph, memory_timeline(graph), pathlib.Path("memory.png"))
        >>> pathlib.Path("memory.png").is_file()
        True
    """
    figure, axes = _figure(height=5.0)
    for buffer, offset in zip(timeline.buffers, timeline.offsets, strict=True):
        color = "tab:gray" if buffer.tensor is None else f"C{buffer.tensor % 10}"
        width = buffer.last - buffer.first + 1
        axes.barh(
            offset / KIB,
            width,
            left=buffer.first - 1.5,  # operator i runs at time i + 1
            height=buffer.bytes / KIB,
            align="edge",
            color=color,
            edgecolor="black",
            linewidth=0.5,
        )
    peak = timeline.peak
    axes.axhline(peak.top_bytes / KIB, color="red", linestyle="--", linewidth=1)
    name = graph.operators[peak.operator].opcode
    axes.set_title(f"peak {peak.top_bytes:,} bytes at operator {peak.operator}, {name}")
    axes.set_xlabel("operator")
    axes.set_ylabel("offset in the arena, KiB")
    _save(figure, path)


def front_picture(trials: Sequence[Trial], front: Sequence[Trial], path: pathlib.Path) -> None:
    """Draws the trials of a search by accuracy and by each thing that they take, and the front.

    Args:
        trials: All trials.
        front: Those that no other beats.
        path: The file to write; its suffix names the format.

    Raises:
        EdgeError: If the file cannot be written.

    Example:
        >>> from edge.search.costs import Costs
        >>> from edge.search.design import mobilenet_v1
        >>> from edge.search.result import Trial
        >>> costs = Costs(400_000, 60_000, 20_000, 1.5, True)
        >>> trial = Trial(mobilenet_v1(0.1, 32, 1, 10), costs, "complete", 0.9, 38)
        >>> front_picture([trial], [trial], pathlib.Path("front.png"))
        >>> pathlib.Path("front.png").is_file()
        True
    """
    has_ms = all(trial.costs.ms is not None for trial in trials)
    takes: list[tuple[str, Callable[[Trial], float]]] = [
        ("RAM, KiB", lambda trial: trial.costs.ram_bytes / KIB),
        ("flash, KiB", lambda trial: trial.costs.flash_bytes / KIB),
    ]
    if has_ms:
        takes.append(("estimated ms", lambda trial: trial.costs.ms or 0.0))
    figure, panels = _figure(height=4.5, columns=len(takes))
    kinds = {
        "MobileNetV1": (lambda trial: trial.design.alpha is not None, "s", "tab:orange"),
        "other networks": (lambda trial: trial.design.alpha is None, "o", "tab:blue"),
    }
    for axes, (label, taken) in zip(panels, takes, strict=True):
        for kind, (is_one, marker, color) in kinds.items():
            for is_done, fill in ((True, color), (False, "none")):
                chosen = [
                    trial
                    for trial in trials
                    if is_one(trial)
                    and trial.accuracy is not None
                    and is_done == (trial.state == "complete")
                ]
                axes.scatter(
                    [taken(trial) for trial in chosen],
                    [100 * (trial.accuracy or 0.0) for trial in chosen],
                    marker=marker,
                    edgecolors=color,
                    facecolors=fill,
                    label=kind if is_done else f"{kind}, stopped",
                )
        # Among the complete ones, the best at each price: every panel has its own.
        line, best = [], -1.0
        for price, accuracy in sorted((taken(t), 100 * (t.accuracy or 0.0)) for t in front):
            if accuracy > best:
                best = accuracy
                line.append((price, accuracy))
        axes.plot(*zip(*line, strict=True), color="tab:gray", linewidth=1, label="front")
        axes.set_xlabel(label)
    panels[0].set_ylabel("validation accuracy, %")
    panels[-1].legend(fontsize=7)
    _save(figure, path)


def comparison_picture(comparison: Comparison, path: pathlib.Path) -> None:
    """Draws each layer's signal to noise ratio: accumulated up to it, and its own.

    Args:
        comparison: An int8 model beside its float network.
        path: The file to write; its suffix names the format.

    Raises:
        EdgeError: If the file cannot be written.

    Example:
        >>> from edge.debugger.compare import compare
        >>> comparison = compare("model.keras", "model.tflite", images)
        >>> comparison_picture(comparison, pathlib.Path("sqnr.png"))
        >>> pathlib.Path("sqnr.png").is_file()
        True
    """
    figure, axes = _figure(height=5.0)
    layers, worst = comparison.layers, comparison.worst
    places = range(len(layers))
    # Without noise the ratio is infinite: a gap in the line.
    for label, values in (
        ("accumulated", [layer.sqnr_db for layer in layers]),
        ("own", [layer.own_sqnr_db for layer in layers]),
    ):
        axes.plot(places, values, marker=".", label=label)
    axes.axhline(ALARM_DB, color="tab:gray", linestyle="--", linewidth=1, label="own: fault below")
    axes.plot(layers.index(worst), worst.own_sqnr_db, "o", color="red", fillstyle="none")
    names = [f"{layer.operator} {layer.keras_layer}" for layer in layers]
    axes.set_xticks(places, names, rotation=90, fontsize=6)
    axes.set_ylabel("SQNR, dB")
    axes.set_title(
        f"{comparison.input_count} inputs; most noise from {worst.keras_layer}, "
        f"{worst.own_sqnr_db:.1f} dB"
    )
    axes.legend()
    _save(figure, path)


def _figure(height: float, columns: int = 1) -> tuple[Any, Any]:
    # The figure's own canvas: no display, and no global state of pyplot.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, height), layout="constrained")
    return figure, figure.subplots(1, columns)


def _save(figure: Any, path: pathlib.Path) -> None:
    kind = path.suffix.lstrip(".") or "png"
    content = io.BytesIO()
    try:
        figure.savefig(content, dpi=120, format=kind)
    except ValueError as error:
        raise EdgeError(f"Cannot write the picture {path}: {error}") from error
    write_files(path.parent, {path.name: content.getvalue()})
