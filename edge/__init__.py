"""From a Keras model or an int8 .tflite to a Cortex-M microcontroller."""

from edge.convert import convert
from edge.export import export
from edge.verify import verify

__all__ = ["convert", "export", "verify"]
