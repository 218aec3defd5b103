"""The command line: `keras-mobilenet`, or `python -m edge`."""

from __future__ import annotations

from typing import NoReturn

from edge.system.signals import end_at_once


def main() -> NoReturn:
    """Handles signals from the first moment on, then loads and runs the command line.

    Raises:
        SystemExit: Always, as `edge.cli.main.main` says.
    """
    end_at_once()
    from edge.cli.main import main as run_command_line

    run_command_line()


if __name__ == "__main__":
    main()
