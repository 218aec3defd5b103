"""The arguments and options of all commands."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

import typer

from edge.system.files import output_file, output_folder

# What a command works on.

ModelArgument = Annotated[
    str, typer.Argument(help="A .keras file, or an int8 .tflite of any origin.")
]
FloatModelArgument = Annotated[
    str, typer.Argument(help="The .keras file; quantization-aware or not.")
]
Int8ModelArgument = Annotated[
    str, typer.Argument(help="What was made from it: an int8 .tflite, or a .keras file to convert.")
]
FirmwareArgument = Annotated[pathlib.Path, typer.Argument(help="Where build wrote the firmware.")]
BoardOption = Annotated[
    str,
    typer.Option(
        "--board", "-b", help="See `keras-mobilenet boards`; or a board file of your own, .toml."
    ),
]
NewBoardOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--new",
        parser=output_file,
        metavar="PATH",
        help="Write a board file of your own, with every field explained: my-board.toml.",
    ),
]
RunFileArgument = Annotated[
    pathlib.Path | None, typer.Argument(help="The .toml file that says what to do.")
]
NewRunOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--new",
        parser=output_file,
        metavar="PATH",
        help="Write such a file to change, with every field explained: run.toml.",
    ),
]
OriginOption = Annotated[
    str | None,
    typer.Option("--from", help="The board that it starts as; nucleo-f446re if none is given."),
]
ExportBoardOption = Annotated[
    str | None,
    typer.Option(
        "--board",
        "-b",
        help="See `keras-mobilenet boards`; nucleo-f446re for tflm, kernels for every core for "
        "engine if none is given.",
    ),
]

# Data.

DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="digits, faces, a folder with one subfolder of images per class (or with train/, "
        "val/ and test/ that have those), or a name of keras.datasets (mnist, fashion_mnist, "
        "cifar10, cifar100: need a network).",
    ),
]
DemoDataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="auto for the best of cifar10, fashion_mnist and digits that this machine has or can "
        "download in a minute; or images as for train.",
    ),
]
CalibrationOption = Annotated[
    str | None,
    typer.Option(
        "--data", help="Images to calibrate a .keras file that was not trained for int8: see train."
    ),
]
InputDataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Held-out images in place of random inputs: see train. The others calibrate a .keras "
        "file that was not trained for int8.",
    ),
]
ComparedDataOption = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="Held-out images, as for train; or a .npy of floats as the model reads them.",
    ),
]
LabelledDataOption = Annotated[
    str | None, typer.Option("--data", help="Labelled images: see train.")
]
InputCountOption = Annotated[int, typer.Option("--inputs", min=1, help="Number of random inputs.")]
MostInputsOption = Annotated[int, typer.Option("--inputs", min=1, help="Number of inputs at most.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, max=2**32 - 1, help="Seed of all that is drawn at random.")
]
LabelsOption = Annotated[
    pathlib.Path | None, typer.Option("--labels", help="Text file, one class name per line.")
]
FloatModelOption = Annotated[
    str | None, typer.Option("--float", help="The float .keras file that was quantized.")
]
TrainingOption = Annotated[
    str | None,
    typer.Option(
        "--training",
        help="The .evaluation.json that train wrote beside the model: curves, confusion matrix.",
    ),
]

# What a command writes.

OutOption = Annotated[
    pathlib.Path,
    typer.Option("--out", "-o", parser=output_folder, metavar="PATH", help="Folder to write to."),
]
ExportOutOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--out",
        "-o",
        parser=output_folder,
        metavar="PATH",
        help="Folder to write to; firmware, or the library's name, if none is given.",
    ),
]
KerasOutOption = Annotated[
    pathlib.Path,
    typer.Option(
        "--out", "-o", parser=output_file, metavar="PATH", help="The .keras file to write."
    ),
]
TfliteOutOption = Annotated[
    pathlib.Path | None,
    typer.Option("--out", "-o", parser=output_file, metavar="PATH", help="The .tflite to write."),
]
HtmlOutOption = Annotated[
    pathlib.Path,
    typer.Option("--out", "-o", parser=output_file, metavar="PATH", help="The HTML file to write."),
]
PlotOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--plot",
        parser=output_file,
        metavar="PATH",
        help="Picture to write; its suffix is the format.",
    ),
]
PngOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--png", parser=output_file, metavar="PATH", help="Picture to write, fit for a README."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

# Runtimes, memory and boards.

RuntimeOption = Annotated[
    Literal["tflm", "engine"],
    typer.Option("--runtime", help="TFLite Micro, or this project's engine in plain C11."),
]
ShapeOption = Annotated[
    Literal["cmake", "arduino", "esp-idf", "zephyr", "platformio", "cmsis-pack"],
    typer.Option("--shape", help="The ecosystem that takes the sources."),
]
NameOption = Annotated[
    str | None,
    typer.Option("--name", help="What all names in C begin with; the model file's if not given."),
]
SizesOption = Annotated[
    bool, typer.Option("--sizes", help="Show every function and object, not only the largest.")
]
OfflinePlanOption = Annotated[
    bool, typer.Option(help="Write the smallest memory plan into the model, for tflm.")
]
EngineOption = Annotated[
    bool, typer.Option("--engine", help="Also the engine, here and on every core of QEMU.")
]
FrameOption = Annotated[
    bool, typer.Option("--frame", help="Keep a whole image in RAM, in place of one row.")
]
RamOption = Annotated[
    int | None, typer.Option("--ram", min=1, help="Bytes that the memory may take, to copy less.")
]
FlashMarginOption = Annotated[
    int, typer.Option("--flash-margin", min=0, help="Bytes of flash to leave free.")
]
RamMarginOption = Annotated[
    int, typer.Option("--ram-margin", min=0, help="Bytes of RAM to leave free.")
]
OverlapOption = Annotated[
    bool,
    typer.Option(
        "--overlap", help="Let outputs reach into inputs: for the reference kernels only."
    ),
]
PlanStepsOption = Annotated[
    int, typer.Option("--steps", min=0, help="How long to search: 150,000 steps take a second.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Print what would be done, do nothing.")
]

PortOption = Annotated[
    str | None,
    typer.Option(
        "--port",
        help="Run on a board itself, over its serial port: /dev/ttyACM0, COM3, or auto to find it "
        "by its USB ids.",
    ),
]
MonitorPortOption = Annotated[
    str, typer.Option("--port", help="The serial port; auto finds a board's by its USB ids.")
]
MonitorBoardOption = Annotated[
    str | None, typer.Option("--board", "-b", help="The board to look for; any if not given.")
]
SecondsOption = Annotated[
    float | None, typer.Option("--seconds", min=0.0, help="End after so long; else at Ctrl-C.")
]
FlashToolOption = Annotated[
    str | None,
    typer.Option("--tool", help="The tool to program with; the first that is ready if not given."),
]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", min=0, help="Seconds after which it ends, come what may.")
]

# A camera in front of the model.

CameraOption = Annotated[
    str | None,
    typer.Option(
        "--camera",
        help="Add C from a camera's rows to the model's: rgb565 (high byte first), rgb565le, "
        "rgb888, grayscale or yuyv.",
    ),
]
CameraSizeOption = Annotated[
    str | None,
    typer.Option("--camera-size", help="Size of its frames: WIDTHxHEIGHT, such as 160x120."),
]
PreprocessingOption = Annotated[
    str | None,
    typer.Option(
        "--preprocessing", help="JSON file, for a model that does not say what it was trained with."
    ),
]
