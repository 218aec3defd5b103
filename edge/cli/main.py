"""The command line: `keras-mobilenet`, or `python -m edge`."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import typer

from edge.cli.boards import boards
from edge.cli.build import build
from edge.cli.compare import compare
from edge.cli.console import print_error
from edge.cli.demo import demo
from edge.cli.errors import UsageError, end_output, system_sentence, usage_sentence
from edge.cli.export import export
from edge.cli.fit import fit
from edge.cli.flash import flash
from edge.cli.inspect import inspect
from edge.cli.monitor import monitor
from edge.cli.plan import plan
from edge.cli.report import report
from edge.cli.run import run
from edge.cli.run_all import run_all
from edge.cli.search import search
from edge.cli.stream import stream
from edge.cli.train import train
from edge.cli.verify import verify
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
    (boards, "boards --json"),
    (train, "train --data faces --side 64 --alpha 0.25 --out faces.keras"),
    (export, "export model.tflite --runtime engine --shape arduino --out PersonDetector"),
    (build, "build model.tflite --board arduino-zero --out firmware"),
    (run, "run model.tflite --board nucleo-f446re"),
    (flash, "flash firmware --board nucleo-f446re --dry-run"),
    (monitor, "monitor --board nucleo-f446re"),
    (verify, "verify model.tflite --inputs 1000"),
    (compare, "compare faces.keras faces.tflite --data faces --plot sqnr.png"),
    (inspect, "inspect model.tflite --plot memory.png"),
    (fit, "fit model.tflite --board raspberry-pi-pico --plot fit.png"),
    (plan, "plan model.tflite --out planned.tflite"),
    (stream, "stream model.tflite --plot stream.png"),
    (report, "report model.tflite --board nucleo-f446re --png report.png"),
    (search, "search --board arduino-zero --data digits"),
    (run_all, "run-all run.toml --out run"),
    (demo, "demo --data faces --board nano-33-ble-sense"),
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
    for output in (sys.stdout, sys.stderr):
        if isinstance(output, io.TextIOWrapper):
            # A file name need not be text, and not every terminal has every letter.
            output.reconfigure(errors="backslashreplace")
    code, message = 0, ""
    try:
        # A command that needs no temporary file runs without it.
        with contextlib.suppress(OSError):
            signals.make_scratch()
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
    except Exception as error:
        # What is interrupted while it loads native code reports an error of its own.
        interruption = signals.interruption()
        if interruption is not None:
            raise interruption from error
        raise
    return 0
