"""Draws the picture of the README: memory for activations, three ways, model by model.

Every figure is computed in this run: TFLite Micro's greedy plan, the best plan of whole tensors
that stock TFLite Micro obeys, and the engine's rings. The real models are read where they are.

    python benchmarks/readme_picture.py docs/img/memory.svg
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

from engine import M4, models

from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.memory.offline_plan import planned_model

KIB = 1024
TITLES = {
    "person detector (VWW) 0.25 96": "Person detector (VWW)\nMobileNetV1 0.25, 96x96",
    "MobileNetV1 0.25 128": "MobileNetV1 0.25\n128x128",
    "MobileNetV1 0.25 224": "MobileNetV1 0.25\n224x224",
    "keyword spotting (KWS)": "Keyword spotting (KWS)\nDS-CNN",
    "ResNet8": "ResNet8\n32x32",
    "MobileNetV2 0.35 96": "MobileNetV2 0.35\n96x96",
}
WAYS = {
    "TensorFlow Lite Micro's own (greedy) plan": "#c9ced6",
    "best plan of whole tensors, for stock TensorFlow Lite Micro": "#7aa6d8",
    "this project's engine: rows in rings": "#1f7a4d",
}


def figures() -> dict[str, tuple[int, int, int]]:
    """Bytes for activations by model: greedy plan, best plan, engine."""
    found = {}
    for name, (graph, _) in models().items():
        if name in TITLES:
            whole = planned_model(graph)
            engine = compile_engine(graph, instruction_set(M4))
            found[name] = (whole.greedy_bytes, whole.planned_bytes, engine.plan.memory_bytes)
    return {name: found[name] for name in TITLES if name in found}


def draw(found: dict[str, tuple[int, int, int]], path: pathlib.Path) -> None:
    """Draws one group of bars per model.

    Args:
        found: From `figures`.
        path: The picture to write.
    """
    import matplotlib
    from matplotlib.figure import Figure

    matplotlib.rcParams["svg.hashsalt"] = "keras-mobilenet"  # the same figures, the same file
    figure = Figure(figsize=(9.6, 0.62 * len(found) + 1.3), layout="constrained")
    axes = figure.subplots()
    longest = max(max(sizes) for sizes in found.values()) / KIB
    for row, sizes in enumerate(found.values()):
        for number, (size, (way, color)) in enumerate(zip(sizes, WAYS.items(), strict=True)):
            y = row + 0.27 * (number - 1)
            axes.barh(y, size / KIB, 0.25, color=color, label=way if row == 0 else None)
            text = f"{size / KIB:.1f} KiB"
            is_engine = number == 2
            if is_engine:
                text += f"  (1/{sizes[0] / size:.1f})"
            axes.text(
                size / KIB + longest * 0.006,
                y,
                text,
                va="center",
                fontsize=8,
                weight="bold" if is_engine else "normal",
                color=color if is_engine else "#333333",
            )
    axes.set_yticks(range(len(found)), [TITLES[name] for name in found], fontsize=9)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.12)
    axes.set_xlabel("memory for activations, KiB")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(left=False)
    axes.legend(loc="lower right", fontsize=9, frameon=False)
    axes.set_title("Same model, same bytes out, a fraction of the RAM", loc="left", weight="bold")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None}, facecolor="white")


def main() -> None:
    """Computes, prints and draws."""
    if len(sys.argv) != 2:
        sys.exit("Usage: python benchmarks/readme_picture.py PICTURE.svg")
    found = figures()
    for name, sizes in found.items():
        print(name, *(f"{size:,}" for size in sizes), sep=" | ")
    draw(found, pathlib.Path(sys.argv[1]))


if __name__ == "__main__":
    main()
