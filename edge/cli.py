"""The command line: `keras-mobilenet`, or `python -m edge`."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from edge import cli_compare, cli_engine, cli_model, cli_report, cli_train
from edge.cli_shared import stderr
from edge.errors import EdgeError

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
    (cli_engine.run, "run model.tflite --emulate --board nucleo-f446re"),
    (cli_report.report, "report model.tflite --board nucleo-f446re --png report.png"),
    (cli_engine.flash, "flash firmware --board nucleo-f446re --dry-run"),
    (cli_train.search, "search --board arduino-zero --data digits"),
    (cli_train.demo, "demo --data faces --board nano-33-ble-sense"),
):
    app.command(epilog=f"Example: keras-mobilenet {example}")(command)


def main() -> None:
    """Runs the command line; every error of the user's becomes one line and an exit code.

    Raises:
        SystemExit: Always.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        app()
    except EdgeError as error:
        _fail(error)


def _fail(error: EdgeError) -> NoReturn:
    stderr.print("Error:", style="bold red", end=" ")
    stderr.print(" ".join(str(error).split()), markup=False, highlight=False)
    sys.exit(error.exit_code)
