"""The errors that a user of edge can meet: one clear line each, with an exit code."""

from __future__ import annotations

from typing import Any

LONGEST_MESSAGE = 300
"""The characters of a message about a model, whatever the model calls its tensors."""


def readable(text: str, most: int = LONGEST_MESSAGE) -> str:
    """Makes one short printable line of a text that somebody else wrote.

    Args:
        text: The text, such as a tensor's name or a path.
        most: The largest number of characters to return.

    Returns:
        The text, control characters escaped, its middle replaced by `...` where it is too long.

    Example:
        >>> readable("conv\\n1"), readable("a" * 50 + "/b.tflite", 20)
        ('conv\\\\n1', 'aaaaaaaa.../b.tflite')
    """
    # Longer than what can be shown, a name is not worth the time to escape it.
    if len(text) > 4 * most:
        text = text[: 2 * most] + text[-2 * most :]
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode("ascii")
        for c in text
    )
    if len(line) <= most:
        return line
    tail = (most - 3 + 1) // 2
    return f"{line[: most - 3 - tail]}...{line[-tail:]}"


def quoted(name: str, most: int = 40) -> str:
    """Quotes a name of a file's or a model's for a message.

    Args:
        name: The name.
        most: The largest number of characters between the quotes.

    Returns:
        The name as `readable` writes it, in quotes.

    Example:
        >>> quoted("conv_1")
        "'conv_1'"
    """
    return f"'{readable(name, most)}'"


class EdgeError(Exception):
    """Bad input or a missing tool: what was wrong, where, and what to do.

    Example:
        >>> EdgeError("model.tflite is empty.").exit_code
        1
    """

    exit_code = 1


class ModelError(EdgeError):
    """A model file that cannot be read, or that no int8 microcontroller kernel can run.

    Args:
        message: What is wrong, where, and what to do; it is kept to one line.

    Example:
        >>> str(ModelError("Two\\nlines"))
        'Two\\\\nlines'
    """

    def __init__(self, message: str = ""):
        super().__init__(readable(message))


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
