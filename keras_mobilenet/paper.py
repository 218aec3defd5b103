"""The short name of `keras_mobilenet.analysis.paper`."""

from keras_mobilenet.analysis.paper import Cell, PaperTable, table

__all__ = ["Cell", "PaperTable", "table"]
