"""The command that writes a model as a library, component or module."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer
from rich.table import Table

from edge.cli.shared import JsonOption, load_tensorflow, print_json, status, stdout
from edge.cli.tables import right
from edge.deploy.export import export
from edge.emit.packages.render import SHAPES


def package(
    model: Annotated[str, typer.Argument(help="A .keras file, or an int8 .tflite of any origin.")],
    kind: Annotated[
        str, typer.Option("--as", help=f"The ecosystem: {', '.join(SHAPES)}.", show_default=False)
    ],
    out: Annotated[
        pathlib.Path | None,
        typer.Option("--out", "-o", help="The package's own folder; its name if none is given."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The package's name; the model file's if none is given.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the engine as an Arduino library, ESP-IDF component, Zephyr module and the like."""
    if model.endswith(".keras"):
        load_tensorflow()
    with status(f"Packaging {model}"):
        written = export(model, None, out, runtime="engine", shape=kind, name=name)
    if as_json:
        print_json(
            {
                "kind": written.shape,
                "name": written.name.camel,
                "folder": str(written.folder),
                "files": list(written.files),
                "sha256": written.graph.sha256,
                "kernels": {
                    name: {
                        "weights_bytes": engine.weights_bytes,
                        "state_bytes": engine.state_bytes,
                    }
                    for name, engine in written.engines.items()
                },
            }
        )
        return
    table = Table("kernels", right("weights, flash"), right("state, RAM"), title=written.name.camel)
    for key, engine in written.engines.items():
        table.add_row(key, f"{engine.weights_bytes:,}", f"{engine.state_bytes:,}")
    stdout.print(table)
    stdout.print(
        f"Wrote {len(written.files)} files to {written.folder}; its README.md says how to use it.",
        soft_wrap=True,
        markup=False,
        highlight=False,
    )
