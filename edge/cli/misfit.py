"""What the commands show when a model does not fit."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from edge.cli import json, tables
from edge.cli.console import print_json, say, show
from edge.errors import DoesNotFitError


@contextlib.contextmanager
def showing_misfit(as_json: bool) -> Iterator[None]:
    """Shows what is over, and what would fit, before the error of a block goes on.

    Args:
        as_json: Whether a script reads it.

    Yields:
        Nothing.

    Raises:
        DoesNotFitError: The block's own, once it has been shown.
    """
    try:
        yield
    except DoesNotFitError as error:
        # What a linker measured has no budget: its error says all.
        if error.budget is not None:
            _show(error, as_json)
        raise


def _show(error: DoesNotFitError, as_json: bool) -> None:
    from edge.deploy.budget import fitting_variants

    use = error.budget
    variants = fitting_variants(error.graph, use.board)
    if as_json:
        print_json(json.budget_json(use, variants))
        return
    show(tables.budget_table(use))
    if variants:
        show(tables.variants_table(variants))
    else:
        say("No narrower or smaller version of this network that was tried fits either.")
    say(
        "The engine needs a fraction of this memory: keras-mobilenet build MODEL --board "
        f"{use.board.id}"
    )
