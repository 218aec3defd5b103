"""From a Keras model or an int8 .tflite to a Cortex-M microcontroller."""

import edge.cli.start  # isort: skip  # noqa: F401 - first of all: it minds the command line's Ctrl-C

from edge.converter.convert import convert
from edge.debugger.compare import compare
from edge.deploy.build import build
from edge.deploy.export import export
from edge.deploy.verify import verify
from edge.deploy.verify_engine import verify_engine

__all__ = ["build", "compare", "convert", "export", "verify", "verify_engine"]
