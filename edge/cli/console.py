"""What goes to the terminal: tables, sentences, JSON, a spinner and errors."""

from __future__ import annotations

import contextlib
import json
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

MOST_LETTERS = 280
KEPT_LETTERS = 60
CUT = "..."

PIPE_COLUMNS = 10_000
"""A file and a pipe have no edge: a table there is as wide as its cells."""


def _columns(stream: TextIO | None) -> int | None:
    """The width to print with; None lets rich ask the terminal."""
    return None if stream is not None and stream.isatty() else PIPE_COLUMNS


stdout = Console(emoji=False, width=_columns(sys.stdout))
stderr = Console(stderr=True, soft_wrap=True, emoji=False)


def show(*tables: Table) -> None:
    """Prints tables to standard output.

    Args:
        tables: The tables, from top to bottom.
    """
    for table in tables:
        for column in table.columns:
            # In a narrow terminal a figure goes on in the next line, and is not cut.
            column.overflow = "fold"
        stdout.print(table)


def say(sentence: str) -> None:
    """Prints a sentence as it is: a path may hold what rich takes for markup.

    Args:
        sentence: The sentence for standard output.
    """
    stdout.print(sentence, soft_wrap=True, markup=False, highlight=False)


def print_json(value: Any) -> None:
    """Prints a value for a script.

    Args:
        value: A value of JSON's types; tuples become lists.
    """
    print(json.dumps(value, indent=2))


@contextlib.contextmanager
def status(what: str) -> Iterator[None]:
    """Shows a spinner while something runs.

    Args:
        what: The work as a participle: `"Converting"`.

    Yields:
        Nothing; the spinner goes when the block ends.
    """
    # A name may hold what rich takes for markup.
    with stderr.status(Text(f"{what} ...")):
        yield


@contextlib.contextmanager
def telling(what: str) -> Iterator[Callable[[str], None]]:
    """Shows a spinner with what happens just now; where there is no terminal, one line for each.

    Args:
        what: The work as a participle: `"Programming"`.

    Yields:
        The function that takes what happens, in a few words.
    """
    told = ""
    with stderr.status(Text(f"{what} ...")) as spinner:

        def tell(text: str) -> None:
            nonlocal told
            spinner.update(Text(f"{what}: {text}"))
            stage = text.partition(",")[0]
            # A log needs no line for each percent.
            if stage != told and not stderr.is_terminal:
                stderr.print(Text(f"{what}: {stage}"))
            told = stage

        yield tell


def print_error(message: str) -> None:
    """Prints an error on the standard error: one line, which a terminal breaks between words.

    Args:
        message: What was wrong, where, and what to do.
    """
    _print_line("Error:", "bold red", message)


def print_note(message: str) -> None:
    """Prints what a user should know, as one line on the standard error.

    Args:
        message: A sentence; nothing is printed if it is empty.
    """
    if message:
        _print_line("Note:", "bold", message)


def print_warning(message: str) -> None:
    """Prints what a user must not miss, as one line on the standard error.

    Args:
        message: A sentence.
    """
    _print_line("Warning:", "bold yellow", message)


def _print_line(head: str, style: str, message: str) -> None:
    line = f"{head} {one_line(message)}"
    if stderr.is_terminal:
        # Between words; a path stays whole, to be copied.
        line = textwrap.fill(line, stderr.width, break_long_words=False, break_on_hyphens=False)
    with contextlib.suppress(OSError):
        stderr.print(Text.assemble((head, style), line[len(head) :]))


def one_line(message: str) -> str:
    """Makes one line that a terminal can show, its longest names cut in the middle.

    Args:
        message: The message; it may hold the names of files, which may hold anything.

    Returns:
        At most 280 letters, all printable.

    Example:
        >>> one_line("No such\\nfile: \x1b[31m")
        'No such file: \\\\x1b[31m'
        >>> len(one_line("Cannot read " + 4000 * "x" + ": no such file."))
        280
    """
    text = " ".join(line.strip() for line in message.splitlines() if line.strip())
    # A terminal's commands too.
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    while len(text) > MOST_LETTERS:
        # A name may be one of many: when none is long, the whole line is cut.
        longest = max(text.split(), key=len)
        excess = len(text) - MOST_LETTERS + len(CUT)
        kept = max(len(longest) - excess, KEPT_LETTERS)
        if kept + len(CUT) >= len(longest):
            longest, kept = text, MOST_LETTERS - len(CUT)
        head, tail = kept - kept // 2, kept // 2
        text = text.replace(longest, longest[:head] + CUT + longest[len(longest) - tail :], 1)
    return text
