"""The command run-all."""

from __future__ import annotations

import pathlib

from edge.cli import json
from edge.cli.arguments import bad_argument, keras_verbosity, load_backend, make_repeatable
from edge.cli.console import print_json, print_warning, say
from edge.cli.options import JsonOption, NewRunOption, OutOption, RunFileArgument
from edge.errors import EdgeError


def run_all(
    file: RunFileArgument = None,
    out: OutOption = pathlib.Path("run"),
    new: NewRunOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do all that a file says, from images to firmware, or write such a file (exit 2 if too large).

    Run again, it goes on where it is, in the middle of a training too.
    """
    from edge.deploy.run_file import read_run_file, write_run_file

    if (file is None) == (new is None):
        raise EdgeError("Give the file of a run, or --new run.toml to write one.")
    if new is not None:
        path = write_run_file(new)
        say(f"Wrote {path}: change what you like, then run keras-mobilenet run-all {path}.")
        return
    assert file is not None
    described = read_run_file(file)
    load_backend()
    from edge.deploy.run_all import run_all

    make_repeatable()
    with bad_argument():
        done = run_all(
            described,
            out,
            verbose=0 if as_json else keras_verbosity(),
            announce=(lambda sentence: None) if as_json else say,
            warn=print_warning,
        )
    if as_json:
        print_json(json.whole_run_json(done))
