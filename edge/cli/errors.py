"""From an error to the one line that the user sees."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from typing import Any

import typer
from rich.text import Text

from edge.cli.shared import stderr

UsageError: Any = typer.BadParameter.__base__
"""Click's; newer releases of Typer bring their own copy of it."""


def usage_sentence(error: Any) -> str:
    """What is wrong with a command line, and where to look.

    Args:
        error: A `UsageError`.

    Returns:
        A line; empty where the help has been shown in its place.

    Example:
        >>> usage_sentence(typer.BadParameter("seven is no number."))
        'Invalid value: seven is no number. See keras-mobilenet --help.'
    """
    message = error.format_message().strip()
    if not message:
        return ""
    command = error.ctx.command_path if error.ctx else "keras-mobilenet"
    return f"{message.rstrip('.')}. See {command} --help."


def system_sentence(error: OSError) -> str:
    """What the system refused.

    Args:
        error: Of a file, a disk or a process.

    Returns:
        A line that names the file where the system does.

    Example:
        >>> system_sentence(PermissionError(errno.EACCES, "Permission denied", "secret"))
        'secret: Permission denied.'
    """
    where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
    hint = ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = " Make room, or name a folder on another disk in TMPDIR."
    return f"{where}{error.strerror or error}.{hint}"


def print_error(message: str) -> None:
    """Prints an error as one line on the standard error.

    Args:
        message: What was wrong, where, and what to do.
    """
    text = " ".join(line.strip() for line in message.splitlines() if line.strip())
    # A file name may hold anything, a terminal's commands too.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    with contextlib.suppress(OSError):
        stderr.print(Text.assemble(("Error:", "bold red"), " ", text))


def end_output() -> None:
    """Lets go of a standard output that takes no more, or Python would fail on it as it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
