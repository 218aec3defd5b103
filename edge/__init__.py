"""From a Keras model or an int8 .tflite to a Cortex-M microcontroller.

Importing this package loads nothing heavy: a name is looked up in its module when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edge.catalog.boards import Board, boards, find_board
    from edge.converter.convert import convert
    from edge.debugger.compare import compare
    from edge.deploy.build import build
    from edge.deploy.counters import engine_counter, tflm_counter
    from edge.deploy.export import export
    from edge.deploy.plan import plan
    from edge.deploy.run import run
    from edge.deploy.verify import verify
    from edge.deploy.verify_engine import verify_engine
    from edge.engine.zero_blocks import pruning_block
    from edge.errors import (
        ConversionError,
        DoesNotFitError,
        EdgeError,
        MissingToolError,
        ModelError,
    )
    from edge.firmware.flash.flash import flash
    from edge.reporting.report import report
    from edge.tflite.graph import Graph

__version__ = "0.1.0"

__all__ = [
    "Board",
    "ConversionError",
    "DoesNotFitError",
    "EdgeError",
    "Graph",
    "MissingToolError",
    "ModelError",
    "__version__",
    "boards",
    "build",
    "compare",
    "convert",
    "engine_counter",
    "export",
    "find_board",
    "flash",
    "plan",
    "pruning_block",
    "report",
    "run",
    "tflm_counter",
    "verify",
    "verify_engine",
]

_MODULES = {
    "edge.catalog.boards": ("Board", "boards", "find_board"),
    "edge.converter.convert": ("convert",),
    "edge.debugger.compare": ("compare",),
    "edge.deploy.build": ("build",),
    "edge.deploy.counters": ("engine_counter", "tflm_counter"),
    "edge.deploy.export": ("export",),
    "edge.deploy.plan": ("plan",),
    "edge.deploy.run": ("run",),
    "edge.deploy.verify": ("verify",),
    "edge.deploy.verify_engine": ("verify_engine",),
    "edge.engine.zero_blocks": ("pruning_block",),
    "edge.errors": (
        "ConversionError",
        "DoesNotFitError",
        "EdgeError",
        "MissingToolError",
        "ModelError",
    ),
    "edge.firmware.flash.flash": ("flash",),
    "edge.reporting.report": ("report",),
    "edge.tflite.graph": ("Graph",),
}
"""Where each public name is defined."""

_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

# A type checker reads the imports above; this would make every name look like one that exists.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(_MODULE_OF[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
