"""The options of a camera in front of a model, for build and export."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from edge.cli.shared import load_tensorflow
from edge.errors import EdgeError
from edge.tflite.preprocessing import preprocessing_from_file

CameraOption = Annotated[
    str | None,
    typer.Option(
        "--camera",
        help="Add C from a camera's rows to the model's: rgb565 (high byte first), rgb565le, "
        "rgb888, grayscale or yuyv.",
    ),
]
CameraSizeOption = Annotated[
    str | None, typer.Option("--camera-size", help="Of its frames: WIDTHxHEIGHT, such as 160x120.")
]
PreprocessingOption = Annotated[
    str | None,
    typer.Option(
        "--preprocessing", help="JSON file, for a model that does not say what it was trained with."
    ),
]


def camera_arguments(
    camera: str | None, size: str | None, preprocessing: str | None
) -> dict[str, Any]:
    """The options as arguments of `edge.build` and `edge.export`.

    Args:
        camera: The pixel format.
        size: Of the frames, `WIDTHxHEIGHT`.
        preprocessing: Path of a JSON file.

    Returns:
        Arguments by name.

    Raises:
        EdgeError: If the size is none, or the file cannot be read.

    Example:
        >>> camera_arguments(None, "160x120", None)["camera_width"]
        160
    """
    width = height = None
    if size is not None:
        sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
        if sides is None:
            raise EdgeError(f"--camera-size must be WIDTHxHEIGHT, such as 160x120, got {size!r}.")
        width, height = int(sides[1]), int(sides[2])
    if camera is not None or preprocessing is not None:
        # The definition of preprocessing is beside the models.
        load_tensorflow()
    return {
        "camera": camera,
        "camera_width": width,
        "camera_height": height,
        "preprocessing": (
            None if preprocessing is None else preprocessing_from_file(preprocessing)
        ),
    }
