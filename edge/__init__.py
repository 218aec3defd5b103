"""From a Keras model or an int8 .tflite to a Cortex-M microcontroller."""

import edge.start  # isort: skip  # noqa: F401 - first of all: it minds the command line's Ctrl-C

from edge.compare import compare
from edge.convert import convert
from edge.engine import build
from edge.export import export
from edge.package import package
from edge.verify import verify
from edge.verify_engine import verify_engine

__all__ = ["build", "compare", "convert", "export", "package", "verify", "verify_engine"]
