"""The errors that a user of edge can meet: one clear line each, with an exit code."""

from __future__ import annotations

from typing import Any


class EdgeError(Exception):
    """Bad input or a missing tool: what was wrong, where, and what to do.

    Example:
        >>> EdgeError("model.tflite is empty.").exit_code
        1
    """

    exit_code = 1


class ModelError(EdgeError):
    """A model file that cannot be read, or that no int8 microcontroller kernel can run."""


class ConversionError(EdgeError):
    """A Keras model that did not become a pure int8 .tflite."""


class MissingToolError(EdgeError):
    """A tool that has to be installed first; the message says how."""


class DoesNotFitError(EdgeError):
    """A model that is too large for a board.

    Args:
        message: One line with the overrun.
        budget: The `edge.deploy.budget.Budget` that was exceeded; None where a linker measured it.
        graph: The model's `edge.tflite.graph.Graph`.
    """

    exit_code = 2

    def __init__(self, message: str, budget: Any, graph: Any):
        super().__init__(message)
        self.budget = budget
        self.graph = graph
