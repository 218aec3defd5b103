"""From a Keras model or an int8 .tflite to a Cortex-M microcontroller."""

from edge.compare import compare
from edge.convert import convert
from edge.engine import build
from edge.export import export
from edge.verify import verify
from edge.verify_engine import verify_engine

__all__ = ["build", "compare", "convert", "export", "verify", "verify_engine"]
