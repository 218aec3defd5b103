"""The command build."""

from __future__ import annotations

import pathlib

from edge.cli import json, tables
from edge.cli.arguments import camera_arguments, open_model
from edge.cli.console import print_json, say, show, status
from edge.cli.options import (
    BoardOption,
    CalibrationOption,
    CameraOption,
    CameraSizeOption,
    FrameOption,
    JsonOption,
    ModelArgument,
    NameOption,
    OutOption,
    PreprocessingOption,
    RamOption,
    SizesOption,
)
from edge.cli.size_tables import LARGEST, sizes_table


def build(
    model: ModelArgument,
    board: BoardOption = "nucleo-f446re",
    out: OutOption = pathlib.Path("firmware"),
    name: NameOption = None,
    data: CalibrationOption = None,
    frame: FrameOption = False,
    ram: RamOption = None,
    camera: CameraOption = None,
    camera_size: CameraSizeOption = None,
    preprocessing: PreprocessingOption = None,
    sizes: SizesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write and compile a firmware that runs a model without TFLite Micro (exit 2 if too large)."""
    from edge.catalog.boards import find_board
    from edge.deploy.build import build

    target = find_board(board)
    graph = open_model(model, data)
    source = camera_arguments(camera, camera_size, preprocessing)
    with status(f"Building {model} for {target.name}"):
        built = build(
            graph,
            target,
            out,
            name=pathlib.Path(model).stem if name is None else name,
            is_frame=frame,
            ram_bytes=ram,
            **source,
        )
    if as_json:
        print_json(json.build_json(built))
    else:
        show(tables.build_table(built), sizes_table(built, None if sizes else LARGEST))
        say(f"Wrote sources and firmware.elf to {out}.")
