"""The command export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.cli import json, tables
from edge.cli.arguments import calibration_images, camera_arguments, class_names
from edge.cli.console import print_json, say, show, status
from edge.cli.misfit import showing_misfit
from edge.cli.options import (
    CalibrationOption,
    CameraOption,
    CameraSizeOption,
    ExportBoardOption,
    ExportOutOption,
    JsonOption,
    LabelsOption,
    ModelArgument,
    NameOption,
    OfflinePlanOption,
    PreprocessingOption,
    RuntimeOption,
    ShapeOption,
)

if TYPE_CHECKING:
    from edge.deploy.export import Export


def export(
    model: ModelArgument,
    runtime: RuntimeOption = "tflm",
    shape: ShapeOption = "cmake",
    board: ExportBoardOption = None,
    out: ExportOutOption = None,
    name: NameOption = None,
    labels: LabelsOption = None,
    data: CalibrationOption = None,
    offline_plan: OfflinePlanOption = True,
    camera: CameraOption = None,
    camera_size: CameraSizeOption = None,
    preprocessing: PreprocessingOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write sources for TFLite Micro or of the engine (exit code 2 if a board is too small).

    The engine comes as an Arduino library, an ESP-IDF component, a Zephyr module, a PlatformIO
    library, a CMSIS-Pack or a CMake project.
    """
    from edge.deploy.export import export

    with showing_misfit(as_json), status(f"Exporting {model}"):
        written = export(
            model,
            board,
            out,
            runtime=runtime,
            shape=shape,
            name=name,
            representative_dataset=calibration_images(model, data),
            labels=class_names(labels),
            offline_plan=offline_plan,
            **camera_arguments(camera, camera_size, preprocessing),
        )
    if as_json:
        print_json(json.export_json(written))
        return
    show(*([tables.budget_table(written.budget)] if written.budget is not None else []))
    show(*([tables.kernels_table(written)] if written.engines else []))
    say(_sentence(written))


def _sentence(written: Export) -> str:
    fits = "" if written.budget is None else f"{written.budget.sentence()} "
    if "README.md" not in written.files:
        return f"{fits}Wrote {', '.join(written.files)} to {written.folder}."
    count = len(written.files)
    return f"{fits}Wrote {count} files to {written.folder}; its README.md says how to use it."
