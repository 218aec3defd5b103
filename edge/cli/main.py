"""The command line: `keras-mobilenet`, or `python -m edge`."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from edge.cli import (
    compare as cli_compare,
)
from edge.cli import (
    engine as cli_engine,
)
from edge.cli import (
    model as cli_model,
)
from edge.cli import (
    package as cli_package,
)
from edge.cli import (
    report as cli_report,
)
from edge.cli import (
    train as cli_train,
)
from edge.cli.errors import UsageError, end_output, print_error, system_sentence, usage_sentence
from edge.errors import EdgeError
from edge.system import signals

app = typer.Typer(
    name="keras-mobilenet",
    help="Take a MobileNet from Keras 3 to a running Cortex-M microcontroller.",
    epilog="Start here: keras-mobilenet demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

for command, example in (
    (cli_model.boards, "boards --json"),
    (cli_train.train, "train --data faces --side 64 --alpha 0.25 --out faces.keras"),
    (cli_model.export, "export model.tflite --board 'micro:bit v2' --out firmware"),
    (cli_model.verify, "verify model.tflite --inputs 1000"),
    (cli_compare.compare, "compare faces.keras faces.tflite --data faces --plot sqnr.png"),
    (cli_model.inspect, "inspect model.tflite --plot memory.png"),
    (cli_model.fit, "fit model.tflite --board raspberry-pi-pico --plot fit.png"),
    (cli_model.plan, "plan model.tflite --out planned.tflite"),
    (cli_engine.stream, "stream model.tflite --plot stream.png"),
    (cli_engine.build, "build model.tflite --board arduino-zero --out firmware"),
    (cli_package.package, "package model.tflite --as arduino --out PersonDetector"),
    (cli_engine.run, "run model.tflite --emulate --board nucleo-f446re"),
    (cli_report.report, "report model.tflite --board nucleo-f446re --png report.png"),
    (cli_engine.flash, "flash firmware --board nucleo-f446re --dry-run"),
    (cli_train.search, "search --board arduino-zero --data digits"),
    (cli_train.demo, "demo --data faces --board nano-33-ble-sense"),
):
    app.command(epilog=f"Example: keras-mobilenet {example}")(command)


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the command line; every error of the user's becomes one line and an exit code.

    Args:
        argv: The arguments; those of the process if None.

    Raises:
        SystemExit: Always. Its code is 0; 1 for a command that is not understood, bad input or a
            proof that failed; 2 for a model that does not fit, and for nothing else; 128 plus the
            number of the signal that ended it: 130 after Ctrl-C.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signals.raise_interrupted()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be text, and not every terminal has every letter.
            stream.reconfigure(errors="backslashreplace")
    code, message = 0, ""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        if sys.stdout is not None:
            # Here, and not while the interpreter ends: the disk may be full.
            sys.stdout.flush()
    except UsageError as error:
        # Not Typer's 2: a script must be able to tell a slip from a model that does not fit.
        code, message = 1, usage_sentence(error)
    except (EdgeError, signals.Interrupted) as error:
        code, message = error.exit_code, str(error)
    except MemoryError as error:
        code, message = 1, f"Not enough memory: {error or 'the model or the input is too large'}."
    except BrokenPipeError:
        # `keras-mobilenet boards | head`: who reads has seen enough.
        code = 1
    except OSError as error:
        code, message = 1, system_sentence(error)
    signals.ignore()
    signals.remove_scratch()
    end_output()
    if message:
        print_error(message)
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int:
    command = typer.main.get_command(app)
    try:
        with command.make_context("keras-mobilenet", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    return 0
