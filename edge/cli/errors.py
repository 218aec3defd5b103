"""From an error to the one sentence that the user sees."""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import typer

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
        error: The error that the system raised about a file, a disk or a process.

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


def end_output() -> None:
    """Lets go of a standard output that takes no more, or Python would fail on it as it ends."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
